"""Who keeps history, without a process and a broker: bars and bookings, read as the process reads them."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from api.tables.history import NoAnswer
from models.booking_requests import BookingsAnswer, BookingsRequest
from models.history import KEPT_S, Reading, empty_bar, start_of
from models.history_records import HistoryAnswer, HistoryRequest, decode_answer, encode_answer
from models.money import E18
from streams.history.bar_store import BarStore
from streams.history.booking_reader import answer_bookings
from streams.history.booking_store import BookingStore
from streams.history.history_requests import answer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.tables.history import BarWindow, BookingWindow
    from models.bookings import Booked


class KeptHistory:
    """Bars in memory, bookings in a file.

    Args:
        clock_ms: Tells what is kept no longer, in Unix ms.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._store = BarStore(Path(":memory:"))
        # Two connections read and write them, so that they need a file. It goes when nobody asks any more, in silence:
        # a TemporaryDirectory that nobody closes warns, and whatever test runs then fails.
        directory = Path(tempfile.mkdtemp(prefix="tidemark-history-"))
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        self._bookings = BookingStore(directory / "bookings.sqlite", 1)
        self.is_silent = False

    def show(
        self, series: str, at_ms: int, upnl: int | None, notional: int | None = None, equity: int | None = None
    ) -> None:
        """Something was shown at an instant, in whole units of money."""
        figures = (None if figure is None else figure * E18 for figure in (upnl, notional, equity))
        reading = Reading(*figures)
        for step_s in KEPT_S:
            bar_id = series, step_s, start_of(at_ms, step_s)
            bar = self._store.bar(bar_id) or empty_bar(bar_id[2])
            with self._store.transaction():
                self._store.put_bars({bar_id: bar.then(reading)})

    async def bars(self, series: str, window: BarWindow) -> HistoryAnswer:
        """The bars of an account or of totals."""
        if self.is_silent:
            raise NoAnswer
        request = HistoryRequest("1", series, *window)
        answer = decode_answer(encode_answer(answer_of(self._store, request, self._clock_ms() // 1_000)))
        assert isinstance(answer, HistoryAnswer)
        return answer

    def book(self, series: str, *booked: Booked) -> None:
        """Something happened to an account."""
        with self._bookings.transaction():
            for one in booked:
                self._bookings.book(series, one)

    async def bookings(self, series: str, window: BookingWindow) -> BookingsAnswer:
        """The bookings of an account, or its closed positions."""
        if self.is_silent:
            raise NoAnswer
        answer = decode_answer(encode_answer(answer_bookings(self._bookings, BookingsRequest("1", series, *window))))
        assert isinstance(answer, BookingsAnswer)
        return answer
