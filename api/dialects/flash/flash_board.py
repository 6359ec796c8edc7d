"""The venue's markets as of now: what the references and the marks of one deployment come to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from api.tables.market_prices import InputsAt
from models.codec import decode_order
from models.flash.flash_listing import Listing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from aiohttp import web

    from api.tables.feeds import Feeds
    from api.tables.market_prices import MarketPrices
    from models.kept_inputs import CalculationsMade
    from models.prices import UsedMark

# Marks grow stale and fees accrue without a record; figures are of this age at the most for it.
_OLDEST_MS = 500
# What was made of the inputs of one moment is one record: of so many calculations it has some 500 KB.
_ASKED_MAX = 5_000


class Referred(NamedTuple):
    """An account that a reference says: its address as text, and what it holds."""

    pubkey: str
    account: Any


class Moment:
    """The markets as of one instant, and what was calculated of them.

    Args:
        inputs: The references and the marks in use.
    """

    def __init__(self, inputs: InputsAt) -> None:
        self.listing = Listing(inputs)
        self.asked: list[tuple[str, int, int, str]] = []
        self._inputs = inputs

    def made(self) -> CalculationsMade:
        """What is kept of the calculations."""
        return self._inputs.made(self.asked)


class FlashBoard:
    """Makes a listing of the moment, which all calculations share until something changes.

    Args:
        deployment: The deployment.
        prices: Choose the marks.
        feeds: The tables.
        clock_ms: Our own time, in Unix ms.
        keep: Called with the deployment and what the calculations of a moment were made of, when it is over.
    """

    def __init__(
        self,
        deployment: str,
        prices: MarketPrices,
        feeds: Feeds,
        clock_ms: Callable[[], int],
        keep: Callable[[str, CalculationsMade], object],
    ) -> None:
        self._deployment = deployment
        self._prefix = f"{deployment}:"
        self._prices = prices
        self._feeds = feeds
        self._clock_ms = clock_ms
        self._keep = keep
        self._moment: tuple[int, Moment] | None = None
        self._ending: asyncio.TimerHandle | None = None
        feeds.marks.listen(self._changed)
        feeds.references.listen(self._changed)

    def now(self) -> Listing:
        """The markets as of now. It is the same object as before while nothing changed."""
        now_ms = self._clock_ms()
        if self._moment is not None and not 0 <= now_ms - self._moment[0] < _OLDEST_MS:
            self._end_moment()
        if self._moment is None:
            self._moment = now_ms, Moment(InputsAt(self._prices, self._deployment, now_ms))
        return self._moment[1].listing

    def calculated(self, account: str, row: bytes, what: str) -> None:
        """Note that something was calculated of the markets as of now, so that it can be made again later.

        Args:
            account: The account's key.
            row: The statement that it was calculated of.
            what: What it was, in words.
        """
        if self._moment is None:
            return
        asked = self._moment[1].asked
        if not asked:
            self._ending = asyncio.get_running_loop().call_later(_OLDEST_MS / 1_000, self._end_moment)
        asked.append((account, *decode_order(row), what))
        if len(asked) >= _ASKED_MAX:
            self._end_moment()

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

    async def keeping(self, _app: web.Application) -> AsyncIterator[None]:
        """Keep what was calculated as long as the application runs; for its ``cleanup_ctx``."""
        yield
        self._end_moment()

    def _changed(self, _keys: Sequence[bytes]) -> None:
        self._end_moment()

    def _end_moment(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        ended, self._moment = self._moment, None
        if ended is not None and ended[1].asked:
            self._keep(self._deployment, ended[1].made())
