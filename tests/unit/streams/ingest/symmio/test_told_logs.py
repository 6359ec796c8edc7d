from __future__ import annotations

from models.chain_records import RawLog
from streams.ingest.symmio.told_logs import ToldLogs, disputed, lacking, union
from streams.node.blocks import FoundLog


def found(number: int, index: int = 0, data: str = "0x") -> FoundLog:
    return FoundLog(number, f"h{number}", RawLog("0xd1", (), data, "0x", 0, index))


def told(*logs: FoundLog) -> ToldLogs:
    return frozenset(logs)


def test_answers_that_are_the_same_are_not_disputed() -> None:
    same = told(found(1), found(2))

    assert ([], []) == (disputed([same, same], same), lacking([same, same], same))


def test_an_answer_without_a_log_that_another_has_is_disputed_in_that_block() -> None:
    whole, cut = told(found(1), found(5), found(9)), told(found(1), found(9))

    assert ([5], [1]) == (disputed([whole, cut]), lacking([whole, cut]))
    assert whole == union([whole, cut])


def test_what_was_written_and_is_not_told_any_more_is_disputed() -> None:
    assert [3] == disputed([told()], told(found(3)))


def test_what_was_not_written_and_every_answer_tells_is_not_disputed() -> None:
    assert [] == disputed([told(found(3)), told(found(3))], told())


def test_of_two_logs_at_one_place_the_one_most_answers_have_is_taken() -> None:
    right, wrong = found(1, 0, "0x01"), found(1, 0, "0x02")

    assert told(right) == union([told(wrong), told(right), told(right)])
    assert [1] == disputed([told(right), told(wrong)])
