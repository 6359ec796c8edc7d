"""``asof`` over the recorded chain: at snapshots the contract's own answer, at any instant what other code says."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from models.chain_records import Block, decode_chain_record
from models.codec import decode_row
from models.engine.tables import VALUATIONS
from streams.process.clock import SystemClock
from streams.replay.account_at import At, value_account_at
from streams.replay.captured_log import CapturedLog, CaptureWriter
from streams.replay.kafka_log import KafkaLog
from streams.replay.log_window import resolve_times
from streams.replay.merging import read_merged
from streams.replay.replay_clock import ReplayClock
from streams.replay.replayed_log import ReplayWindow, replaying
from tests.support.decimal_upnl import contract_positions, gain_e18, newest_mark
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.recording import GOLDEN_STATES, read_json
from tests.support.told_kafka import lately, told_kafka
from tests.support.told_log import Story, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from streams.replay.bounded_log import Log
    from streams.settings import Settings

pytestmark = pytest.mark.timeout(7_200)

# All 222 of the contract's answers take too long for every run: each folds its account from the first block on.
_SNAPSHOTS = int(os.environ.get("TIDEMARK_TEST_SNAPSHOTS", "12"))
_INSTANTS = int(os.environ.get("TIDEMARK_TEST_INSTANTS", "12"))
_MARKET = 1


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)


@pytest.fixture(scope="module")
def snapshots() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_json(GOLDEN_STATES)["snaps"]
    assert len(found) == 222
    return found


async def asof(log: Log, story: Story, account: str, at: At) -> dict[str, Any] | None:
    found = await value_account_at(log, story.settings, DEPLOYMENT, account, at, on_record=lambda _: None)
    return None if found is None else dict(found.body)


def written_ms(story: Story) -> dict[int, int]:
    """When each block was written, by its number."""
    blocks = {}
    for one in story.records:
        record = decode_chain_record(one.value or b"") if "chain-blocks" in one.topic else None
        if isinstance(record, Block):
            blocks[record.number] = one.time_ms
    return blocks


def expect_contract(snapshot: dict[str, Any], account: str, body: Mapping[str, Any]) -> int:
    """Balances and positions are the contract's own."""
    allocated, *values = snapshot["A"][account]
    assert str(allocated) == body["allocated"]
    assert [*map(str, values)] == [*body["locked"], *body["pending"]]
    found = sorted(
        ((1 if one["side"] == "long" else -1) * int(one["quantity"]), int(one["opened_price"]))
        for one in body["positions"]
    )
    assert sorted(contract_positions(snapshot, account, _MARKET)) == found
    return len(found)


def figures(body: Mapping[str, Any]) -> dict[str, Any]:
    """What an account is worth, by what positions."""
    return {name: body[name] for name in ("upnl", "notional", "allocated", "available_balance", "status")}


async def test_as_of_each_snapshots_block_an_account_is_what_the_contract_answered(
    story: Story, snapshots: list[dict[str, Any]]
) -> None:
    log, compared, positions = story.log(), 0, 0
    last = max(one["block"] for one in snapshots)
    for snapshot in random.Random(5).sample(snapshots, min(_SNAPSHOTS, len(snapshots))):
        for account in snapshot["A"]:
            body = await asof(log, story, account, At(block=snapshot["block"]))
            if body is None:
                assert not any(snapshot["A"][account])
                continue
            positions += expect_contract(snapshot, account, body)
            compared += 1
    assert compared >= min(_SNAPSHOTS, len(snapshots))
    assert positions
    assert last in written_ms(story)


async def test_over_kafka_accounts_are_at_each_snapshot_what_the_contract_answered_in_one_pass(
    settings: Callable[..., Settings], snapshots: list[dict[str, Any]]
) -> None:
    story = lately()
    own, blocks, compared = await told_kafka(story, settings), written_ms(story), 0
    log, began_ms = KafkaLog(own.bootstrap, {}, SystemClock()), story.records[0].time_ms
    ordered = sorted(snapshots, key=lambda one: int(one["block"]))
    clock, window = ReplayClock(began_ms), ReplayWindow(began_ms, max(blocks.values()))
    async with replaying(log, own, window, clock, told=(), on_record=lambda _: None) as replay:
        shown = dict((await replay.begin()).rows[VALUATIONS])
        for snapshot in ordered:
            # The newest block by then: of some numbers nothing was said.
            at_ms = blocks[max(number for number in blocks if number <= snapshot["block"])]
            if at_ms > clock.at_ms:
                shown |= dict((await replay.advance(at_ms)).rows.get(VALUATIONS, ()))
            for account in snapshot["A"]:
                row = shown.get(f"{DEPLOYMENT}:{account}".encode())
                if row is None:
                    assert not any(snapshot["A"][account])
                    continue
                expect_contract(snapshot, account, decode_row(row).body)
                compared += 1
    assert compared > len(snapshots)
    # ``asof`` of one block reads the same log by itself.
    last = ordered[-1]
    for account in last["A"]:
        found = await value_account_at(log, own, DEPLOYMENT, account, At(block=last["block"]), on_record=lambda _: None)
        assert found is not None
        assert figures(decode_row(shown[f"{DEPLOYMENT}:{account}".encode()]).body) == figures(found.body)


async def test_at_random_instants_the_upnl_is_what_decimals_make_of_the_contracts_positions(
    story: Story, snapshots: list[dict[str, Any]]
) -> None:
    log, draws, known = story.log(), random.Random(9), 0
    blocks, ticks = written_ms(story), [one for one in story.records if "price-ticks" in one.topic]
    # An instant between a snapshot's block and the next one that was written, so that the contract's answer holds.
    until: defaultdict[int, int] = defaultdict(lambda: max(blocks.values()) + 60_000)
    ordered = sorted(blocks)
    for number, following in pairwise(ordered):
        until[number] = blocks[following]
    for _ in range(_INSTANTS):
        snapshot = draws.choice(snapshots)
        newest = max(number for number in ordered if number <= snapshot["block"])
        account = draws.choice(sorted(snapshot["A"]))
        at_ms = draws.randrange(blocks[newest], until[newest])

        body = await asof(log, story, account, At(time_ms=at_ms))

        mark, held = newest_mark(ticks, at_ms), contract_positions(snapshot, account, _MARKET)
        if body is None or (mark is None and held):
            assert body is None or body["upnl"] is None
            continue
        expected = sum(0 if mark is None else gain_e18(size, opened, mark) for size, opened in held)
        assert str(expected) == body["upnl"]
        known += bool(held)
    assert known


async def test_the_same_window_is_one_digest_however_often_and_from_wherever_it_is_read(
    story: Story, tmp_path: Path
) -> None:
    log: Log = story.log()
    digests = set()
    for at in range(10):
        topics = sorted({place.topic for place in story.log()._held})
        vector = await resolve_times(log, topics, None, None)
        writer = CaptureWriter(tmp_path / str(at), vector)
        async for record in read_merged(log, vector):
            writer.take(record)
        digests.add(writer.finish(code="test", made_ms=at, since_ms=None, until_ms=None).digest)
        # The log that is read next is the capture of the one before.
        log = CapturedLog(tmp_path / str(at))
    account = max(story.last).decode().partition(":")[2]
    end_ms = max(one.time_ms for one in story.records)

    assert 1 == len(digests)
    assert await asof(log, story, account, At(time_ms=end_ms)) == await asof(
        story.log(), story, account, At(time_ms=end_ms)
    )
