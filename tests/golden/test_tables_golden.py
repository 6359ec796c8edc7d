"""The recorded logs through Kafka, the router and the tables: accounts and quote-history match every snapshot."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from models.bookings import Booked, decode_booking_record
from models.codec import encode_row
from models.engine.tables import ACCOUNTS, QUOTE_HISTORY
from models.ids import split_key
from models.symmio.account import AccountRow, decode_account, decode_finished
from models.symmio.replay import views_of
from streams.kafka.topics import DEAD_LETTERS, bookings_name, create_topics, registry, topic_name
from streams.settings import WorkerSettings
from tests.support.golden import DEPLOYMENT, golden_chain, golden_deployment
from tests.support.pipeline import all_committed, changelog, end_offset, records_of, worker, write_chain
from tests.support.recording import GOLDEN_STATES, read_json
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
        accounts[split_key(key)[1]].append(decode_account(encode_row(*row)))
    finished: dict[int, tuple[str, Quote]] = {}
    for key, row in await changelog(mine, QUOTE_HISTORY):
        quote = decode_finished(encode_row(*row))
        finished[quote.quote_id] = (key.decode().split(":")[1], quote)

    snapshots = read_json(GOLDEN_STATES)["snaps"]
    found: list[str] = []
    for snapshot in snapshots:
        at = snapshot["block"]
        rows = {
            account: max((row for row in own if row.block <= at), key=lambda row: row.version)
            for account, own in accounts.items()
            if any(row.block <= at for row in own)
        }
        left = {quote_id: held for quote_id, held in finished.items() if (held[1].terminal_block or 0) <= at}
        found += differences(snapshot, views_of(rows, left))

    assert 222 == len(snapshots)
    assert [] == found
    assert finished
    assert 0 == await end_offset(mine, topic_name(mine, DEAD_LETTERS))

    # What is on the topic of bookings adds up to what the contract had allocated at the last snapshot.
    last = snapshots[-1]
    allocated: defaultdict[str, int] = defaultdict(int)
    for key, value in set(await records_of(mine, bookings_name(mine))):
        booked = decode_booking_record(value)
        if isinstance(booked, Booked) and booked.block <= last["block"]:
            allocated[split_key(key)[1]] += sum(int(one.balance or 0) for one in booked.bookings)
    expected = {account: balances[0] for account, balances in last["A"].items()}
    assert {account: allocated[account] for account in expected} == expected
