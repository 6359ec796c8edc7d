"""The funding that was charged, as far as a venue of those that are served puts it on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from models.views import View

Place = tuple[int, str, str, str]
"""The place of an epoch in lists: minus its beginning in Unix s, the deployment, the epoch, the hedger."""

OUTCOMES = ("paid", "free", "closed", "refused", "missed", "open")
"""What may become of a quote; it is open before anything is told of it."""


class ChargedQuote(NamedTuple):
    """A quote in an epoch: its id, what became of it, and what makes its view."""

    quote_id: int
    outcome: str
    view: Callable[[], View]


class ChargedEpoch(Protocol):
    """An epoch of one hedger of a deployment, which is the second part of its ``place``; the third is the epoch."""

    @property
    def place(self) -> Place:
        """Its place in lists."""

    @property
    def view(self) -> View | None:
        """It is shown so; None while its own record is not read, though others of it are."""

    @property
    def accounts(self) -> Sequence[str]:
        """The accounts that have quotes in it, in order."""

    def quotes(self, account: str) -> Iterable[ChargedQuote]:
        """The quotes of an account, in order."""


class ChargedFunding(Protocol):
    """The funding of the last days that is on record."""

    @property
    def is_read(self) -> bool:
        """Whether what is missing is known not to be on record."""

    def epochs(self) -> Iterable[ChargedEpoch]:
        """All epochs, in any order."""


class ChargedOfDialects:
    """The funding that some dialect knows the records of; it is a ``ChargedFunding`` itself."""

    def __init__(self) -> None:
        self._known: list[ChargedFunding] = []

    def add(self, charged: ChargedFunding) -> None:
        """Take the records from a dialect."""
        self._known.append(charged)

    @property
    def is_read(self) -> bool:
        """Whether what is missing is known not to be on record."""
        return all(one.is_read for one in self._known)

    def epochs(self) -> Sequence[ChargedEpoch]:
        """All epochs, the newest first."""
        return sorted((epoch for one in self._known for epoch in one.epochs()), key=lambda epoch: epoch.place)
