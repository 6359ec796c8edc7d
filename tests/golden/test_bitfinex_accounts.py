"""The recorded deployment's accounts as a Bitfinex client sees them: the sum of PL is what ``upnl-ws`` says."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from api.dialects.bitfinex.api_keys import ApiKey
from models.codec import decode_row
from models.engine.tables import DEPLOYMENTS, MARKETS, VALUATIONS
from models.ids import split_key
from models.prices import MarkTick
from tests.support.bitfinex import CHAIN, SECRET, Scene
from tests.support.golden import DEPLOYMENT, Oracle, golden_chain, golden_deployment

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_745_970_800_000


def filled(made: Scene) -> dict[str, dict[str, Any]]:
    """Fill the scene's tables with the recording's, and return the body of each account that has positions."""
    engine = Oracle(golden_deployment(), golden_chain()).engine
    names = sorted({str(decode_row(row).body["name"]) for _, row in engine.tables.items(MARKETS)})
    for at, name in enumerate(names):
        price = f"{97 + 13 * at}.{at:02d}7"
        engine.tick(MarkTick("binance-futures", name, NOW_MS, NOW_MS, price, None, None, None), at)
    engine.value(NOW_MS)
    feeds = {MARKETS: made.tables.markets, VALUATIONS: made.tables.valuations, DEPLOYMENTS: made.tables.deployments}
    for table, feed in feeds.items():
        for key, row in engine.tables.items(table):
            name, _, rest = key.decode().partition(":")
            assert name == DEPLOYMENT
            feed.put(f"{CHAIN}:{rest}" if rest else CHAIN, 1, decode_row(row).body)
    bodies = {split_key(key)[1]: decode_row(row).body for key, row in made.tables.valuations.rows.items()}
    return {account: body for account, body in bodies.items() if body["positions"] and body["upnl"] is not None}


async def test_the_sum_of_pl_of_every_account_is_its_upnl_to_the_last_digit_of_a_double(tmp_path: Path) -> None:
    made = Scene(tmp_path)
    bodies = filled(made)
    made.hold(**{account: ApiKey(SECRET, account, (f"{CHAIN}:{account}",)) for account in bodies})
    compared = 0
    async with made.serving() as client, client.ws_connect("/upnl-ws") as legacy:
        for account in bodies:
            await legacy.send_str(account)
            upnl = Decimal((await legacy.receive_json(timeout=10))["upnl"])
            async with made.socket(client) as socket:
                assert "OK" == (await socket.logs_in(1, key=account))["status"]
                symbols = [position[0] for position in (await socket.hears_of("ps"))[2]]
                await socket.hears_of("fls")
                await socket.asks("margin_base", *(f"position_{symbol}" for symbol in symbols))
                base = (await socket.hears_of("miu"))[2][1]
                shown = [(await socket.hears_of("pu"))[2] for _ in symbols]
            assert float(upnl) == base[0]
            assert float(upnl) == pytest.approx(sum(position[6] for position in shown), rel=1e-15, abs=1e-12)
            # The price PL of what is shown, without a fee, is the same figure.
            for position in shown:
                if position[2]:
                    price = position[3] * (1 + position[7] / 100 * (1 if position[2] > 0 else -1))
                    assert position[6] == pytest.approx(position[2] * (price - position[3]), rel=1e-9, abs=1e-9)
            compared += 1
    assert 5 == compared
