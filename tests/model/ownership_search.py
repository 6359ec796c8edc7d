"""What must hold in every state of the model of ownership, and the search for one in which it does not.

``search`` walks breadth first through every state within its bounds and returns the shortest way to one that breaks an
invariant. The two workers are alike, so of two states that differ in nothing but their names one is visited.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from tests.model.ownership import (
    NO_ROW,
    Case,
    Phase,
    Row,
    State,
    Step,
    Table,
    is_member,
    is_settled,
    restore,
    steps,
    unread,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Found(NamedTuple):
    """What a search came to: the states it saw and, where an invariant broke, its name and the way there."""

    states: int
    invariant: str | None
    trace: tuple[str, ...]

    def __str__(self) -> str:
        head = f"{self.states} states, broken: {self.invariant or 'nothing'}"
        return "\n".join((head, *(f"{at:3}. {line}" for at, line in enumerate(self.trace, 1))))


def nothing_committed_is_lost(case: Case, _: State, state: State) -> bool:
    """Whoever recovers now, on an empty disk or one of the two, has every committed record, and none twice."""
    if case.bounds.table is Table.VALUED:
        return True
    rows = [restore(NO_ROW, state.log, overwritten=False)[0]]
    rows += [restore(worker.row, unread(state, worker), overwritten=False)[0] for worker in state.workers]
    return all(_is_whole(row, state.committed) for row in rows)


def a_reader_shows_what_is_committed(case: Case, _: State, state: State) -> bool:
    """And as versions count records, and it keeps the highest, it goes back only where a newer term begins lower."""
    return case.bounds.table is Table.VALUED or _is_whole(state.shown, state.committed)


def a_reader_never_goes_back(case: Case, before: State, state: State) -> bool:
    """What would be nicer than the above. It does not hold."""
    return case.bounds.table is Table.VALUED or len(before.shown.body) <= len(state.shown.body)


def the_owner_has_the_highest_term(case: Case, _: State, state: State) -> bool:
    """Of two that passed the fence, the one whose generation stands has the higher term."""
    del case
    if state.owner is None or not is_member(state, state.owner):
        return True
    owner, other = state.workers[state.owner], state.workers[1 - state.owner]
    return owner.phase is not Phase.OWNER or other.phase is not Phase.OWNER or other.term < owner.term


def a_term_and_version_name_one_row(case: Case, _: State, state: State) -> bool:
    """They are what clients know a row by."""
    del case
    rows = {*state.log, state.shown}
    for worker in state.workers:
        rows |= {worker.row, worker.front, *(sent.row for sent in worker.sending)}
    return len(rows) == len({row[:2] for row in rows})


def what_settles_is_the_owners_row(case: Case, _: State, state: State) -> bool:
    """Once no fenced owner is left, the key's last record, its highest and what readers show are the owner's row."""
    if state.owner is None or not is_settled(state, case.rules):
        return True
    owner, other = state.workers[state.owner], state.workers[1 - state.owner]
    if case.bounds.table is Table.VALUED:
        is_done = owner.held.body == (state.mark,)
    else:
        is_done = owner.next_record > case.bounds.source_records
    if not is_done or other.phase > Phase.IDLE or other.sending:
        return True
    return not state.log or state.log[-1] == owner.held == state.shown


def _is_whole(row: Row, committed: int) -> bool:
    return len(row.body) >= committed and row.body == tuple(range(1, len(row.body) + 1))


INVARIANTS = (
    nothing_committed_is_lost,
    a_reader_shows_what_is_committed,
    the_owner_has_the_highest_term,
    a_term_and_version_name_one_row,
    what_settles_is_the_owners_row,
)


class _Came(NamedTuple):
    before: State
    step: Step
    are_swapped: bool


def search(case: Case, invariants: tuple[Callable[[Case, State, State], bool], ...] = INVARIANTS) -> Found:
    """Walk through every state within the bounds, nearest first, until an invariant breaks."""
    start = State()
    seen: dict[State, _Came | None] = {start: None}
    waiting = deque((start,))
    while waiting:
        before = waiting.popleft()
        for step, stepped in steps(before, case):
            after, are_swapped = _canonical(stepped)
            if after in seen:
                continue
            for invariant in invariants:
                if not invariant(case, before, after):
                    return Found(len(seen), invariant.__name__, _trace(before, step, seen))
            seen[after] = _Came(before, step, are_swapped)
            waiting.append(after)
    return Found(len(seen), None, ())


def _canonical(state: State) -> tuple[State, bool]:
    first, second = state.workers
    if first >= second:
        return state, False
    owner = None if state.owner is None else 1 - state.owner
    return state._replace(workers=(second, first), owner=owner), True


def _trace(state: State, last: Step, seen: dict[State, _Came | None]) -> tuple[str, ...]:
    way = [(last, False)]
    while (came := seen[state]) is not None:
        state = came.before
        way.append((came.step, came.are_swapped))
    way.reverse()
    # The first step assigns the partition; let that be to A.
    names = "AB" if way[0][0].worker == 0 else "BA"
    lines = []
    for step, are_swapped in way:
        lines.append(step.sentence.format(names[step.worker], *step.details))
        names = names[::-1] if are_swapped else names
    return tuple(lines)
