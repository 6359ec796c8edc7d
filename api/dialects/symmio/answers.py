"""What may be said about an account now: its figures, that it does not exist, or nothing because it is not known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import orjson

from api.deployments import deployment_progress
from api.dialects.symmio.frames import upnl_object
from models.codec import decode_row
from models.errors import BadRow
from models.ids import account_key

if TYPE_CHECKING:
    from api.feeds import Feeds


class Account(NamedTuple):
    """One account of one deployment; ``address`` is in lower case."""

    deployment: str
    address: str


@dataclass(frozen=True, slots=True)
class Known:
    """The account's figures: ``frame`` is the whole JSON object, ``upnl`` its exact decimal text."""

    frame: bytes
    upnl: str


@dataclass(frozen=True, slots=True)
class NoSuchAccount:
    """The deployment is known to its head and has no such account."""


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The figures are unknown, which is not zero; ``reason`` is a sentence for a person."""

    reason: str


Answer = Known | NoSuchAccount | NotKnown


@dataclass(slots=True)
class _Watched:
    watchers: int
    row: bytes | None = None
    answer: Answer | None = None


class Answers:
    """Answers from the feeds. An account that is watched is encoded once per row, for all its watchers."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self._watched: dict[Account, _Watched] = {}

    @property
    def accounts_watched(self) -> int:
        """Accounts with at least one watcher; it bounds the cache."""
        return len(self._watched)

    def watch(self, account: Account) -> None:
        """Keep the account's encoded answer; to be paired with ``unwatch``."""
        self._watched.setdefault(account, _Watched(watchers=0)).watchers += 1

    def unwatch(self, account: Account) -> None:
        """Give up one watch of the account."""
        watched = self._watched[account]
        watched.watchers -= 1
        if not watched.watchers:
            del self._watched[account]

    async def wait_warm(self) -> None:
        """Wait until an account that is not in the tables is known not to exist."""
        if not self._is_warm:
            await asyncio.gather(self._feeds.valuations.wait_ready(), self._feeds.deployments.wait_ready())

    def of(self, account: Account) -> Answer:
        """What may be said about the account now."""
        if not self._is_warm:
            return NotKnown("the tables are still being read, try again in some seconds")
        row = self._feeds.valuations.rows.get(account_key(account.deployment, account.address))
        if row is None:
            return self._of_missing(account)
        watched = self._watched.get(account)
        if watched is None:
            return _of_row(row)
        if watched.answer is None or watched.row is not row:
            watched.row, watched.answer = row, _of_row(row)
        return watched.answer

    @property
    def _is_warm(self) -> bool:
        return self._feeds.valuations.is_ready and self._feeds.deployments.is_ready

    def _of_missing(self, account: Account) -> Answer:
        progress = deployment_progress(self._feeds, account.deployment)
        if progress is None:
            return NotKnown(f"no block of deployment {account.deployment} has been read yet")
        if progress.unsupported_since is not None:
            # The account may have been made since: "does not exist" would be a guess, and clients show it as zero.
            return NotKnown(f"deployment {account.deployment} is unsupported since block {progress.unsupported_since}")
        return NoSuchAccount()


def _of_row(row: bytes) -> Answer:
    try:
        body = decode_row(row).body
        figures = upnl_object(body)
    except BadRow as error:
        return NotKnown(str(error))
    if figures is None:
        return NotKnown(f"the account's figures are unknown ({body.get('status')})")
    return Known(orjson.dumps(figures), str(figures["upnl"]))
