"""What was opened and what ended since an instant, by account-events."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from models.account_events import Final, RolledBack, Transaction
from models.symmio.position_moves import Ended, Moves
from tests.support.symmio import ALICE, BOB, E18, HEDGER, LIQUIDATOR, log

if TYPE_CHECKING:
    from models.account_events import AccountRecord
    from models.chain_records import RawLog

SINCE_S = 5_000
CLOSED, OPENED = 7, 4


def opening(quote_id: int, account: str = ALICE) -> RawLog:
    return log("OpenPosition", quote_id, account, HEDGER, 10 * E18, 90 * E18)


def closing(quote_id: int, status: int = CLOSED, account: str = ALICE) -> RawLog:
    return log("FillCloseRequest", quote_id, account, HEDGER, E18, 90 * E18, status, 1)


def transaction(at_s: int, *logs: RawLog, offset: int | None = None) -> Transaction:
    """A transaction in the block whose number is its time, by default routed from the record of that offset."""
    return Transaction((at_s if offset is None else offset, 0), at_s, at_s, "0x01", logs)


def moved(*records: AccountRecord) -> Moves:
    moves = Moves(SINCE_S)
    for record in records:
        moves.add(ALICE, record)
    return moves


def test_what_was_opened_or_ended_by_the_instant_has_not_moved_since() -> None:
    moves = moved(transaction(4_999, opening(1)), transaction(5_000, opening(2), closing(1)))
    assert (set(), {}) == (moves.opened, moves.ended)


def test_what_was_opened_after_the_instant_was_not_open_at_it_whether_it_has_ended_or_not() -> None:
    moves = moved(transaction(5_001, opening(1), opening(2)), transaction(5_002, closing(2)))
    assert ({1, 2}, {}) == (moves.opened, moves.ended)


@pytest.mark.parametrize(
    "end",
    [
        closing(1),
        log("LiquidatePositionsPartyA", LIQUIDATOR, ALICE, [1], [10 * E18], [0], b"id"),
        log("LiquidatePositionsPartyB", LIQUIDATOR, HEDGER, ALICE, [1]),
    ],
)
def test_what_ended_after_the_instant_was_open_at_it(end: RawLog) -> None:
    assert {1: Ended(ALICE, 5_007)} == moved(transaction(5_007, end)).ended


def test_a_position_that_is_closed_in_part_has_not_ended() -> None:
    assert {} == moved(transaction(5_001, closing(1, status=OPENED))).ended


def test_what_cannot_be_read_hides_nothing_beside_it() -> None:
    strange = msgspec.structs.replace(closing(2), data="0x01")
    assert {1} == moved(transaction(5_001, strange, opening(1))).opened


def test_what_left_the_chain_has_not_moved_and_what_came_back_later_has() -> None:
    records: list[AccountRecord] = [
        transaction(4_999, opening(1), offset=1),
        transaction(5_001, closing(2), offset=2),
        RolledBack((3, 0), 4_998),
        Final((4, 0), 5_000, 5_000, 4_000),
        transaction(5_002, opening(1), offset=5),
    ]
    moves = moved(*records)
    assert ({1}, {}) == (moves.opened, moves.ended)


@pytest.mark.parametrize("seed", range(40))
def test_whichever_partition_is_read_first_what_moved_is_what_the_chain_has(seed: int) -> None:
    draw = random.Random(seed)
    chain: list[tuple[int, str, int, bool]] = []
    partitions: dict[str, list[AccountRecord]] = {ALICE: [], BOB: []}
    block, following = SINCE_S - 5, 1
    for offset in range(60):
        if draw.random() < 0.2 and chain:
            block = draw.randint(SINCE_S - 8, block)
            chain = [one for one in chain if one[0] <= block]
            for records in partitions.values():
                records.append(RolledBack((offset, 0), block))
            continue
        block += 1
        account = draw.choice((ALICE, BOB))
        open_now = {one[2] for one in chain if one[1] == account and one[3]} - {
            one[2] for one in chain if one[1] == account and not one[3]
        }
        if open_now and draw.random() < 0.5:
            quote_id, is_opening, one_log = (
                (ended := draw.choice(sorted(open_now))),
                False,
                closing(ended, CLOSED, account),
            )
        else:
            quote_id, is_opening, one_log = following, True, opening(following, account)
            following += 1
        chain.append((block, account, quote_id, is_opening))
        partitions[account].append(transaction(block, one_log, offset=offset))
    moves = Moves(SINCE_S)
    for account in draw.sample(sorted(partitions), 2):
        for record in partitions[account]:
            moves.add(account, record)
    since = [one for one in chain if one[0] > SINCE_S]
    opened = {quote_id for _, _, quote_id, is_opening in since if is_opening}
    assert opened == moves.opened
    assert {
        quote_id: Ended(account, at)
        for at, account, quote_id, is_opening in since
        if not is_opening and quote_id not in opened
    } == moves.ended
