from __future__ import annotations

import pytest

from streams.ingest.symmio.ranges import BlockTooLarge, LogRange
from streams.node.rpc import TooMuch


def test_a_range_is_doubled_while_nothing_is_too_much() -> None:
    width = LogRange("d")
    ends = []
    for _ in range(3):
        ends.append(width.end(1, 1_000_000))
        width.widen(0)

    assert [2_000, 4_000, 8_000] == ends


def test_a_range_that_was_too_much_is_halved_and_then_grows_by_quarters() -> None:
    width = LogRange("d")
    width.narrow(1, 2_000, TooMuch("too many"))

    assert 1_000 == width.end(1, 1_000_000)
    width.widen(0)
    assert 1_250 == width.end(1, 1_000_000)


def test_a_range_full_of_logs_does_not_grow() -> None:
    width = LogRange("d")
    width.widen(9_000)

    assert 2_000 == width.end(1, 1_000_000)


def test_a_range_does_not_go_beyond_the_last_block() -> None:
    assert 50 == LogRange("d").end(1, 50)


def test_a_single_block_cannot_be_halved() -> None:
    with pytest.raises(BlockTooLarge, match="the logs of block 7"):
        LogRange("d").narrow(7, 7, TooMuch("too many"))
