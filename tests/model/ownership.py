"""The protocol of ownership as an explicit-state model: one key of one table, two workers, every interleaving.

The world is a value: the changelog, the group, and two workers with what each holds in memory, on its disk and on the
wire. ``steps`` says what can happen next, ``ownership_search.py`` walks through every state within bounds. Each rule of
the protocol is a switch, so that a test can turn it off and see what it is for.

Where the model differs from the code, on purpose:

* A pause needs no step of its own. A worker that does nothing for a while is a paused one; it wakes by doing what it
  would have done next: claim, recover, fold on, send what it had on its way.
* Time is left out. Compaction lag is an hour and a repair takes seconds, so with the lag the cleaner runs only where
  the live owner has heard the changelog to its end and all it sent is acknowledged (``is_settled``). That leaves out
  an hour without any owner after a fenced owner's row.
* The cleaner keeps the last record of the key in whatever head of the log it looks at, so what is left is a tail.
* Restoring is one step. A standby that dies half way is one that did so when the changelog was shorter.
* A rebalance asks nobody: it can pass while its members sleep, and give the partition to whom it had.
* A body is the source records folded into it, in their order, so that one lost and one folded twice are both seen. In
  the other kind of table, valuations, it is the mark it was made from, which can return to what it was.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEFORE_ALL = -1


class Rules(NamedTuple):
    """The protocol's rules. Each is off only in the test that shows what it is for.

    Attributes:
        claim_terms: A term is the offset of a claim; else one more than the term of the row recovered.
        fence: Between claim and recovery a commit asks the coordinator whether the generation stands.
        commit_as_member: A commit is made in the generation of the assignment; else a client that its group has thrown
            out commits as nobody, which Kafka takes while the group is empty.
        ack_before_commit: A record is committed when its row is acknowledged; else when it is sent.
        applied_guard: A record at or below a row's last one changes nothing; else it is folded again.
        passed_over_under_own_term: Where such a record changes nothing, the row is still sent under the owner's term,
            unless it stands there so, and the commit waits for it.
        end_at_later_term: Who recovers or hears a row of a later term ends.
        rewrite_on_takeover: A new owner sends the row again where the last record is not its own.
        owner_tails_and_rewrites: An owner does so too, when it reads a fenced owner's row.
        rewrite_under_own_term: What is sent again is sent under the owner's term, and over whatever a fenced
            owner wrote; else as it is, and only over what is lower.
        persist_overwritten_markers: That the last record is not the row held is kept on disk, beside the offset.
        offset_stops_at_gap: An acknowledgement moves the disk's offset only where it follows it without a gap.
        old_acks_left_to_tail: An acknowledgement of an earlier ownership's row puts nothing on the disk.
        compaction_lag: The cleaner waits until the owner has repaired what a fenced owner wrote.
    """

    claim_terms: bool = True
    fence: bool = True
    commit_as_member: bool = True
    ack_before_commit: bool = True
    applied_guard: bool = True
    passed_over_under_own_term: bool = True
    end_at_later_term: bool = True
    rewrite_on_takeover: bool = True
    owner_tails_and_rewrites: bool = True
    rewrite_under_own_term: bool = True
    persist_overwritten_markers: bool = True
    offset_stops_at_gap: bool = True
    old_acks_left_to_tail: bool = True
    compaction_lag: bool = True


class Table(StrEnum):
    """Rows folded from source records, and rows computed from the mark of the moment."""

    FOLDED = "folded"
    VALUED = "valued"


class Bounds(NamedTuple):
    """How far a search goes. ``changelog_records`` are all ever appended, ``on_the_wire`` what one worker has sent."""

    table: Table = Table.FOLDED
    source_records: int = 2
    changelog_records: int = 4
    generations: int = 2
    crashes: int = 0
    mark_moves: int = 2
    on_the_wire: int = 2
    has_standbys: bool = False
    may_be_empty: bool = False


class Case(NamedTuple):
    """What is searched: under which rules, and how far."""

    rules: Rules
    bounds: Bounds


class Phase(IntEnum):
    """Where a worker is on its way to ownership."""

    DOWN = 0
    IDLE = 1
    ASSIGNED = 2
    CLAIMED = 3
    FENCED = 4
    OWNER = 5


class Row(NamedTuple):
    """A row, ordered by (term, version). ``body`` is the records folded, or the mark. Version 0 stands for no row."""

    term: int
    version: int
    body: tuple[int, ...]

    def __str__(self) -> str:
        return f"(term {self.term}, version {self.version}, {list(self.body)})" if self.version else "no row"


NO_ROW = Row(_BEFORE_ALL, 0, ())


class Sent(NamedTuple):
    """A row on its way; ``record`` is not committed before it is acknowledged, ``offset`` is where it then stands."""

    row: Row
    record: int = 0
    offset: int = _BEFORE_ALL


class Worker(NamedTuple):
    """One worker. ``row``, ``restored`` (an offset) and ``overwritten`` are on its disk, ``front`` is in its memory."""

    phase: Phase = Phase.IDLE
    generation: int = 0
    term: int = _BEFORE_ALL
    row: Row = NO_ROW
    restored: int = _BEFORE_ALL
    overwritten: bool = False
    front: Row = NO_ROW
    next_record: int = 0
    heard: int = 0
    sending: tuple[Sent, ...] = ()
    acks: tuple[Sent, ...] = ()

    @property
    def held(self) -> Row:
        """The newest row, acknowledged or not."""
        return self.front if self.front.version else self.row


class State(NamedTuple):
    """The world. ``first`` is the offset of ``log[0]``; ``shown`` is what a reader shows that has read everything."""

    workers: tuple[Worker, Worker] = (Worker(), Worker())
    log: tuple[Row, ...] = ()
    first: int = 0
    shown: Row = NO_ROW
    generation: int = 0
    owner: int | None = None
    committed: int = 0
    claims: int = 0
    crashes: int = 0
    mark: int = 0
    mark_moves: int = 0

    @property
    def end(self) -> int:
        """The offset after the last record of the changelog."""
        return self.first + len(self.log)


class Step(NamedTuple):
    """What happened: a sentence, the worker whose name goes into its first place, and what goes into the others."""

    sentence: str
    worker: int = 0
    details: tuple[object, ...] = ()


def restore(row: Row, records: tuple[Row, ...], *, overwritten: bool) -> tuple[Row, bool]:
    """Fold changelog records over the row a store holds, as ``streams.transport.stores.newest_rows`` does."""
    for record in records:
        overwritten = record[:2] < row[:2]
        if not overwritten:
            row = record
    return row, overwritten


def unread(state: State, worker: Worker) -> tuple[Row, ...]:
    """What the changelog has behind the last record that a worker has on its disk."""
    return state.log[max(0, worker.restored + 1 - state.first) :]


def is_member(state: State, at: int) -> bool:
    """Whether a worker was given the partition, and knows it."""
    return state.owner == at and state.workers[at].generation == state.generation


def _may_commit(state: State, at: int, rules: Rules) -> bool:
    # A client that was thrown out of its group commits as nobody; Kafka takes that while the group is empty.
    return is_member(state, at) or (state.owner is None and not rules.commit_as_member)


def is_settled(state: State, rules: Rules) -> bool:
    """Whether the owner has heard the changelog to its end and has nothing on the wire."""
    if state.owner is None or not is_member(state, state.owner):
        return False
    owner = state.workers[state.owner]
    has_heard = owner.heard == state.end or not rules.owner_tails_and_rewrites
    return owner.phase is Phase.OWNER and has_heard and not owner.sending and not owner.acks


def _with(state: State, at: int, worker: Worker) -> State:
    first, second = state.workers
    return state._replace(workers=(first, worker) if at else (worker, second))


def steps(state: State, case: Case) -> Iterator[tuple[Step, State]]:
    """Everything that can happen next."""
    rules, bounds = case
    if state.generation < bounds.generations:
        yield from _rebalances(state, bounds)
    for at, worker in enumerate(state.workers):
        for step, after in _worker_steps(state, at, worker, case):
            yield step, _with(state, at, after)
        yield from _steps_of_the_world(state, at, worker, case)
    if len(state.log) > 1 and (is_settled(state, rules) or not rules.compaction_lag):
        for dropped in range(1, len(state.log)):
            step = Step("the cleaner keeps {1} and drops what is before it", details=(state.log[dropped],))
            yield step, state._replace(log=state.log[dropped:], first=state.first + dropped)
    if bounds.table is Table.VALUED and state.mark_moves < bounds.mark_moves:
        mark = 1 - state.mark
        moved = state._replace(mark=mark, mark_moves=state.mark_moves + 1)
        yield Step("the mark moves to {1}", details=(mark,)), moved


def _rebalances(state: State, bounds: Bounds) -> Iterator[tuple[Step, State]]:
    generation = state.generation + 1
    for at, worker in enumerate(state.workers):
        if worker.phase is not Phase.DOWN:
            step = Step("the group rebalances: {0} is the owner of generation {1}", at, (generation,))
            yield step, state._replace(generation=generation, owner=at)
    if bounds.may_be_empty and state.owner is not None:
        step = Step("every session is over: the group is empty in generation {1}", details=(generation,))
        yield step, state._replace(generation=generation, owner=None)


def _steps_of_the_world(state: State, at: int, worker: Worker, case: Case) -> Iterator[tuple[Step, State]]:
    """What changes more than the worker itself."""
    rules, bounds = case
    match worker.phase:
        case Phase.ASSIGNED if rules.claim_terms:
            claimed = worker._replace(phase=Phase.CLAIMED, term=state.claims)
            step = Step("{0} claims term {1}", at, (state.claims,))
            yield step, _with(state._replace(claims=state.claims + 1), at, claimed)
        case Phase.OWNER:
            waited_for = [sent.record for sent in (*worker.acks, *worker.sending) if sent.record]
            done = min(waited_for) - 1 if waited_for and rules.ack_before_commit else worker.next_record - 1
            if done > state.committed and _may_commit(state, at, rules):
                yield Step("{0} commits up to record {1}", at, (done,)), state._replace(committed=done)
        case _:
            pass
    # A kill matters where there is memory to lose.
    if state.crashes < bounds.crashes and (worker.phase is Phase.OWNER or worker.overwritten):
        yield Step("{0} is killed", at), _with(state._replace(crashes=state.crashes + 1), at, _dead(worker, rules))
    if worker.sending and state.end < bounds.changelog_records:
        yield _append(state, at, worker)


def _append(state: State, at: int, worker: Worker) -> tuple[Step, State]:
    sent, *left = worker.sending
    row = sent.row
    on = worker._replace(sending=tuple(left))
    # Whoever is no owner takes no notice of acknowledgements; its next recovery reads what was appended before.
    if worker.phase is Phase.OWNER:
        has_heard = worker.heard == state.end and row.term == worker.term
        on = on._replace(acks=(*worker.acks, sent._replace(offset=state.end)), heard=worker.heard + has_heard)
    shown = row if row[:2] >= state.shown[:2] else state.shown
    step = Step("the broker appends {0}'s {1}", at, (row,))
    return step, _with(state._replace(log=(*state.log, row), shown=shown), at, on)


def _worker_steps(state: State, at: int, worker: Worker, case: Case) -> Iterator[tuple[Step, Worker]]:
    """What a worker does that changes nothing but itself."""
    rules, bounds = case
    if worker.phase is Phase.DOWN:
        yield Step("{0} starts again with its disk", at), worker._replace(phase=Phase.IDLE, sending=())
        yield Step("{0} starts again on an empty disk", at), Worker()
        return
    if worker.generation != state.generation and (worker.phase is not Phase.IDLE or state.owner == at):
        yield _learn(state, at, worker)
    match worker.phase:
        case Phase.IDLE if bounds.has_standbys and unread(state, worker):
            row, overwritten = restore(worker.row, unread(state, worker), overwritten=worker.overwritten)
            standby = worker._replace(row=row, overwritten=overwritten, restored=state.end - 1)
            yield Step("{0} stands by, and has {1}", at, (row,)), standby
        case Phase.ASSIGNED if not rules.claim_terms:
            yield Step("{0} claims nothing", at), worker._replace(phase=Phase.CLAIMED)
        case Phase.CLAIMED:
            if _may_commit(state, at, rules) or not rules.fence:
                yield Step("{0} passes the fence", at), worker._replace(phase=Phase.FENCED)
            else:
                yield Step("{0} is refused at the fence", at), _released(worker)
        case Phase.FENCED:
            yield _take(state, at, worker, rules)
        case Phase.OWNER:
            yield from _owner_steps(state, at, worker, case)
        case _:
            pass


def _owner_steps(state: State, at: int, worker: Worker, case: Case) -> Iterator[tuple[Step, Worker]]:
    rules, bounds = case
    if len(worker.sending) < bounds.on_the_wire:
        if bounds.table is Table.VALUED:
            yield from _value(state, at, worker)
        elif not worker.next_record:
            record = state.committed + 1
            yield Step("{0} goes on at record {1}", at, (record,)), worker._replace(next_record=record)
        elif worker.next_record <= bounds.source_records:
            yield _fold(at, worker, rules)
    if rules.owner_tails_and_rewrites and worker.heard < state.end:
        yield _hear(state, at, worker, rules)
    if worker.acks:
        acked, *later = worker.acks
        heard = _acknowledged(worker._replace(acks=tuple(later)), acked, rules)
        yield Step("{0} hears that {1} is acknowledged", at, (acked.row,)), heard


def _released(worker: Worker) -> Worker:
    return Worker(
        row=worker.row,
        restored=worker.restored,
        overwritten=worker.overwritten,
        sending=tuple(Sent(sent.row) for sent in worker.sending),
    )


def _dead(worker: Worker, rules: Rules) -> Worker:
    # What was handed to the network may still arrive.
    overwritten = worker.overwritten and rules.persist_overwritten_markers
    return _released(worker)._replace(phase=Phase.DOWN, overwritten=overwritten)


def _learn(state: State, at: int, worker: Worker) -> tuple[Step, Worker]:
    released = _released(worker)
    if state.owner != at:
        return Step("{0} hears that the partition is not its own any more", at), released
    assigned = released._replace(phase=Phase.ASSIGNED, generation=state.generation)
    return Step("{0} is assigned the partition in generation {1}", at, (state.generation,)), assigned


def _take(state: State, at: int, worker: Worker, rules: Rules) -> tuple[Step, Worker]:
    row, overwritten = restore(worker.row, unread(state, worker), overwritten=worker.overwritten)
    term = worker.term if rules.claim_terms else row.term + 1
    restored = worker._replace(row=row, overwritten=overwritten, restored=state.end - 1)
    if row.term > term and rules.end_at_later_term:
        return Step("{0} recovers a later owner's {1} and ends", at, (row,)), _dead(restored, rules)
    owner = restored._replace(phase=Phase.OWNER, term=term, heard=state.end)
    if overwritten and rules.rewrite_on_takeover:
        owner, again = _send_again(owner, rules)
        return Step("{0} recovers {1}, takes the partition under term {2} and sends {3}", at, (row, term, again)), owner
    return Step("{0} recovers {1} and takes the partition under term {2}", at, (row, term)), owner


def _fold(at: int, worker: Worker, rules: Rules) -> tuple[Step, Worker]:
    record, held = worker.next_record, worker.held
    on = worker._replace(next_record=record + 1)
    if held.body and record <= held.body[-1] and rules.applied_guard:
        if worker.row.term == worker.term or not rules.passed_over_under_own_term:
            return Step("{0} passes over record {1}, which is folded", at, (record,)), on
        sentence, row = "{0} passes over record {1}, which is folded, and sends {2}", held._replace(term=worker.term)
    else:
        sentence = "{0} folds record {1} and sends {2}"
        row = Row(worker.term, held.version + 1, (*held.body, record))
    return Step(sentence, at, (record, row)), _write(on, row, record)


def _value(state: State, at: int, worker: Worker) -> Iterator[tuple[Step, Worker]]:
    held = worker.held
    if held.body != (state.mark,):
        row = Row(worker.term, held.version + 1, (state.mark,))
        yield Step("{0} values at mark {1} and sends {2}", at, (state.mark, row)), _write(worker, row)


def _write(worker: Worker, row: Row, record: int = 0) -> Worker:
    return worker._replace(front=row, sending=(*worker.sending, Sent(row, record)))


def _hear(state: State, at: int, worker: Worker, rules: Rules) -> tuple[Step, Worker]:
    strange = NO_ROW
    for record in state.log[max(0, worker.heard - state.first) :]:
        strange = NO_ROW if record.term == worker.term else record
    heard, held = worker._replace(heard=state.end), worker.held
    if strange.term > worker.term and rules.end_at_later_term:
        return Step("{0} hears a later owner's {1} and ends", at, (strange,)), _dead(worker, rules)
    is_worse = strange[:2] < held[:2] or rules.rewrite_under_own_term
    if strange.version and held.version and is_worse:
        heard, again = _send_again(heard, rules)
        return Step("{0} hears a fenced owner's {1} and sends {2}", at, (strange, again)), heard
    return Step("{0} hears its changelog to the end", at), heard


def _send_again(worker: Worker, rules: Rules) -> tuple[Worker, Row]:
    row = worker.held
    if not rules.rewrite_under_own_term:
        return worker._replace(sending=(*worker.sending, Sent(row))), row
    own = row._replace(term=worker.term)
    return _write(worker, own), own


def _acknowledged(worker: Worker, acked: Sent, rules: Rules) -> Worker:
    """What ``streams.transport.stores.RowStore.acknowledged`` does."""
    is_old = acked.row.term != worker.term and acked.row[:2] > worker.row[:2]
    if acked.offset <= worker.restored or (is_old and rules.old_acks_left_to_tail):
        return worker
    is_next = acked.offset == worker.restored + 1 or not rules.offset_stops_at_gap
    restored = acked.offset if is_next else worker.restored
    if acked.row != worker.front and acked.row[:2] < worker.row[:2]:
        return worker._replace(overwritten=True, restored=restored)
    front = NO_ROW if acked.row == worker.front else worker.front
    return worker._replace(row=acked.row, front=front, overwritten=False, restored=restored)
