"""From raw logs and price ticks to the wire, every process as an operator runs it: what the contract's state says.

What is expected is computed here from what the contract itself answered (``states.json.gz``) and the marks of the test,
with arithmetic of its own.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import aiohttp

from models.chain_records import Block
from models.prices import MarkTick
from streams.kafka.topics import create_topics, registry
from streams.settings import ApiSettings
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.pipeline import all_committed, free_port, worker, write_chain, write_ticks
from tests.support.recording import GOLDEN_STATES, read_json
from tests.support.server import answers, api_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

OPEN = (4, 5, 6)
E18 = 10**18
MARK = "97.123456789012345678"
# Of the past: no frame is dated later than the replica's own clock.
MARK_MS = 1_745_500_000_123


def busiest_snapshot() -> dict[str, Any]:
    """The snapshot with the most open positions."""
    snapshots: list[dict[str, Any]] = read_json(GOLDEN_STATES)["snaps"]
    return max(snapshots, key=lambda snapshot: sum(quote[0] in OPEN for quote in snapshot["Q"].values()))


def expected_frame(snapshot: dict[str, Any], account: str, mark_e18: int) -> dict[str, Any]:
    """The uPnL object of an account, from the contract's own answers."""
    upnl = notional = 0
    for quote in snapshot["Q"].values():
        if quote[7] == account and quote[0] in OPEN:
            amount = quote[1] - quote[2]
            value = abs(mark_e18 - quote[3]) * amount // E18
            gains = (mark_e18 > quote[3]) == (quote[13] == 0)
            upnl += value if gains else -value
            notional += mark_e18 * amount // E18
    allocated, cva, lf, amm, bmm, *pending = snapshot["A"][account]
    texts = {
        "upnl": upnl, "notional": notional, "available_balance": allocated + upnl - cva - lf,
        "allocated_balance": allocated, "cva": cva, "lf": lf, "party_a_mm": amm, "party_b_mm": bmm,
        "pending_cva": pending[0], "pending_lf": pending[1], "pending_party_a_mm": pending[2],
        "pending_party_b_mm": pending[3],
    }  # fmt: skip
    return {name: Decimal(value).scaleb(-18) for name, value in texts.items()}


async def test_upnl_on_the_wire_is_what_the_contracts_state_and_the_marks_say(
    settings: Callable[..., Settings],
) -> None:
    snapshot = busiest_snapshot()
    mine = settings(deployments=golden_deployment(), api=ApiSettings(port=free_port(), admin_port=free_port()))
    await create_topics(mine.bootstrap, registry(mine))
    chain = [record for record in golden_chain() if isinstance(record, Block) and record.number <= snapshot["block"]]
    await write_chain(mine, DEPLOYMENT, chain)
    await write_ticks(mine, [MarkTick("binance-futures", SYMBOL, MARK_MS, MARK_MS, MARK, None, None, None)])
    whole, fraction = MARK.split(".")
    mark_e18 = int(whole) * E18 + int(fraction)
    open_accounts = {quote[7] for quote in snapshot["Q"].values() if quote[0] in OPEN}
    found: dict[str, dict[str, Any]] = {}

    async with (
        worker(mine) as process,
        api_process(mine),
        aiohttp.ClientSession(f"http://127.0.0.1:{mine.api.port}") as client,
    ):
        await process.ready()
        await all_committed(mine)
        await eventually(lambda: answers(client, "/readyz", 200), 30)
        for account in snapshot["A"]:
            async with client.ws_connect("/upnl-ws") as socket:

                async def shows_the_mark(socket: Any = socket, account: str = account) -> bool:  # noqa: ANN401
                    await socket.send_str(account)
                    found[account] = json.loads(await socket.receive_str(timeout=20))
                    return account not in open_accounts or found[account]["timestamp"] == MARK_MS // 1000

                await eventually(shows_the_mark, 20)

    assert len(open_accounts) > 1
    for account, frame in found.items():
        frame.pop("timestamp")
        assert all(isinstance(text, str) for text in frame.values())
        assert expected_frame(snapshot, account, mark_e18) == {name: Decimal(text) for name, text in frame.items()}
