"""The only writer of valuations and subtotals: one task for each owned partition."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import prometheus_client

from models.codec import decode_row
from models.ids import split_key
from models.symmio.subtotals import Subtotals
from models.symmio.valuation import UNPRICED, value_account, with_last_complete
from streams.topics import SUBTOTALS, VALUATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.books import Book, Books
    from streams.markets import MarketId, Markets
    from streams.settings import Settings
    from streams.tables import Rows

_log = logging.getLogger(__name__)
_VALUED = prometheus_client.Counter(
    "tidemark_valuations_total", "Accounts valued, by whether the row changed.", ("outcome",)
)
_changed, _unchanged = (_VALUED.labels(outcome) for outcome in ("changed", "unchanged"))
_FLUSH = prometheus_client.Histogram("tidemark_flush_seconds", "Time one flush of a partition took.")
# An account with ten positions is valued and encoded in about 100 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 50
# Rows on their way beyond this hold the next flush back, so a slow broker makes valuations conflate, not queue.
_UNACKED_MAX = 20_000
_SUBTOTALS_EVERY_S = 1.0


class Flush:
    """Values dirty accounts and writes the rows that changed."""

    def __init__(
        self, settings: Settings, rows: Rows, markets: Markets, books: Books, fatal: Callable[[BaseException], None]
    ) -> None:
        self._settings = settings
        self._rows = rows
        self._markets = markets
        self._books = books
        self._fatal = fatal
        self._tasks: dict[int, asyncio.Task[None]] = {}
        markets.on_moved = self._symbols_moved

    async def start(self, partition: int) -> None:
        """Value every account of a partition that is ours from now on, then follow."""
        book = self._books[partition]
        book.touch(book.accounts)
        task = asyncio.create_task(self._run(book), name=f"flush {partition}")
        task.add_done_callback(self._ended)
        self._tasks[partition] = task

    async def stop(self) -> None:
        """Write nothing more, in any partition."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    def _symbols_moved(self, markets: Iterable[MarketId]) -> None:
        for partition in self._tasks:
            book = self._books[partition]
            for market in markets:
                holders = book.holders.get(market)
                if holders:
                    book.touch(holders)

    async def _run(self, book: Book) -> None:
        subtotals = Subtotals()
        # The first write also zeroes what stands for positions that are no more: no account would bring it about.
        written_s, is_due = time.monotonic(), True
        while True:
            with_deadline = _SUBTOTALS_EVERY_S if subtotals.changed or is_due else None
            try:
                await asyncio.wait_for(book.touched.wait(), with_deadline)
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(self._settings.worker.flush_ms / 1000)
            if self._rows.unacked > _UNACKED_MAX:
                await self._rows.drain()
            dirty, book.dirty = book.dirty, set()
            book.touched.clear()
            if dirty:
                with _FLUSH.time():
                    await self._value(book, dirty, subtotals)
            if time.monotonic() - written_s >= _SUBTOTALS_EVERY_S:
                self._write_subtotals(book, subtotals)
                written_s, is_due = time.monotonic(), False
            self._rows.flush()

    async def _value(self, book: Book, dirty: set[bytes], subtotals: Subtotals) -> None:
        for at, key in enumerate(dirty):
            row = book.accounts.get(key)
            if row is None:
                continue
            deployment, _ = split_key(key)
            valuation = value_account(
                row,
                book.terms[key],
                partial(self._markets.used_mark, deployment),
                unsupported=book.watermark(deployment).unsupported_since is not None,
            )
            body = valuation.body()
            standing = self._rows.get(VALUATIONS, book.partition, key) if valuation.status == UNPRICED else None
            if standing is not None:
                body = with_last_complete(decode_row(standing).body, body)
            subtotals.put(key, deployment, body)
            is_changed = self._rows.write_if_changed(VALUATIONS, book.partition, key, body)
            (_changed if is_changed else _unchanged).inc()
            if at % _YIELD_EVERY == _YIELD_EVERY - 1:
                self._rows.flush()
                await asyncio.sleep(0)

    def _write_subtotals(self, book: Book, subtotals: Subtotals) -> None:
        standing_keys = {key for key, _ in self._rows.items(SUBTOTALS, book.partition)}
        for key, body in subtotals.take_changed(book.partition, standing_keys):
            self._rows.write_if_changed(SUBTOTALS, book.partition, key, body)
