"""The only writer of valuations and, through ``Alarms`` and ``Sums``, of alerts and subtotals: a task a partition."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import prometheus_client

from models.book import Shown
from models.codec import decode_row, encode_body
from models.ids import split_key
from models.money import E18
from models.symmio.valuation import UNPRICED, value_account, with_last_complete
from streams.kafka.topics import VALUATIONS
from streams.valuing.alarms import Alarms
from streams.valuing.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from models.book import Market
    from models.symmio.holding import Holding
    from models.symmio.valuation import Figures
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.transport.tables import Rows
    from streams.valuing.books import Book, Books
    from streams.valuing.market_marks import Markets
    from streams.valuing.pace import Pace

_log = logging.getLogger(__name__)
_VALUED = prometheus_client.Counter(
    "tidemark_valuations_total", "Accounts valued, by whether the row changed.", ("outcome",)
)
_changed, _unchanged = (_VALUED.labels(outcome) for outcome in ("changed", "unchanged"))
_FLUSH = prometheus_client.Histogram("tidemark_flush_seconds", "Time one flush of a partition took.")
# An account with ten positions is read, valued and written in about 100 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 50
# Accounts that can wait are valued for so long at a time: what is urgent in one of eight partitions then waits 8 ms at
# the very most for the others.
_DEFERRED_TURN_S = 0.001
# And, where flushes take long, for this share of the time of each: else rows would grow old without a bound.
_DEFERRED_SHARE = 0.25
# They leave in batches of so many rows: a request for each turn would cost more than the rows.
_DEFERRED_BATCH = 500
# Rows on their way beyond this hold the next flush back, so a slow broker makes valuations conflate, not queue.
_UNACKED_MAX = 20_000
# Rows that are out of date are looked for so often within their greatest age, and are found late by as much.
_LOOKS = 20
_LOOK_EVERY_LEAST_S = 0.05
# A look for accounts that wait and should not takes 5 ns an account; 2 µs an account between looks are 400 times that.
_PRESSING_EVERY_S_AN_ACCOUNT = 2e-6


class Flush:
    """Values the accounts that should be shown, and writes the rows that changed.

    At the next flush, ``worker.flush_ms`` after the last one at the latest: accounts that were folded, watched accounts
    whose markets moved, and accounts that may have become liquidatable or have recovered. After them: accounts whose
    uPnL moved by more than the deadband, and those whose row is older than ``Pace`` allows.
    """

    def __init__(
        self,
        settings: Settings,
        rows: Rows,
        markets: Markets,
        books: Books,
        *,
        pace: Pace,
        clock: Clock,
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._flush_s = settings.worker.flush_ms / 1000
        self._rows = rows
        self._markets = markets
        self._books = books
        self._pace = pace
        self._clock = clock
        self._fatal = fatal
        self._tasks: dict[int, asyncio.Task[None]] = {}
        markets.on_moved = self._markets_moved

    async def start(self, partition: int) -> None:
        """Value every account of a partition that is ours from now on, then follow."""
        _log.info(
            "flush partition=%d accounts=%d unwatched_max_age_s=%.1f",
            partition,
            len(self._books[partition].exposures),
            self._pace.age_s(self._books.accounts),
        )
        task = asyncio.create_task(self._run(self._books[partition]), name=f"flush {partition}")
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

    def _markets_moved(self, markets: Iterable[Market]) -> None:
        for partition in self._tasks:
            self._books[partition].move(markets)

    async def _run(self, book: Book) -> None:
        sums = Sums(book.partition, self._rows, self._clock)
        alarms = Alarms(book.partition, self._rows)
        await alarms.restore()
        book.move(book.exposures.markets)
        flushed_s = looked_s = pressed_s = 0.0
        while True:
            if self._rows.unacked > _UNACKED_MAX:
                await self._rows.drain()
            now_s = self._clock.monotonic_s()
            age_s = self._pace.age_s(self._books.accounts)
            look_every_s = max(_LOOK_EVERY_LEAST_S, age_s / _LOOKS)
            if now_s >= looked_s + look_every_s:
                looked_s = now_s
                book.deferred.extend(book.exposures.overdue(now_s - age_s + look_every_s))
            press_every_s = max(_LOOK_EVERY_LEAST_S, len(book.exposures) * _PRESSING_EVERY_S_AN_ACCOUNT)
            if book.deferred and now_s >= pressed_s + press_every_s:
                pressed_s = now_s
                if pressing := book.exposures.pressing():
                    book.touch(pressing)
            if book.touched.is_set() and now_s >= flushed_s + self._flush_s:
                # All partitions at the same times, so that what they write leaves in one request.
                flushed_s = now_s - now_s % self._flush_s
                with _FLUSH.time():
                    await self._value_urgent(book, alarms, sums)
                self._rows.flush()
            if sums.is_due(now_s):
                sums.turn(_DEFERRED_TURN_S)
                await asyncio.sleep(0)
            if book.deferred:
                await self._value_deferred(book, alarms, sums, (self._clock.monotonic_s() - now_s) * _DEFERRED_SHARE)
            elif sums.is_due(now_s):
                continue
            elif book.touched.is_set():
                await asyncio.sleep(max(0.0, flushed_s + self._flush_s - self._clock.monotonic_s()))
            else:
                look_s = looked_s + look_every_s
                until_s = min(look_s, sums.due_s) if sums.is_waiting else look_s
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, until_s - self._clock.monotonic_s())):
                        await book.touched.wait()

    async def _value_urgent(self, book: Book, alarms: Alarms, sums: Sums) -> None:
        book.touched.clear()
        moved, book.moved = book.moved, set()
        book.reprice({market: self._price(market) for market in moved}, self._clock.monotonic_s())
        keys, book.urgent = book.urgent, set()
        for at, key in enumerate(keys):
            self._value(book, key, book.holding(key), alarms, sums, urgent=True)
            if at % _YIELD_EVERY == _YIELD_EVERY - 1:
                self._rows.flush()
                await asyncio.sleep(0)

    async def _value_deferred(self, book: Book, alarms: Alarms, sums: Sums, share_s: float) -> None:
        """Value what can wait, for one turn, and for its share beside what was urgent just now."""
        began_s = ended_s = self._clock.monotonic_s()
        until_s = began_s + max(_DEFERRED_TURN_S, share_s)
        while book.deferred and ended_s < until_s:
            valued, turn_s, worked_s = 0, ended_s, self._clock.worked_s()
            while book.deferred and ended_s < turn_s + _DEFERRED_TURN_S:
                key = book.deferred.popleft()
                self._value(book, key, book.read_holding(key), alarms, sums, urgent=False)
                valued += 1
                ended_s = self._clock.monotonic_s()
            self._pace.valued(valued, self._clock.worked_s() - worked_s, ended_s, do_more_wait=self._books.are_waiting)
            if not book.deferred or self._rows.unsent >= _DEFERRED_BATCH:
                self._rows.flush()
            await asyncio.sleep(0)
            ended_s = self._clock.monotonic_s()

    def _price(self, market: Market) -> float:
        used = self._markets.used_mark(*market)
        return 0.0 if used is None else used.mark_e18 / E18

    def _value(
        self,
        book: Book,
        key: bytes,
        held: tuple[Holding, int] | None,
        alarms: Alarms,
        sums: Sums,
        *,
        urgent: bool,
    ) -> None:
        if held is None:
            return
        holding, term = held
        deployment, _ = split_key(key)
        valuation = value_account(
            holding,
            term,
            partial(self._markets.used_mark, deployment),
            unsupported=book.watermark(deployment).unsupported_since is not None,
        )
        body = valuation.body()
        if not alarms.is_told(key, body, partial(book.again, key, urgent=urgent)):
            return
        standing = self._rows.get(VALUATIONS, book.partition, key)
        if valuation.status == UNPRICED and standing is not None:
            body = with_last_complete(decode_row(standing).body, body)
        is_counted = book.exposures.was_published(key)
        is_changed = self._rows.write_if_changed(VALUATIONS, book.partition, key, standing, encode_body(body))
        if is_changed or not is_counted:
            sums.note(key, standing if is_counted else None, body)
        book.exposures.published(key, _shown(valuation.figures))
        (_changed if is_changed else _unchanged).inc()


def _shown(figures: Figures | None) -> Shown | None:
    return None if figures is None else Shown(figures.available_balance / E18, figures.notional / E18)
