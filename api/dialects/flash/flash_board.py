"""The venue's markets as of now: what the references and the marks of one deployment come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from api.tables.market_prices import InputsAt
from models.flash.flash_listing import Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from api.tables.feeds import Feeds
    from api.tables.market_prices import MarketPrices
    from models.prices import UsedMark

# Marks grow stale and fees accrue without a record; figures are of this age at the most for it.
_OLDEST_MS = 500


class Referred(NamedTuple):
    """An account that a reference says: its address as text, and what it holds."""

    pubkey: str
    account: Any


class FlashBoard:
    """Makes a listing of the moment, which all calculations share until something changes.

    Args:
        deployment: The deployment.
        prices: Choose the marks.
        feeds: The tables.
        clock_ms: Our own time, in Unix ms.
    """

    def __init__(self, deployment: str, prices: MarketPrices, feeds: Feeds, clock_ms: Callable[[], int]) -> None:
        self._deployment = deployment
        self._prefix = f"{deployment}:"
        self._prices = prices
        self._feeds = feeds
        self._clock_ms = clock_ms
        self._listed: tuple[int, Listing] | None = None
        feeds.marks.listen(self._changed)
        feeds.references.listen(self._changed)

    def now(self) -> Listing:
        """The markets as of now. It is the same object as before while nothing changed."""
        now_ms = self._clock_ms()
        if self._listed is None or not 0 <= now_ms - self._listed[0] < _OLDEST_MS:
            self._listed = now_ms, Listing(InputsAt(self._prices, self._deployment, now_ms))
        return self._listed[1]

    def mark(self, symbol: str) -> UsedMark | None:
        """The mark of a token now, None where it has none."""
        return self._prices.used(self._deployment, symbol, self._clock_ms())

    def accounts(self, kind: str) -> Iterator[Referred]:
        """The accounts that references say.

        Args:
            kind: ``market``, ``custody`` or ``pool``.
        """
        beginning = f"{self._prefix}{kind}."
        for key in self._feeds.references.rows:
            text = key.decode()
            if text.startswith(beginning):
                pubkey = text.removeprefix(beginning)
                found = self.account(kind, pubkey)
                if found is not None:
                    yield Referred(pubkey, found)

    def account(self, kind: str, pubkey: str) -> Any:  # noqa: ANN401 - it is one of models.flash.flash_accounts
        """One of them, None where nothing is said of it."""
        used = self._prices.reference(self._deployment, f"{kind}.{pubkey}")
        return None if used is None else used.value

    def _changed(self, _keys: Sequence[bytes]) -> None:
        self._listed = None
