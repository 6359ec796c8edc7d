"""The position states of one partition: made of what the chain does and engines say, some only after a wait."""

from __future__ import annotations

import re
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from models.account_events import Transaction
from models.body_reader import no_row
from models.codec import decode_row, encode_body
from models.engine.step import RowId, Stage, Step, Write, step_of
from models.engine.stored_rows import count_beyond, readable, stored
from models.engine.tables import POSITION_STATES
from models.errors import BadRecord
from models.ids import split_key
from models.position_states import EMPTY
from models.symmio.chain_states import states_of
from models.symmio.engine_states import decode_engine_state, expect_own_key
from models.symmio.position_states import (
    YOUNG_MS,
    due_ms,
    released,
    with_chain_states,
    with_engine_state,
    without_blocks_above,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from models.account_events import OwnRecord, RolledBack
    from models.engine.stored_rows import StoredRows
    from models.symmio.account import AccountRow
    from models.symmio.engine_states import EngineState
    from models.venue import Change, ToldAt

_WAITS = re.compile(rb'"due_ms":\d')
_OFF, _GAPS = "off", "gaps"


class DueStates:
    """Makes changes of what happens, folds them into an account's row, and releases states that waited long enough.

    Args:
        modes: Which states are made of each deployment's chain: ``off``, ``gaps`` or ``on``.
        rows: The tables that the rows are written to.
    """

    def __init__(self, modes: Mapping[str, str], rows: StoredRows) -> None:
        self._modes = modes
        self._rows = rows
        self._waiting: list[tuple[int, bytes]] = []

    @property
    def next_due_ms(self) -> int | None:
        """When the first state that waits may be due, Unix ms; None where none waits."""
        return self._waiting[0][0] if self._waiting else None

    def restore(self, key: bytes, row: bytes) -> None:
        """Take in a row of ``position-states`` that was recovered."""
        if not _WAITS.search(row):
            return
        until_ms = readable(self._rows.note_unreadable, POSITION_STATES, key, row, _due_ms_of)
        if until_ms is not None:
            heappush(self._waiting, (until_ms, key))

    def of_record(self, key: bytes, record: OwnRecord, account: AccountRow, now_ms: int) -> Change | None:
        """What a record that was folded into an account changes.

        Args:
            key: The account's key.
            record: What was folded into it; only transactions make states.
            account: The account after it.
            now_ms: The instant, Unix ms; what is ``YOUNG_MS`` older is news to nobody.

        Returns:
            None where it makes no states.
        """
        deployment, _ = split_key(key)
        mode = self._modes.get(deployment, _OFF)
        if mode == _OFF or not isinstance(record, Transaction) or account.suspect is not None:
            return None
        made = states_of(deployment, record, account.state.quotes)
        if not made:
            return None
        fresh = now_ms - record.time_s * 1000 <= YOUNG_MS
        return partial(with_chain_states, made=made, fresh=fresh, gaps=mode == _GAPS, now_ms=now_ms)

    def of_rollback(self, record: RolledBack) -> Change:
        """What a rollback changes in an account that it concerns."""
        return partial(without_blocks_above, ancestor=record.ancestor, position=record.position)

    def read(self, key: bytes, value: bytes, told_at: ToldAt, now_ms: int) -> Change:
        """What an engine's record changes in the row of the account that it is about.

        Args:
            key: The record's key.
            value: The record.
            told_at: Where it stands, and its own time.
            now_ms: The instant, Unix ms.

        Raises:
            BadRecord: It cannot be read, is another account's, or its deployment is not configured.
        """
        state = decode_engine_state(value)
        expect_own_key(key, state)
        deployment, _ = split_key(key)
        if deployment not in self._modes:
            msg = f"expected a key of a configured deployment, found {key!r}; add [deployments.{deployment}]"
            raise BadRecord(msg)
        return self.of_engine(key, state, told_at, now_ms)

    def of_engine(self, key: bytes, state: EngineState, told_at: ToldAt, now_ms: int) -> Change:
        """What an engine's record changes.

        Args:
            key: The account.
            state: The record.
            told_at: Where it stands, and its own time.
            now_ms: The instant, Unix ms.
        """
        gaps = self._modes.get(split_key(key)[0]) == _GAPS
        made = {"at_ms": now_ms, "partition": told_at.partition, "offset": told_at.offset}
        return partial(with_engine_state, state=state, made=made, fresh=now_ms - told_at.sent_ms <= YOUNG_MS, gaps=gaps)

    def fold(self, key: bytes, changes: Iterable[Change]) -> Write | RowId:
        """Fold changes into an account's row; one that cannot be read is made anew of them.

        Returns:
            The new row; or, where nothing changes, which row it is that the changes rest on.
        """
        made = tuple(changes)
        row = stored(self._rows, POSITION_STATES, key, partial(_changed_row, made))
        if row.value is not None:
            before, after = row.value
            if after is before:
                return RowId(POSITION_STATES, key)
        else:
            before = {**EMPTY, "count": count_beyond(row.version)}
            after = _changed(made, before)
            if after is before and not row.is_unreadable:
                return RowId(POSITION_STATES, key)
        until_ms = due_ms(after)
        if until_ms is not None:
            heappush(self._waiting, (until_ms, key))
        return Write(POSITION_STATES, key, row.version + 1, encode_body(after))

    def release(self, now_ms: int) -> Step:
        """Let the states stand that have waited until ``now_ms``, Unix ms."""
        found: dict[bytes, Write | RowId] = {}
        while self._waiting and self._waiting[0][0] <= now_ms:
            _, key = heappop(self._waiting)
            # One release is of all that an account has waiting.
            if key not in found:
                found[key] = self.fold(key, (partial(released, now_ms=now_ms),))
        writes = [one for one in found.values() if isinstance(one, Write)]
        rests_on = [one for one in found.values() if isinstance(one, RowId)]
        return step_of((Stage(writes, rests_on),))


def _changed(changes: Iterable[Change], before: Mapping[str, Any]) -> Mapping[str, Any]:
    """What changes make of a row's body; that itself where they change nothing."""
    after = before
    for change in changes:
        after = change(after)
    return after


def _changed_row(changes: Iterable[Change], row: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A row's body, and what changes make of it.

    Raises:
        BadRow: It lacks what it must have.
    """
    before = decode_row(row).body
    try:
        return before, _changed(changes, before)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise no_row(row, POSITION_STATES, error) from error


def _due_ms_of(row: bytes) -> int | None:
    try:
        return due_ms(decode_row(row).body)
    except (KeyError, TypeError) as error:
        raise no_row(row, POSITION_STATES, error) from error
