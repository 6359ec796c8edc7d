"""What can be watched: one subject a channel and key, encoded once a state, for all its subscriptions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from api.dialects.native.protocol import delta_tail, snapshot_tail
from models.codec import ORDER_BYTES, decode_order, decode_row
from models.errors import BadRow
from models.patch import merge_patch
from models.views import View, absent_account, unsupported_account

if TYPE_CHECKING:
    from api.delivery.subscription import Subscription
    from api.dialects.native.protocol import Seq
    from api.tables.feeds import RowFeed

RowView = Callable[[str, Mapping[str, Any]], View]

_UNSUPPORTED = -1
_UNREADABLE = "unreadable"
_NOTHING: Seq = ()
# As many bits as a number in JavaScript holds exactly, in whole bytes.
_DIGEST_BYTES = 6


class State(NamedTuple):
    """One state of a subject: what it is told from others by, and what of a snapshot is the same for all.

    Its view as JSON is a part of that and not kept twice, for there are as many states as watched keys.
    """

    seq: Seq
    tail: bytes
    data_at: int

    @property
    def data(self) -> bytes:
        """The view as JSON."""
        return self.tail[self.data_at : -1]


class Subject(ABC):
    """Something that changes, and those who want to know.

    Args:
        epoch: Name of the rebuild that its states belong to.
    """

    def __init__(self, epoch: int) -> None:
        self.subscriptions: dict[Subscription, None] = {}
        self._epoch = epoch
        self._state: State | None = None
        self._deltas: dict[Seq, bytes] = {}

    @abstractmethod
    def current(self) -> State | None:
        """What stands now; None while it is not known because tables are still being read."""

    def delta(self, held: State, current: State) -> bytes:
        """The rest of a delta from what a client holds to what ``current`` has just said."""
        tail = self._deltas.get(held.seq)
        if tail is None:
            patch = merge_patch(orjson.loads(held.data), orjson.loads(current.data))
            tail = self._deltas[held.seq] = delta_tail(held.seq, current.seq, orjson.dumps(patch))
        return tail

    def _stand(self, seq: Seq, view: View) -> State:
        """Encode a state that stands from now on."""
        data = orjson.dumps(view)
        tail = snapshot_tail(self._epoch, seq, data)
        self._state = State(seq, tail, len(tail) - len(data) - 1)
        self._deltas.clear()
        return self._state


class RowSubject(Subject):
    """One row of a table, as a view of it.

    Args:
        epoch: Name of the rebuild.
        feed: The table.
        key: The row's key.
        name: What the view calls the key.
        view: Makes the view of key and body.
    """

    def __init__(self, epoch: int, feed: RowFeed, key: bytes, name: str, view: RowView) -> None:
        super().__init__(epoch)
        self._feed = feed
        self._key = key
        self._name = name
        self._view = view
        self._row: bytes | None = None

    def current(self) -> State | None:
        """What stands now; of a row that is not there, a view of its absence under an empty seq."""
        row = self._feed.rows.get(self._key)
        if self._state is not None and row is self._row:
            return self._state
        if row is None:
            if not self._feed.is_ready:
                return None
            state = self._stand(_NOTHING, self._absent())
        else:
            state = self._stand(decode_order(row), self._shown(row))
        self._row = row
        return state

    def _shown(self, row: bytes) -> View:
        try:
            return self._view(self._key.decode(), decode_row(row).body)
        except BadRow:
            return {**self._absent(), "status": _UNREADABLE}

    def _absent(self) -> View:
        return {self._name: self._key.decode()}


class AccountSubject(RowSubject):
    """An account. While its deployment is unsupported, its row may still say what it said before."""

    def __init__(
        self,
        epoch: int,
        feed: RowFeed,
        key: bytes,
        view: RowView,
        is_unsupported: Callable[[str], bool],
    ) -> None:
        super().__init__(epoch, feed, key, "account", view)
        self._is_unsupported = is_unsupported
        self._deployment = key.partition(b":")[0].decode()
        self._hides = False

    def current(self) -> State | None:
        """What stands now; its figures are unknown while those of its deployment are."""
        hides = self._is_unsupported(self._deployment)
        row = self._feed.rows.get(self._key)
        if hides != self._hides:
            self._hides, self._state = hides, None
        if not hides or row is None:
            return super().current()
        if self._state is None or row is not self._row:
            self._row = row
            return self._stand((*decode_order(row), _UNSUPPORTED), unsupported_account(self._key.decode()))
        return self._state

    def _absent(self) -> View:
        return absent_account(self._key.decode())


class HiddenSubject(Subject):
    """What the client may not read: ``view`` is that of one that is not there."""

    def __init__(self, epoch: int, view: View) -> None:
        super().__init__(epoch)
        self._stand(_NOTHING, view)

    def current(self) -> State | None:
        """Always the same."""
        return self._state


class MadeSubject(Subject):
    """What is made of many rows. Its seq is made of what it says, for no single row has a version of it all.

    Args:
        epoch: Name of the rebuild.
        name: What the view calls the key.
        key: The subject's.
        make: Makes the view; None while it cannot be made because tables are still being read.
    """

    def __init__(self, epoch: int, name: str, key: str, make: Callable[[], View | None]) -> None:
        super().__init__(epoch)
        self._named = {name: key}
        self._make = make

    def current(self) -> State | None:
        """What stands now."""
        try:
            view = self._make()
        except BadRow:
            view = {**self._named, "status": _UNREADABLE}
        if view is None:
            return None
        seq = (_digest(orjson.dumps(view, option=orjson.OPT_SORT_KEYS)),)
        if self._state is not None and self._state.seq == seq:
            return self._state
        return self._stand(seq, view)


def _digest(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=_DIGEST_BYTES).digest())


def flags_of(row: bytes) -> tuple[bool, bool, bytes]:
    """What of an account must not wait, read off its encoded row: liquidatable, liquidating, status."""
    status = row.find(b'"status":"', ORDER_BYTES)
    return b'"liquidatable":true' in row, b'"liquidating":true' in row, row[status : row.find(b",", status)]
