"""Subjects: what is shown under one key of one channel, encoded once a state for all who are subscribed to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from api.dialects.native.protocol import delta_tail, snapshot_tail
from api.tables.ranking import UNREADABLE
from models.codec import ORDER_BYTES, decode_order, decode_row
from models.errors import BadRow
from models.freshness import AS_IT_SAYS, aged, with_causes
from models.patch import merge_patch
from models.views import View, unsupported_account

if TYPE_CHECKING:
    from api.delivery.subscription import Subscription
    from api.dialects.native.protocol import Seq
    from api.tables.feeds import RowFeed
    from api.tables.freshness import Freshness
    from models.freshness import Aging

RowView = Callable[[str, Mapping[str, Any]], View]

KeyView = Callable[[str], View]

# It follows term and version in a seq, so that the state differs from that of the same row when it is supported.
_UNSUPPORTED = -1
_NO_SEQ: Seq = ()
# The most whole bytes of which a number in JavaScript holds every bit.
_DIGEST_BYTES = 6


class State:
    """One state of a subject: its seq and its view, which is encoded once somebody is sent the whole of it.

    There are as many states as watched keys, and a view takes twice the memory of its bytes. Most keys are quiet: what
    was encoded is kept as bytes until a delta is made of it. Of a key that moves, the next state shares the greater
    part of the view.

    Args:
        epoch: Number of the rebuild that it belongs to.
        seq: Its seq.
        view: Its view.
    """

    __slots__ = ("_data_at", "_epoch", "_tail", "_view", "seq")

    def __init__(self, epoch: int, seq: Seq, view: View) -> None:
        self._epoch = epoch
        self.seq = seq
        self._view: View | None = view
        self._tail = b""
        self._data_at = 0

    @property
    def tail(self) -> bytes:
        """The part of a snapshot that is the same for all subscriptions."""
        if not self._tail:
            data = orjson.dumps(self._view)
            self._tail = snapshot_tail(self._epoch, self.seq, data)
            self._data_at = len(self._tail) - len(data) - 1
            self._view = None
        return self._tail

    @property
    def view(self) -> View:
        """What is shown; nobody may change it."""
        if self._view is None:
            self._view = orjson.loads(self.data)
        return self._view

    @property
    def data(self) -> bytes:
        """The view as JSON."""
        tail = self.tail
        return tail[self._data_at : -1]


class Subject(ABC):
    """What is shown under one key of one channel, and the subscriptions to it.

    Args:
        epoch: Number of the rebuild that its states belong to.
    """

    def __init__(self, epoch: int) -> None:
        self.subscriptions: dict[Subscription, None] = {}
        self._epoch = epoch
        self._state: State | None = None
        self._deltas: dict[Seq, bytes] = {}

    @abstractmethod
    def current(self) -> State | None:
        """The newest state; None while it is not known because tables are still being read."""

    def delta(self, held: State, current: State) -> bytes:
        """The rest of a delta from the state that a client holds to the one that ``current`` has just returned."""
        tail = self._deltas.get(held.seq)
        if tail is None:
            patch = merge_patch(held.view, current.view)
            tail = self._deltas[held.seq] = delta_tail(held.seq, current.seq, orjson.dumps(patch))
        return tail

    def _set_state(self, seq: Seq, view: View) -> State:
        """Keep a view as the newest state."""
        self._state = State(self._epoch, seq, view)
        self._deltas.clear()
        return self._state


class RowSubject(Subject):
    """One row of a table, as a view of it.

    Args:
        epoch: Number of the rebuild.
        feed: The table.
        key: The row's key.
        absent: Makes the view of a key that has no row.
        view: Makes the view of a key and the body of its row.
    """

    def __init__(self, epoch: int, feed: RowFeed, key: str, absent: KeyView, view: RowView) -> None:
        super().__init__(epoch)
        self._feed = feed
        self._key = key
        self._row_key = key.encode()
        self._absent = absent
        self._view = view
        self._row: bytes | None = None

    def current(self) -> State | None:
        """The state of the current row; where there is no row, the view of its absence under an empty seq."""
        row = self._feed.rows.get(self._row_key)
        if self._state is not None and row is self._row:
            return self._state
        if row is None:
            if not self._feed.is_ready:
                return None
            state = self._set_state(_NO_SEQ, self._absent(self._key))
        else:
            state = self._set_state(self._seq(row), self._shown(row))
        self._row = row
        return state

    def _seq(self, row: bytes) -> Seq:
        return decode_order(row)

    def _body(self, row: bytes) -> dict[str, Any]:
        """The row's body as it is shown."""
        return decode_row(row).body

    def _shown(self, row: bytes) -> View:
        try:
            return self._view(self._key, self._body(row))
        except BadRow:
            return {**self._absent(self._key), "status": UNREADABLE}


class AlertsSubject(RowSubject):
    """The alarms of an account that are on, which say why they may be old.

    Args:
        epoch: Number of the rebuild.
        feed: The table.
        key: The account's key.
        absent: Makes the view of a key that has no row.
        view: Makes the view of a key and the body of its row.
        freshness: Tells why it may be old.
    """

    def __init__(
        self, epoch: int, feed: RowFeed, key: str, absent: KeyView, view: RowView, *, freshness: Freshness
    ) -> None:
        super().__init__(epoch, feed, key, absent, view)
        self._freshness = freshness
        self._whose = freshness.whose(key)
        self._causes: tuple[str, ...] = ()

    def current(self) -> State | None:
        """The state of the current row, and why that may be old."""
        causes = self._freshness.causes(self._whose)
        if causes != self._causes:
            self._causes, self._state = causes, None
        return super().current()

    def _seq(self, row: bytes) -> Seq:
        seq = decode_order(row)
        return (*seq, digest_of(self._causes)) if self._causes else seq

    def _shown(self, row: bytes) -> View:
        return with_causes(super()._shown(row), self._causes)


class AccountSubject(RowSubject):
    """One account's row: hidden while its deployment's figures are unknown, and shown as stale where it is old.

    Args:
        epoch: Number of the rebuild.
        feed: The valuations.
        key: The account's key.
        absent: Makes the view of an account that has no row.
        view: Makes the view of an account's key and the body of its row.
        is_unsupported: Whether the figures of a deployment are unknown; the account's row may then be an old one.
        freshness: Tells why a row is older than it says.
    """

    def __init__(
        self,
        epoch: int,
        feed: RowFeed,
        key: str,
        absent: KeyView,
        view: RowView,
        *,
        is_unsupported: Callable[[str], bool],
        freshness: Freshness,
    ) -> None:
        super().__init__(epoch, feed, key, absent, view)
        self._is_unsupported = is_unsupported
        self._freshness = freshness
        self._whose = freshness.whose(key)
        self._hides = False
        self._dated_row: bytes | None = None
        self._dates: dict[str, Any] | None = None
        # What was decoded for its dates, until it is shown in the same turn.
        self._decoded: dict[str, Any] | None = None
        self._aging = AS_IT_SAYS

    def current(self) -> State | None:
        """The state of the current row, without its figures while those of its deployment are unknown."""
        hides = self._is_unsupported(self._whose.deployment)
        row = self._feed.rows.get(self._row_key)
        if hides != self._hides:
            self._hides, self._state = hides, None
        if row is None:
            return super().current()
        if hides:
            if self._state is None or row is not self._row:
                self._row = row
                return self._set_state((*decode_order(row), _UNSUPPORTED), unsupported_account(self._key))
            return self._state
        aging = self._aging_of(row)
        if aging != self._aging:
            self._aging, self._state = aging, None
        return super().current()

    def _aging_of(self, row: bytes) -> Aging:
        if row is not self._dated_row:
            # What a row's age depends on is kept, so that it is decoded once a row and not once a look.
            self._dated_row = row
            try:
                self._decoded = body = decode_row(row).body
                symbols = {position["symbol"] for position in body["positions"]}
                self._dates = {
                    "as_of_ms": body["as_of_ms"],
                    "positions": [{"symbol": symbol} for symbol in symbols],
                    "conversions": dict.fromkeys(body.get("conversions", ())),
                }
            except (BadRow, KeyError, TypeError):
                self._dates = None
        if self._dates is None:
            return AS_IT_SAYS
        try:
            return self._freshness.aging(self._whose, self._dates)
        except BadRow:
            # It is shown as one that cannot be read, and the connection goes on with its other subscriptions.
            self._dates = None
            return AS_IT_SAYS

    def _seq(self, row: bytes) -> Seq:
        seq = decode_order(row)
        return seq if self._aging == AS_IT_SAYS else (*seq, digest_of([*self._aging]))

    def _body(self, row: bytes) -> dict[str, Any]:
        body, self._decoded = self._decoded, None
        return aged(super()._body(row) if body is None else body, self._aging)


class HiddenSubject(Subject):
    """A key that the client may not read, shown as ``view``, the same as one that has nothing to show."""

    def __init__(self, epoch: int, view: View) -> None:
        super().__init__(epoch)
        self._set_state(_NO_SEQ, view)

    def current(self) -> State | None:
        """The state that it was made with."""
        return self._state


class MadeSubject(Subject):
    """A view that is made of many rows. Its seq is a digest of the view, for no single row has a version of it all.

    Args:
        epoch: Number of the rebuild.
        key: The subject's key.
        absent: Makes the view of a key that has nothing to show.
        make: Makes the view; None while it cannot be made because tables are still being read.
    """

    def __init__(self, epoch: int, key: str, absent: KeyView, make: Callable[[], View | None]) -> None:
        super().__init__(epoch)
        self._key = key
        self._absent = absent
        self._make = make

    def current(self) -> State | None:
        """The state made of the rows as they are now."""
        try:
            view = self._make()
        except BadRow:
            view = {**self._absent(self._key), "status": UNREADABLE}
        if view is None:
            return None
        seq = (digest_of(view),)
        if self._state is not None and self._state.seq == seq:
            return self._state
        return self._set_state(seq, view)


def digest_of(view: object) -> int:
    """A number that tells a view from others, the same on every replica."""
    data = orjson.dumps(view, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(blake2b(data, digest_size=_DIGEST_BYTES).digest())


def flags_of(row: bytes) -> tuple[bool, bool, bytes]:
    """Find in an encoded row what must not wait for a client's pace: liquidatable, liquidating, status."""
    status = row.find(b'"status":"', ORDER_BYTES)
    return b'"liquidatable":true' in row, b'"liquidating":true' in row, row[status : row.find(b",", status)]
