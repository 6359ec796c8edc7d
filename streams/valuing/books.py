"""The accounts of each owned partition: where their rows are found, and which of them are to be looked at."""

from __future__ import annotations

import asyncio
from array import array
from collections import defaultdict, deque
from typing import TYPE_CHECKING, TypeVar

from models.book import ExposureBook
from models.codec import decode_order, decode_row
from models.ids import split_key
from models.symmio.account import AccountRow, decode_account
from models.symmio.exposure import exposure_of
from models.symmio.holding import Holding, decode_holding
from models.watermarks import DeploymentWatermark, decode_watermark
from streams.kafka.partitions import partition_of
from streams.kafka.topics import ACCOUNTS, WATERMARKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from models.book import Market
    from models.chain_records import Position
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.transport.tables import Rows
    from streams.transport.terms import Terms

# A row is read in about 13 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 400
# Decoded rows kept for the next transaction of the same account, about 10 kB each, and holdings for the next flush, of
# 2 kB: 24 MB a partition.
_DECODED_MAX = 2_000
_BPS = 10_000

T = TypeVar("T")


class Restored:
    """Up to where each account of a deployment was folded when its partition was recovered."""

    def __init__(self) -> None:
        self._accounts: list[bytes] = []
        self._offsets = array("q")

    def add(self, key: bytes, applied: Position) -> None:
        """An account, and the position of the last record folded into it."""
        self._accounts.append(key)
        self._offsets.append(applied[0])

    def applied_since(self, position: Position) -> Iterator[bytes]:
        """The accounts into which any record was folded of the block of ``position``, or of a later one."""
        offset = position[0]
        return (key for key, applied in zip(self._accounts, self._offsets, strict=True) if applied >= offset)


class Book:
    """One partition's accounts. Their rows lie in the table; of all of them only exposures are held in memory.

    ``unsettled`` finds the accounts of a deployment with anything that a rollback could touch or finality could finish.
    ``urgent`` are accounts to be valued at the next flush, ``deferred`` those whose turn comes when nothing is urgent;
    ``moved`` are markets whose mark is another than the exposures know. ``touched`` wakes the flush task.
    """

    def __init__(self, partition: int, rows: Rows, clock: Clock, deadband: float) -> None:
        self.partition = partition
        self.exposures = ExposureBook(deadband)
        self.unsettled: defaultdict[str, set[bytes]] = defaultdict(set)
        self.watermarks: dict[str, DeploymentWatermark] = {}
        self.urgent: set[bytes] = set()
        self.deferred: deque[bytes] = deque()
        self.moved: set[Market] = set()
        self.touched = asyncio.Event()
        self._rows = rows
        self._clock = clock
        self._decoded: dict[bytes, AccountRow] = {}
        self._holdings: dict[bytes, tuple[Holding, int]] = {}
        self._unwritten: dict[bytes, AccountRow] = {}
        self._restored: defaultdict[str, Restored] = defaultdict(Restored)

    def account(self, key: bytes) -> AccountRow | None:
        """The newest row of an account, decoded; None where there is none."""
        row = self._unwritten.get(key) or self._decoded.get(key)
        if row is not None:
            return row
        value = self._rows.get(ACCOUNTS, self.partition, key)
        if value is None:
            return None
        encoded = decode_row(value)
        row = decode_account(encoded.body, encoded.version)
        _keep(self._decoded, key, row)
        return row

    def holding(self, key: bytes) -> tuple[Holding, int] | None:
        """What an account holds by the row that stands in the table, and that row's term; kept for the next time."""
        held = self._holdings.get(key)
        if held is None:
            held = self.read_holding(key)
            if held is not None:
                _keep(self._holdings, key, held)
        return held

    def read_holding(self, key: bytes) -> tuple[Holding, int] | None:
        """The same, not kept: for an account whose turn comes once in many."""
        value = self._rows.get(ACCOUNTS, self.partition, key)
        if value is None:
            return None
        term, version = decode_order(value)
        return decode_holding(value, version), term

    def put(self, key: bytes, row: AccountRow) -> None:
        """Take a new row of an account that its slice is still to write."""
        self._unwritten[key] = row
        self._settle(key, unsettled=row.unsettled)

    def written(self, key: bytes) -> None:
        """The account's row stands in the table; its valuation is to be looked at."""
        row = self._unwritten.pop(key)
        _keep(self._decoded, key, row)
        self._holdings.pop(key, None)
        self.exposures.put(key, *exposure_of(split_key(key)[0], row.holding))
        self.touch((key,))

    def restated(self, key: bytes) -> None:
        """The account's row stands under another term, which its valuation names."""
        self._holdings.pop(key, None)
        self.touch((key,))

    def restore(self, key: bytes, value: bytes) -> None:
        """Take in a row that recovery read."""
        holding = decode_holding(value, decode_order(value)[1])
        deployment, _ = split_key(key)
        self.exposures.put(key, *exposure_of(deployment, holding))
        self._restored[deployment].add(key, holding.applied)
        if holding.unsettled:
            self._settle(key, unsettled=True)

    def take_restored(self, deployment: str) -> Restored | None:
        """What was restored of a deployment, once; None when it was taken or nothing was."""
        return self._restored.pop(deployment, None)

    def touch(self, keys: Iterable[bytes]) -> None:
        """Have accounts valued at the next flush."""
        self.urgent.update(keys)
        self.touched.set()

    def again(self, key: bytes, *, urgent: bool) -> None:
        """Have an account valued once more whose valuation could not be written yet, as urgently as that one."""
        if urgent or self.exposures.is_pressing(key):
            self.urgent.add(key)
        else:
            self.deferred.append(key)
        self.touched.set()

    def move(self, markets: Iterable[Market]) -> None:
        """Have the accounts looked at that hold any of these markets."""
        held = [market for market in markets if market in self.exposures.markets]
        if held:
            self.moved.update(held)
            self.touched.set()

    def reprice(self, marks: Mapping[Market, float], at_s: float) -> None:
        """Take marks in that stand since then; sort the accounts that are due by whether they can wait.

        Args:
            marks: In whole units, 0 where unknown.
            at_s: By the clock's ``monotonic_s``.
        """
        # A mark may be another without a price that moved: a later tick, another source, one that has become stale.
        touched = [market for market, mark in marks.items() if self.exposures.mark(market) == mark]
        due = self.exposures.reprice(marks, at_s)
        for market in touched:
            due += self.exposures.touch(market, at_s)
        for key in due:
            if self.exposures.is_pressing(key):
                self.urgent.add(key)
            else:
                self.deferred.append(key)

    def accounts_of(self, deployment: str) -> list[bytes]:
        """Every account of a deployment, by key."""
        prefix = f"{deployment}:".encode()
        return sorted(key for key in self.exposures.keys() | self._unwritten.keys() if key.startswith(prefix))

    def oldest_s(self) -> float:
        """For how long the row is out of date that has been so for longest, 0 where none is."""
        moved_s = self.exposures.oldest_s()
        return 0.0 if moved_s is None else self._clock.monotonic_s() - moved_s

    def touch_deployment(self, deployment: str) -> None:
        """Have every account of a deployment valued."""
        self.touch(self.accounts_of(deployment))

    def watermark(self, deployment: str) -> DeploymentWatermark:
        """What this partition knows of a deployment."""
        return self.watermarks.get(deployment) or DeploymentWatermark()

    def _settle(self, key: bytes, *, unsettled: bool) -> None:
        accounts = self.unsettled[split_key(key)[0]]
        if unsettled:
            accounts.add(key)
        else:
            accounts.discard(key)


def _keep(cache: dict[bytes, T], key: bytes, value: T) -> None:
    """Put a value last, and drop the first one where there are too many."""
    cache.pop(key, None)
    cache[key] = value
    if len(cache) > _DECODED_MAX:
        del cache[next(iter(cache))]


class Books:
    """The books of the owned partitions."""

    def __init__(self, settings: Settings, rows: Rows, terms: Terms, clock: Clock) -> None:
        self._deadband = settings.worker.deadband_bps / _BPS
        self._rows = rows
        self._terms = terms
        self._clock = clock
        self._books: dict[int, Book] = {}
        self._watched: defaultdict[int, set[bytes]] = defaultdict(set)
        rows.on_restated = self._restated

    def __getitem__(self, partition: int) -> Book:
        return self._books[partition]

    def __contains__(self, partition: int) -> bool:
        return partition in self._books

    @property
    def accounts(self) -> int:
        """How many accounts the owned partitions have."""
        return sum(len(book.exposures) for book in self._books.values())

    @property
    def are_waiting(self) -> bool:
        """Whether any account waits until nothing is urgent."""
        return any(book.deferred for book in self._books.values())

    def watch(self, keys: Collection[bytes]) -> None:
        """These accounts are watched from now on, whoever owns them."""
        for key in keys:
            partition = partition_of(key, self._rows.partitions)
            self._watched[partition].add(key)
            book = self._books.get(partition)
            if book is not None and book.exposures.watch(key):
                book.touch((key,))

    def unwatch(self, keys: Collection[bytes]) -> None:
        """Nobody watches these accounts any more."""
        for key in keys:
            partition = partition_of(key, self._rows.partitions)
            self._watched[partition].discard(key)
            book = self._books.get(partition)
            if book is not None:
                book.exposures.unwatch(key)

    async def start(self, partition: int) -> None:
        """Read the recovered rows of a partition that is ours from now on; drop the books of those that are not."""
        self._books = {owned: book for owned, book in self._books.items() if self._terms.owns(owned)}
        book = Book(partition, self._rows, self._clock, self._deadband)
        for at, (key, value) in enumerate(self._rows.items(ACCOUNTS, partition)):
            book.restore(key, value)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for key in self._watched[partition]:
            if book.exposures.watch(key):
                book.urgent.add(key)
        for key, value in self._rows.items(WATERMARKS, partition):
            book.watermarks[key.decode().rpartition(":")[0]] = decode_watermark(decode_row(value).body)
        self._books[partition] = book

    def _restated(self, table: str, partition: int, key: bytes) -> None:
        book = self._books.get(partition)
        if table == ACCOUNTS and book is not None:
            book.restated(key)

    async def stop(self) -> None:
        """Slices that are still finishing use the books; the next start replaces them."""
