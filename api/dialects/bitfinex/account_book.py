"""What a login shows: the one interface behind which accounts of all venues are the same to a session."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol

from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from api.dialects.bitfinex.calc_requests import Calculation
    from api.dialects.bitfinex.heard_frames import Frame

_log = logging.getLogger(__name__)


class Listener(NamedTuple):
    """Who hears of a book.

    Attributes:
        on_frames: Called in the loop with frames of what happened, in order.
        on_gap: Called where something may have been missed, so that only new snapshots show how things stand.
    """

    on_frames: Callable[[Sequence[Frame]], None]
    on_gap: Callable[[], None]


class AccountBook(Protocol):
    """The account of one login, or several that are shown as one."""

    @property
    def accounts(self) -> Collection[bytes]:
        """Keys of the accounts."""

    def begin(self, listener: Listener) -> Sequence[Frame]:
        """Return the snapshots of now, and tell of everything that happens after them."""

    def snapshots(self) -> Sequence[Frame]:
        """Return the snapshots of now; what happened before them is not told of any more."""

    def calculate(self, calculation: Calculation) -> Frame | None:
        """Calculate something at the marks of now; None where the account has no such thing.

        Raises:
            BadRow: A row that it needs cannot be read.
        """

    def end(self) -> None:
        """Tell of nothing more."""


class KeyedListeners:
    """Hands on the keys of rows that changed, each to those who listen to it."""

    def __init__(self) -> None:
        self._listeners: dict[bytes, dict[Callable[[bytes], None], None]] = {}

    @property
    def listeners(self) -> Mapping[bytes, Collection[Callable[[bytes], None]]]:
        """By key, who listens to it."""
        return self._listeners

    def add(self, key: bytes, on_row: Callable[[bytes], None]) -> None:
        """Call ``on_row`` with what is told of a key, until ``remove``."""
        self._listeners.setdefault(key, {})[on_row] = None

    def remove(self, key: bytes, on_row: Callable[[bytes], None]) -> None:
        """Call it no more."""
        having = self._listeners.get(key, {})
        having.pop(on_row, None)
        if not having:
            self._listeners.pop(key, None)

    def tell(self, key: bytes, told: bytes) -> None:
        """Hand something on to those who listen to a key; what cannot be read of it is logged, and touches no other."""
        for on_row in list(self._listeners.get(key, ())):
            try:
                on_row(told)
            except BadRow as error:
                _log.warning("row of %r is not shown: %s", key, error)
