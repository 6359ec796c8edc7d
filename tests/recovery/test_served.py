"""What was shown is kept, row by row, also what a worker showed in the moment in which it was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from models.codec import encode_row
from models.engine.tables import VALUATIONS
from models.prices import MarkTick
from models.served import deployment_of_totals, is_of_account
from streams.kafka.partitions import partition_of
from streams.kafka.topics import changelog_name, create_topics, registry, served_name
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.pipeline import all_committed, changelog, feed_rows, rows_of, worker, write_chain, write_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.codec import Row
    from streams.settings import Settings


async def kept(settings: Settings) -> dict[tuple[bytes, int, int], Row]:
    """What is kept of accounts, by key, term and version."""
    return {
        (key, row.term, row.version): row
        for key, row in await rows_of(settings, served_name(settings))
        if is_of_account(key)
    }


async def shown(settings: Settings) -> dict[tuple[bytes, int, int], Row]:
    return {(key, row.term, row.version): row for key, row in await changelog(settings, VALUATIONS)}


async def quote(settings: Settings, at_ms: int, price: str) -> None:
    await write_ticks(settings, [MarkTick("binance-futures", SYMBOL, at_ms, at_ms, price, None, None, None)])


async def test_every_row_that_was_shown_is_kept_also_those_of_a_worker_that_was_killed_beside_them(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(deployments=golden_deployment())
    await create_topics(mine.bootstrap, registry(mine))
    await quote(mine, 1, "3")
    await write_chain(mine, DEPLOYMENT, golden_chain())
    async with worker(mine) as first:
        await first.ready()
        await all_committed(mine)
        await eventually(lambda: _all_kept(mine), 120)
        first.kill()

    # As if it had been killed between the two: a row that everybody was shown and that is kept nowhere.
    rows = await feed_rows(mine, VALUATIONS)
    account = min(rows)
    row = rows[account]
    lost = encode_row(row.term, row.version + 1, {**row.body, "upnl": "7"})
    producer = AIOKafkaProducer(bootstrap_servers=mine.kafka)
    await producer.start()
    partition = partition_of(account, mine.topics.partitions)
    await producer.send_and_wait(changelog_name(mine, VALUATIONS), lost, key=account, partition=partition)
    await producer.stop()

    async with worker(mine) as second:
        await second.ready()
        await quote(mine, 2, "4")
        await eventually(lambda: _all_kept(mine), 120)
        assert "7" == (await kept(mine))[account, row.term, row.version + 1].body["upnl"]
        # They are kept once a second.
        await eventually(lambda: _are_totals_kept(mine), 120)


async def _are_totals_kept(settings: Settings) -> bool:
    return DEPLOYMENT in {deployment_of_totals(key) for key, _ in await rows_of(settings, served_name(settings))}


async def _all_kept(settings: Settings) -> bool:
    rows = await shown(settings)
    return bool(rows) and rows.keys() <= (await kept(settings)).keys()
