"""A row of every table that cannot be read, all at once, through the real worker and the one after it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from models.codec import ORDER_BYTES, encode_row
from models.engine.tables import (
    ACCOUNTS,
    ALERTS,
    DEPLOYMENTS,
    INSTRUMENTS,
    MARKETS,
    MARKS,
    QUOTES,
    REFERENCES,
    STATEMENTS,
    SUBTOTALS,
    TABLES,
    VALUATIONS,
    WATERMARKS,
)
from models.ids import mark_key
from models.instruments import TickerFact, encode_fact
from models.ledger.ledger_venue import LEDGER_EVENTS, LEDGER_SETTINGS
from models.prices import MarkTick
from streams.kafka.topics import INSTRUMENT_FACTS, changelog_name, create_topics, registry, topic_name
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.eventually import eventually
from tests.support.golden import CHAIN_TABLES, DEPLOYMENT, Oracle, golden_chain, golden_deployment
from tests.support.ledger import inputs, record, wallet
from tests.support.pipeline import all_committed, feed_rows, producer, worker, write_chain, write_ticks
from tests.support.records import read_records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.settings import Settings
    from tests.support.pipeline import WorkerProcess

# Its records lie on another partition than the golden chain's, whose rows name offsets and are compared.
SIDE, ANN = "other", b"desk:ann"
# What these say is told of the deployment whose rows are corrupted, and of no other.
SOURCE = "recorded"
REFERENCE = b"desk:symbol:tBTCUSD"
# Read by a worker in any case; those of an account whose next record does not come are not.
READ = {ACCOUNTS, ALERTS, DEPLOYMENTS, INSTRUMENTS, MARKETS, MARKS, REFERENCES, STATEMENTS, WATERMARKS}
# An account stays as it is, and so does a market that no log names.
MADE_ANEW = READ - {ACCOUNTS, MARKETS}


async def say(settings: Settings, topic: str, *records: tuple[bytes, bytes]) -> None:
    async with producer(settings) as sender:
        for key, value in records:
            await sender.send(topic_name(settings, topic), value, key=key)


async def say_of_every_table(settings: Settings, at: int) -> None:
    """A tick of each source, a fact, a reference, and a record of a ledger's account."""
    prices = {"binance-futures": f"{100 + at}", SOURCE: f"{100 + at}"}
    await write_ticks(
        settings, [MarkTick(one, "BTCUSDT", at, at, text, None, None, None) for one, text in prices.items()]
    )
    fact = TickerFact(SOURCE, "BTCUSDT", at, "-1.230", "123456789.12")
    await say(settings, INSTRUMENT_FACTS, (mark_key(SOURCE, "BTCUSDT"), encode_fact(fact)))
    setting = inputs({"tBTCUSD": "1"}, fee=f"0.00{at}").settings["symbol:tBTCUSD"]
    await say(settings, LEDGER_SETTINGS, (REFERENCE, msgspec.json.encode(setting)))
    told = [record("account_opened", 1, owner="ann")] if at == 1 else []
    told.append(record("wallet_set", at + 1, wallet=wallet(f"{at}")))
    await say(settings, LEDGER_EVENTS, *((ANN, one) for one in told))


async def corrupted(settings: Settings) -> dict[str, bytes]:
    """Write a row of no sense over one of each table; return whose."""
    whose: dict[str, bytes] = {}
    async with producer(settings) as sender:
        for table in TABLES:
            rows = await feed_rows(settings, table)
            marks = (f"{SIDE}:".encode(), f"symbol:{SIDE}:".encode(), f"{SOURCE}:".encode(), REFERENCE)
            named = {STATEMENTS: ANN, DEPLOYMENTS: SIDE.encode()}
            key = named.get(table) or min((key for key in rows if key.startswith(marks)), default=None)
            assert key is not None, f"there is no row of {table}"
            order = encode_row(rows[key].term, rows[key].version, {})[:ORDER_BYTES]
            topic = changelog_name(settings, table)
            # Rows lie where the records do that they follow from; of two partitions it is chance which is read last.
            stand = await read_records(settings, topic.removeprefix(settings.topics.prefix))
            (partition,) = {record.partition for record in stand if record.key == key}
            await sender.send(topic, order + b"{}", key=key, partition=partition)
            whose[table] = key
    return whose


async def unreadable(process: WorkerProcess) -> set[str]:
    """The tables of which the worker says that it found rows that cannot be read."""
    url = f"http://127.0.0.1:{process.admin_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return set(re.findall(r'tidemark_unreadable_rows_total\{table="([a-z-]+)"\}', await answer.text()))


async def differences(settings: Settings, oracle: Oracle, tables: Sequence[str]) -> list[bytes]:
    """Keys of the other deployment whose rows are others than its chain makes them."""
    found: list[bytes] = []
    for table in tables:
        rows = {key: row for key, row in (await feed_rows(settings, table)).items() if DEPLOYMENT.encode() in key}
        found += oracle.differences(table, settings.topics.partitions, rows)
    return found


async def test_no_worker_ends_at_rows_that_cannot_be_read_and_no_other_row_is_touched(
    settings: Callable[..., Settings],
) -> None:
    (main,) = golden_deployment().values()
    side = main.model_copy(update={"default_sources": (SOURCE,), "position_states": "on"})
    desk = LedgerDeploymentSettings(default_sources=(SOURCE,))
    mine = settings(deployments={DEPLOYMENT: main, SIDE: side, "desk": desk})
    chain = golden_chain()
    half = len(chain) * 2 // 3
    await create_topics(mine.bootstrap, registry(mine))
    await say_of_every_table(mine, 1)
    async with worker(mine) as process:
        await process.ready()
        for name in (DEPLOYMENT, SIDE):
            await write_chain(mine, name, chain[:half])
        await all_committed(mine)
        await eventually(lambda: _has_rows(mine), 30)
        process.kill()
    whose = await corrupted(mine)

    async with worker(mine) as process:
        await process.ready()
        for name in (DEPLOYMENT, SIDE):
            await write_chain(mine, name, chain[half:])
        await say_of_every_table(mine, 2)
        await all_committed(mine)
        await eventually(lambda: _has_noted(process), 30)
        oracle = Oracle(golden_deployment(), chain)
        assert [] == await differences(mine, oracle, CHAIN_TABLES)
        assert process.process.poll() is None
        process.kill()
    anew = {table: (await feed_rows(mine, table))[key].body for table, key in whose.items()}
    assert MADE_ANEW <= {table for table, body in anew.items() if body}
    # What the row said is kept behind what its account missed, if anything.
    assert {} == anew[ACCOUNTS].get("row", anew[ACCOUNTS])
    assert "suspect" == (await feed_rows(mine, VALUATIONS))[whose[ACCOUNTS]].body["status"]

    async with worker(mine) as process:
        await process.ready()
        await eventually(lambda: _is_suspect(process), 30)


async def _has_rows(settings: Settings) -> bool:
    """Whether every table has a row that is to be corrupted."""
    subtotals = await feed_rows(settings, SUBTOTALS)
    alerts, statements = await feed_rows(settings, ALERTS), await feed_rows(settings, STATEMENTS)
    side = f"{SIDE}:".encode()
    return (
        any(key.startswith(side) for key in alerts)
        and any(side in key for key in subtotals)
        and ANN in statements
        and bool(await feed_rows(settings, REFERENCES))
        and bool(await feed_rows(settings, INSTRUMENTS))
        and bool(await feed_rows(settings, QUOTES))
    )


async def _has_noted(process: WorkerProcess) -> bool:
    return await unreadable(process) >= READ


async def _is_suspect(process: WorkerProcess) -> bool:
    return ACCOUNTS in await unreadable(process)
