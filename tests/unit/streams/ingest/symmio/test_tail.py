from __future__ import annotations

from typing import TYPE_CHECKING

from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, Watermark
from streams.ingest.symmio.tail import Known, Tail

if TYPE_CHECKING:
    from models.chain_records import ChainRecord

CHECKPOINT = Checkpoint(
    block=5, hash="h5", time_s=0, account="0x", owner=None, multi_account=None, name=None, balances=(),
    liquidated=False, reimbursement="0", party_bs=(), quotes=(),
)  # fmt: skip


def block(number: int, branch: str = "h") -> Block:
    return Block(number, f"{branch}{number}", f"{branch}{number - 1}", number, ())


def tail_of(*records: ChainRecord) -> Tail:
    tail = Tail()
    for record in records:
        tail.apply(record)
    return tail


def test_an_empty_topic_begins_where_the_settings_say() -> None:
    tail = Tail()
    tail.begin_at(100)

    assert (True, 99, 99) == (tail.is_empty, tail.covered, tail.final)


def test_blocks_above_the_final_one_are_known_down_to_the_final_ones_hash() -> None:
    tail = tail_of(Watermark(10, 0, 10), block(11), block(12), Watermark(12, 0, 10))

    assert (12, 10) == (tail.covered, tail.final)
    assert [Known(12, "h12"), Known(11, "h11"), Known(10, "h10")] == list(tail.known())


def test_what_has_become_final_is_forgotten_but_for_its_own_hash() -> None:
    tail = tail_of(block(11), block(12), block(13), Watermark(13, 0, 12))

    assert [Known(13, "h13"), Known(12, "h12")] == list(tail.known())


def test_a_rollback_forgets_the_branch_that_was_left() -> None:
    tail = tail_of(Watermark(10, 0, 10), block(11), block(12), block(13), Rollback(11, "h11"), block(12, "x"))

    assert 12 == tail.covered
    assert ["x12", "h11", "h10"] == [known.hash for known in tail.known()]


def test_a_range_cut_short_is_covered_up_to_its_last_block() -> None:
    tail = tail_of(Watermark(100, 0, 100), block(105), block(130))

    assert (130, 100) == (tail.covered, tail.final)


def test_a_join_is_under_way_until_it_is_said_to_be_done() -> None:
    join = Join(5, "h5", 0, ())

    assert 5 == tail_of(join, CHECKPOINT).joining
    assert tail_of(join, CHECKPOINT, Joined(5, 1)).joining is None
    assert (5, 5, "h5") == (
        (done := tail_of(join, CHECKPOINT, Joined(5, 1))).covered,
        done.final,
        done.hash_of(5),
    )


def test_a_repairs_checkpoint_changes_nothing() -> None:
    tail = tail_of(Watermark(10, 0, 10), block(11), CHECKPOINT)

    assert (11, 10, None) == (tail.covered, tail.final, tail.joining)


def test_blocks_are_kept_with_their_logs_until_they_are_final() -> None:
    tail = tail_of(Watermark(10, 0, 10), block(11), block(12), block(13), Watermark(13, 0, 11), Rollback(12, "h12"))

    assert [block(12)] == tail.blocks(0)
    assert [] == tail.blocks(13)


def test_a_watermark_marks_the_end_until_another_record_follows() -> None:
    mark = Watermark(12, 0, 10)

    assert mark == tail_of(block(12), mark).marked
    assert tail_of(block(12), mark, block(13)).marked is None
