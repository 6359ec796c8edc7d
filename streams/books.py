"""The accounts of each owned partition, decoded, with the indexes by which agents and the flush task find them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from models.codec import decode_row
from models.ids import split_key
from models.symmio.account import decode_account
from models.watermarks import DeploymentWatermark, decode_watermark
from streams.topics import ACCOUNTS, WATERMARKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.symmio.account import AccountRow
    from streams.tables import Rows
    from streams.transport.terms import Terms

# Decoding gives the loop back this often: 200 rows of 50 µs are 10 ms.
_YIELD_EVERY = 200


class Book:
    """One partition's accounts.

    ``holders`` finds the accounts with an open position in (deployment, symbol id); ``unsettled`` those of a deployment
    with anything that a rollback could touch or finality could finish. ``dirty`` are the accounts whose valuation is to
    be looked at; ``touched`` wakes the flush task.
    """

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.accounts: dict[bytes, AccountRow] = {}
        self.terms: dict[bytes, int] = {}
        self.holders: defaultdict[tuple[str, int], set[bytes]] = defaultdict(set)
        self.unsettled: defaultdict[str, set[bytes]] = defaultdict(set)
        self.watermarks: dict[str, DeploymentWatermark] = {}
        self.dirty: set[bytes] = set()
        self.touched = asyncio.Event()

    def put(self, key: bytes, row: AccountRow, term: int) -> None:
        """Take a new row of an account into the indexes; its valuation becomes dirty."""
        deployment, _ = split_key(key)
        before = self.accounts.get(key)
        old = frozenset() if before is None else before.state.open_symbols
        new = row.state.open_symbols
        for symbol in old - new:
            self.holders[deployment, symbol].discard(key)
        for symbol in new - old:
            self.holders[deployment, symbol].add(key)
        if row.unsettled:
            self.unsettled[deployment].add(key)
        else:
            self.unsettled[deployment].discard(key)
        self.accounts[key] = row
        self.terms[key] = term
        self.touch((key,))

    def touch(self, keys: Iterable[bytes]) -> None:
        """Mark accounts dirty."""
        self.dirty.update(keys)
        self.touched.set()

    def accounts_of(self, deployment: str) -> list[bytes]:
        """Every account of a deployment, by key."""
        prefix = f"{deployment}:".encode()
        return sorted(key for key in self.accounts if key.startswith(prefix))

    def touch_deployment(self, deployment: str) -> None:
        """Mark every account of a deployment dirty."""
        self.touch(self.accounts_of(deployment))

    def watermark(self, deployment: str) -> DeploymentWatermark:
        """What this partition knows of a deployment."""
        return self.watermarks.get(deployment) or DeploymentWatermark()


class Books:
    """The books of the owned partitions."""

    def __init__(self, rows: Rows, terms: Terms) -> None:
        self._rows = rows
        self._terms = terms
        self._books: dict[int, Book] = {}

    def __getitem__(self, partition: int) -> Book:
        return self._books[partition]

    def __contains__(self, partition: int) -> bool:
        return partition in self._books

    async def start(self, partition: int) -> None:
        """Read the recovered rows of a partition that is ours from now on; drop the books of those that are not."""
        self._books = {owned: book for owned, book in self._books.items() if self._terms.owns(owned)}
        book = Book(partition)
        for at, (key, value) in enumerate(self._rows.items(ACCOUNTS, partition)):
            row = decode_row(value)
            book.put(key, decode_account(row.body, row.version), row.term)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for key, value in self._rows.items(WATERMARKS, partition):
            book.watermarks[key.decode().rpartition(":")[0]] = decode_watermark(decode_row(value).body)
        self._books[partition] = book

    async def stop(self) -> None:
        """Slices that are still finishing use the books; the next start replaces them."""
