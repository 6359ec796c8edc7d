"""The queue of one user: everything stands once, and none of his sockets has it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from api.dialects.bitfinex.calc_queue import CalcQueue, Overflows
from api.dialects.bitfinex.calc_requests import Calculation

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 6
ASKERS = ("one", "two", "three")


def keys(*numbers: int) -> list[Calculation]:
    return [Calculation("position", f"tS{number}") for number in numbers]


def test_what_waits_already_keeps_its_first_place() -> None:
    queue: CalcQueue[str] = CalcQueue()
    queue.add("one", keys(1, 2, 3), MOST)
    queue.add("one", keys(3, 1, 4), MOST)
    assert keys(1, 2, 3, 4) == [one for one, _ in queue.take(10)]


def test_sockets_are_served_in_turns_and_what_both_want_is_calculated_once() -> None:
    queue: CalcQueue[str] = CalcQueue()
    queue.add("one", keys(1, 2, 3, 4), MOST)
    queue.add("two", keys(8, 3), MOST)
    first, second, third, *rest = queue.take(10)
    assert ([first, second], third) == (
        [(keys(1)[0], ["one"]), (keys(8)[0], ["two"])],
        (keys(2)[0], ["one"]),
    )
    assert [(keys(3)[0], ["one", "two"]), (keys(4)[0], ["one"])] == rest
    assert not queue


def test_what_a_socket_waits_for_goes_with_it() -> None:
    queue: CalcQueue[str] = CalcQueue()
    queue.add("one", keys(1, 2), MOST)
    queue.add("two", keys(2, 3), MOST)
    queue.leave("one")
    assert [(keys(2)[0], ["two"]), (keys(3)[0], ["two"])] == queue.take(10)
    assert not queue


def test_a_socket_that_filled_the_queue_gives_its_newest_up_for_one_that_waits_for_less() -> None:
    queue: CalcQueue[str] = CalcQueue()
    assert {"flood": 4} == queue.add("flood", keys(*range(10)), MOST)
    # Each has half of it: the flood gives up three, and the other cannot have more than the flood.
    assert {"flood": 3, "calm": 1} == queue.add("calm", keys(20, 21, 22, 23), MOST)
    assert keys(0, 20, 1, 21, 2, 22) == [one for one, _ in queue.take(10)]


def test_what_another_socket_waits_for_too_is_not_given_up() -> None:
    queue: CalcQueue[str] = CalcQueue()
    queue.add("flood", keys(*range(6)), MOST)
    queue.add("calm", keys(4, 5), MOST)
    assert {"flood": 1} == queue.add("third", keys(20), MOST)
    assert keys(0, 1, 2, 4, 5, 20) == sorted((one for one, _ in queue.take(10)), key=lambda one: int(one.subject[2:]))


_steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ASKERS), st.lists(st.integers(0, 20), min_size=1, max_size=9, unique=True)),
        st.integers(1, 4),
        st.sampled_from(ASKERS),
    ),
    max_size=40,
)


@given(_steps)
def test_whatever_is_asked_all_is_answered_or_left_out_and_never_more_waits_than_there_is_a_place_for(
    steps: Sequence[tuple[str, list[int]] | int | str],
) -> None:
    queue: CalcQueue[str] = CalcQueue()
    wanted = {asker: set[Calculation]() for asker in ASKERS}
    for step in steps:
        match step:
            case (str(asker), list(numbers)):
                before = {one: len(waits) for one, waits in wanted.items()}
                asked = wanted[asker] | set(keys(*numbers))
                left_out = queue.add(asker, keys(*numbers), MOST)
                # Who it is left out for is known by what comes; here only that the numbers add up.
                assert left_out[asker] <= len(asked) - before[asker]
                assert all(left_out[other] <= before[other] for other in ASKERS if other != asker)
                wanted = {one: set(queue.waiting_of(one)) for one in ASKERS}
                assert len(asked) - left_out[asker] == len(wanted[asker])
                assert all(before[one] - left_out[one] == len(wanted[one]) for one in ASKERS if one != asker)
            case int(most):
                for one, askers in queue.take(most):
                    assert set(askers) == {asker for asker in ASKERS if one in wanted[asker]}
                    for asker in askers:
                        wanted[asker].remove(one)
            case str(asker):
                queue.leave(asker)
                wanted[asker].clear()
        assert len(set.union(*wanted.values())) == len(queue) <= MOST


def test_the_third_overflow_within_ten_seconds_is_the_last_straw() -> None:
    counted = Overflows()
    told = [counted.is_last_straw(at) for at in (0.0, 4.0, 10.1, 13.9)]
    assert [False, False, False, True] == told
