"""What may be said about an account now: its figures, that it does not exist, or nothing because it is not known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import orjson

from api.deployments import deployment_progress
from api.dialects.symmio.frames import upnl_object
from models.codec import decode_row
from models.deployments import decode_deployment
from models.errors import BadRow
from models.ids import account_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.feeds import Feeds
    from api.interest import InterestSink
    from models.deployments import DeploymentState, Gap

# Status of an account whose only blocks were rolled back.
_NOBODY = "nobody"
# While history is read the newest block known is an old one. Chains make a block within seconds, and ingest that has
# stopped is noticed within minutes: less would refuse at every hiccup, more would call newer accounts non-existent.
_LONGEST_HEAD_AGE_S = 120


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
    """The deployment is folded to a recent head and has no such account."""


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
    """Answers from the feeds. An account that is watched is encoded once per row, for all its watchers.

    Args:
        feeds: The tables.
        partitions: How many partitions the accounts have (``topics.partitions``).
        clock_ms: Our own time, in Unix ms.
        interest: Is told of an account's first watcher, and when its last one is gone.
    """

    def __init__(self, feeds: Feeds, partitions: int, clock_ms: Callable[[], int], interest: InterestSink) -> None:
        self._feeds = feeds
        self._partitions = partitions
        self._clock_ms = clock_ms
        self._interest = interest
        self._states: dict[str, tuple[bytes, DeploymentState]] = {}
        self._watched: dict[Account, _Watched] = {}

    @property
    def accounts_watched(self) -> int:
        """Accounts with at least one watcher; it bounds the cache."""
        return len(self._watched)

    def watch(self, account: Account) -> None:
        """Keep the account's encoded answer; to be paired with ``unwatch``."""
        watched = self._watched.setdefault(account, _Watched(watchers=0))
        watched.watchers += 1
        if watched.watchers == 1:
            self._interest.watch(account_key(account.deployment, account.address))

    def unwatch(self, account: Account) -> None:
        """Give up one watch of the account."""
        watched = self._watched[account]
        watched.watchers -= 1
        if not watched.watchers:
            del self._watched[account]
            self._interest.unwatch(account_key(account.deployment, account.address))

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
        try:
            gap = self._open_gap(account.deployment)
        except BadRow as error:
            return NotKnown(str(error))
        if gap is not None:
            # The row may still say what it said before the gap.
            return _unsupported(account.deployment, gap.block)
        watched = self._watched.get(account)
        if watched is None:
            answer = _of_row(row)
        else:
            if watched.answer is None or watched.row is not row:
                watched.row, watched.answer = row, _of_row(row)
            answer = watched.answer
        return self._of_missing(account) if isinstance(answer, NoSuchAccount) else answer

    @property
    def _is_warm(self) -> bool:
        return self._feeds.valuations.is_ready and self._feeds.deployments.is_ready

    def _of_missing(self, account: Account) -> Answer:
        # An account that is not in the tables may be in what they have not read yet: "does not exist" would be a guess,
        # and clients show it as zero.
        name = account.deployment
        progress = deployment_progress(self._feeds, name, self._partitions)
        if progress is None:
            return NotKnown(f"no block of deployment {name} has been read yet")
        if progress.unsupported_since is not None:
            return _unsupported(name, progress.unsupported_since)
        if progress.folded_head is None or progress.folded_head < progress.head:
            return NotKnown(f"deployment {name} has not been folded to its head yet, try again in some seconds")
        head_age_s = self._clock_ms() // 1_000 - progress.head_time_s
        if head_age_s > _LONGEST_HEAD_AGE_S:
            return NotKnown(f"the newest block known of deployment {name} is {head_age_s} s old")
        return NoSuchAccount()

    def _open_gap(self, deployment: str) -> Gap | None:
        row = self._feeds.deployments.rows.get(deployment.encode())
        if row is None:
            return None
        read = self._states.get(deployment)
        if read is None or read[0] is not row:
            read = self._states[deployment] = row, decode_deployment(decode_row(row).body)
        return read[1].open_gap


def _unsupported(deployment: str, block: int) -> NotKnown:
    return NotKnown(f"deployment {deployment} is unsupported since block {block}")


def _of_row(row: bytes) -> Answer:
    try:
        body = decode_row(row).body
        if body.get("status") == _NOBODY:
            return NoSuchAccount()
        figures = upnl_object(body)
    except BadRow as error:
        return NotKnown(str(error))
    if figures is None:
        return NotKnown(f"the account's figures are unknown ({body.get('status')})")
    return Known(orjson.dumps(figures), str(figures["upnl"]))
