"""Whether an account's row may be shown, or the account does not exist, or why neither is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.tables.deployment_heads import deployment_progress
from models.deployments import decode_deployment
from models.engine.tables import DEPLOYMENTS
from models.errors import BadRow
from models.ids import account_key
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.tables.feeds import Feeds
    from api.tables.freshness import Freshness
    from models.deployments import DeploymentState, Gap


@dataclass(frozen=True, slots=True)
class CurrentRow:
    """The account has a row that may be shown; it is encoded."""

    row: bytes


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The account has a row that may be from before ``gap`` began, so its figures are unknown."""

    row: bytes
    gap: Gap


@dataclass(frozen=True, slots=True)
class NoSuchAccount:
    """The deployment is folded to a recent head and has no such account."""


@dataclass(frozen=True, slots=True)
class NotKnown:
    """Nothing is known of the account, which does not mean zero; ``reason`` is a sentence for a person."""

    reason: str


_COLD = NotKnown("the tables are still being read, try again in some seconds")


class Standings:
    """Tells what may be said of accounts now, by the rows of the feeds.

    Args:
        feeds: The tables.
        partitions: How many partitions the accounts have (``topics.partitions``).
        freshness: Tells what is stale.
        clock_ms: Our own time, in Unix ms.
    """

    def __init__(self, feeds: Feeds, partitions: int, freshness: Freshness, clock_ms: Callable[[], int]) -> None:
        self._feeds = feeds
        self._partitions = partitions
        self._freshness = freshness
        self._clock_ms = clock_ms
        self._states: dict[str, tuple[bytes, DeploymentState]] = {}

    @property
    def is_warm(self) -> bool:
        """Whether an account that is not in the tables is known not to be there."""
        return self._feeds.valuations.is_ready and self._feeds.deployments.is_ready

    async def wait_warm(self) -> None:
        """Wait until ``is_warm``."""
        if not self.is_warm:
            await asyncio.gather(self._feeds.valuations.wait_ready(), self._feeds.deployments.wait_ready())

    def of(self, deployment: str, address: str) -> CurrentRow | Unsupported | NoSuchAccount | NotKnown:
        """Say what may be said of an account now.

        The row may be one whose status says that no such account exists. The caller decodes rows, so it must look for
        that status, and ask ``missing`` where it finds it.
        """
        if not self.is_warm:
            return _COLD
        row = self._feeds.valuations.rows.get(account_key(deployment, address))
        if row is None:
            return self.missing(deployment)
        try:
            gap = self.open_gap(deployment)
        except BadRow:
            return _unreadable(deployment)
        return CurrentRow(row) if gap is None else Unsupported(row, gap)

    def missing(self, deployment: str) -> NoSuchAccount | NotKnown:
        """Say what may be said of an account that is not in the tables.

        The account may be in records that have not been folded yet. To say that it does not exist would be a guess
        then, and clients would show zero for it.
        """
        if not self.is_warm:
            return _COLD
        try:
            progress = deployment_progress(self._feeds, deployment, self._partitions)
        except BadRow:
            return _unreadable(deployment)
        if not self._freshness.follows_chain(deployment):
            reason = self._freshness.why_unsure(deployment)
            return NoSuchAccount() if reason is None else NotKnown(reason)
        if progress is None:
            return NotKnown(f"no block of deployment {deployment} has been read yet")
        if progress.unsupported_since is not None:
            return unsupported(deployment, progress.unsupported_since)
        if progress.folded_head is None or progress.folded_head < progress.head:
            return NotKnown(f"deployment {deployment} has not been folded to its head yet, try again in some seconds")
        # While history is read, the newest block known is an old one, and newer accounts are not known yet.
        head_age_s = self._clock_ms() // 1_000 - progress.head_time_s
        if head_age_s * 1_000 > self._freshness.head_ms:
            return NotKnown(f"the newest block known of deployment {deployment} is {head_age_s} s old")
        reason = self._freshness.why_unsure(deployment)
        if reason is not None:
            return NotKnown(reason)
        return NoSuchAccount()

    def is_supported(self, deployment: str) -> bool:
        """Whether a deployment's figures are known; not where its row cannot be read, for they may not be."""
        try:
            return self.open_gap(deployment) is None
        except BadRow as error:
            key = deployment.encode()
            note_unreadable(DEPLOYMENTS, key, self._feeds.deployments.rows[key], error)
            return False

    def is_readable(self, deployment: str) -> bool:
        """Whether a deployment's row, where it has one, says whether its figures are known."""
        try:
            self.open_gap(deployment)
        except BadRow:
            return False
        return True

    def open_gap(self, deployment: str) -> Gap | None:
        """Return since when a deployment's figures are unknown, None while they are known.

        Raises:
            BadRow: The deployment's row does not decode.
        """
        row = self._feeds.deployments.rows.get(deployment.encode())
        if row is None:
            return None
        read = self._states.get(deployment)
        if read is None or read[0] is not row:
            read = self._states[deployment] = row, decode_deployment(row)
        return read[1].open_gap


def unsupported(deployment: str, block: int) -> NotKnown:
    """Say that a deployment's figures are unknown since ``block``."""
    return NotKnown(f"deployment {deployment} is unsupported since block {block}")


def _unreadable(deployment: str) -> NotKnown:
    return NotKnown(f"how far deployment {deployment} is cannot be read out of its rows")
