"""The recorded logs through Kafka, the router and the tables: accounts and quote-history match every snapshot."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from models.ids import split_key
from models.symmio.account import AccountRow, decode_account, decode_finished
from models.symmio.replay import Replay
from streams.kafka.topics import ACCOUNTS, DEAD_LETTERS, QUOTE_HISTORY, create_topics, registry, topic_name
from streams.settings import WorkerSettings
from tests.support.golden import DEPLOYMENT, golden_chain, golden_deployment
from tests.support.pipeline import all_committed, changelog, end_offset, worker, write_chain
from tests.support.recording import GOLDEN_LOGS, GOLDEN_STATES, read_json
from tests.support.snapshots import differences

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.symmio.state import Quote
    from streams.settings import Settings


async def test_tables_match_every_snapshot_after_the_logs_went_through_kafka(settings: Callable[..., Settings]) -> None:
    # Slices of one record: every folded transaction becomes a row of its own, none is conflated away.
    mine = settings(deployments=golden_deployment(), worker=WorkerSettings(slice_records=1))
    await create_topics(mine.bootstrap, registry(mine))
    await write_chain(mine, DEPLOYMENT, golden_chain())
    async with worker(mine) as process:
        await process.ready()
        await all_committed(mine)
    accounts: defaultdict[str, list[AccountRow]] = defaultdict(list)
    for key, row in await changelog(mine, ACCOUNTS):
        accounts[split_key(key)[1]].append(decode_account(row.body, row.version))
    finished: dict[int, tuple[str, Quote]] = {}
    for key, row in await changelog(mine, QUOTE_HISTORY):
        quote = decode_finished(row.body)
        finished[quote.quote_id] = (key.decode().split(":")[1], quote)

    snapshots = read_json(GOLDEN_STATES)["snaps"]
    shown = Replay(read_json(GOLDEN_LOGS)["diamond"])
    found: list[str] = []
    for snapshot in snapshots:
        at = snapshot["block"]
        shown.rows = {
            account: max((row for row in rows if row.block <= at), key=lambda row: row.version)
            for account, rows in accounts.items()
            if any(row.block <= at for row in rows)
        }
        shown.finished = {quote_id: held for quote_id, held in finished.items() if (held[1].terminal_block or 0) <= at}
        found += differences(snapshot, shown.snapshot())

    assert 222 == len(snapshots)
    assert [] == found
    assert finished
    assert 0 == await end_offset(mine, topic_name(mine, DEAD_LETTERS))
