"""A ledger through the real worker: gap, duplicate, late record and snapshot mid-stream, kills, and a restart."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from models.engine.tables import STATEMENTS, VALUATIONS
from models.ledger.ledger_venue import LEDGER_EVENTS, LEDGER_SETTINGS
from models.prices import MarkTick
from models.statements import decode_statement
from streams.kafka.deadletter import decode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, changelog_name, create_topics, registry, topic_name
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.eventually import eventually
from tests.support.ledger import FLAT, inputs, position, record, wallet
from tests.support.pipeline import feed_rows, producer, records_of, worker, write_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "ledger_settings.py"
ANN, BOB = b"desk:ann", b"desk:bob"
SYMBOL = "tBTCF0:USTF0"
# Old ticks would do as well: whether a mark is stale is not asked here.
PRICES = {"tBTCUSD": "120", SYMBOL: "110", "tUSTUSD": "0.99"}


def tick(market: str, price: str, at_ms: int = 1) -> MarkTick:
    return MarkTick("binance-futures", market, at_ms, at_ms, price, None, None, None)


async def say(settings: Settings, *records: tuple[bytes, bytes]) -> None:
    async with producer(settings) as sender:
        for key, value in records:
            await sender.send(topic_name(settings, LEDGER_EVENTS), value, key=key)


async def say_settings(settings: Settings) -> None:
    """Write them as the guide says it."""
    said = inputs(PRICES, paths={"USTF0": ["tUSTUSD"]}, tiers=FLAT).settings
    where = settings.bootstrap.servers, topic_name(settings, LEDGER_SETTINGS)
    example = await asyncio.create_subprocess_exec(sys.executable, EXAMPLE, *where, stdin=asyncio.subprocess.PIPE)
    await example.communicate(msgspec.json.encode({f"desk:{name}": value for name, value in said.items()}))
    assert example.returncode == 0


async def row_is(settings: Settings, key: bytes, **columns: object) -> bool:
    row = (await feed_rows(settings, VALUATIONS)).get(key)
    return row is not None and {name: row.body[name] for name in columns} == columns


async def told(settings: Settings, key: bytes) -> list[tuple[int, str]]:
    """Number and kind of every event that a reader of the log is told, each once, in order."""
    seen: dict[int, str] = {}
    for of, row in await records_of(settings, changelog_name(settings, STATEMENTS)):
        if of == key:
            for event in decode_statement(row).events:
                assert seen.setdefault(event.number, event.body["kind"]) == event.body["kind"]
    return sorted(seen.items())


async def causes(settings: Settings) -> list[str]:
    return [decode_dead_letter(one).reason for _, one in await records_of(settings, topic_name(settings, DEAD_LETTERS))]


def e18(text: str) -> str:
    return str(int(float(text) * 10**6) * 10**12)


async def test_gaps_repeats_and_snapshots_come_out_as_one_history_whatever_is_killed(
    settings: Callable[..., Settings],
) -> None:
    desk = LedgerDeploymentSettings(default_sources=("binance-futures",))
    mine = settings(deployments={"desk": desk})
    await create_topics(mine.bootstrap, registry(mine))
    await write_ticks(mine, [tick(market, price) for market, price in PRICES.items()])
    opened = record("account_opened", 1, owner="owner-1")
    money = record("wallet_set", 2, wallet=wallet("100"))
    first = record("position_set", 3, position=position("2", "100"))
    closed = record("position_closed", 4, position=position("0", "100"))
    async with worker(mine) as process:
        await process.ready()
        await say(mine, (ANN, opened), (ANN, money))
        await eventually(lambda: row_is(mine, ANN, status="valued", equity=e18("100"), upnl="0"), 30)
        # 4 comes before 3, which makes the account suspect; 2 again changes nothing.
        await say(mine, (ANN, closed), (ANN, money), (BOB, record("position_set", 1, position=position("2", "100"))))
        await eventually(lambda: row_is(mine, ANN, status="suspect", equity=None), 30)
        # No settings say yet how a position is valued.
        assert await row_is(mine, BOB, status="unpriced", unpriced=1)
        await say_settings(mine)
        await eventually(lambda: row_is(mine, BOB, status="valued", upnl=e18("40"), upnl_net=e18("39.52")), 30)
        process.kill()
    async with worker(mine) as process:
        await process.ready()
        assert await row_is(mine, ANN, status="suspect")
        # The late record repairs it, and what waited follows; then a snapshot in the middle of what comes.
        await say(mine, (ANN, first))
        await eventually(lambda: row_is(mine, ANN, status="valued", seq=4, positions=[]), 30)
        derivative = position("0.5", "100", SYMBOL, type="derivative")
        whole: dict[str, Any] = {"owner": "owner-1", "wallets": [wallet("50", "USTF0")], "positions": [derivative]}
        await say(mine, (ANN, record("snapshot", 7, **whole)), (ANN, money), (BOB, b"no record"))
        # 50 USTF0 and what 0.5 gained from 100 to 110, less the fee of 0.11, at 0.99 USD.
        await eventually(lambda: row_is(mine, ANN, status="valued", seq=7, equity=e18("54.3411")), 30)
        await eventually(lambda: row_is(mine, BOB, status="suspect"), 30)
        process.kill()
    async with worker(mine) as process:
        await process.ready()
        # The conversion's mark moves, and with it the account.
        await write_ticks(mine, [tick("tUSTUSD", "1", 2)])
        await eventually(lambda: row_is(mine, ANN, status="valued", equity=e18("54.89")), 30)
    kinds = [
        "account_opened", "wallet_changed", "account_doubted", "position_opened", "position_closed",
        "account_restored", "wallet_changed", "wallet_changed", "position_opened",
    ]  # fmt: skip
    assert await told(mine, ANN) == list(enumerate(kinds, 1))
    reasons = await causes(mine)
    assert any(one.startswith("expected record 3, found later ones up to 4") for one in reasons)
    assert any("no record" in one for one in reasons)
    assert len(reasons) == 2
