"""Whether an account's row may be shown, whether the account exists, or why neither is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.tables.deployment_heads import deployment_progress
from models.codec import decode_row
from models.deployments import decode_deployment
from models.errors import BadRow
from models.ids import account_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.tables.feeds import Feeds
    from models.deployments import DeploymentState, Gap

# While history is read the newest block known is an old one. Chains make a block within seconds, and ingest that has
# stopped is noticed within minutes: less would refuse at every hiccup, more would call newer accounts non-existent.
_LONGEST_HEAD_AGE_S = 120


@dataclass(frozen=True, slots=True)
class Standing:
    """The account's row, as it is encoded."""

    row: bytes


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The account has a row, which may still say what it said before ``gap`` began: its figures are unknown."""

    row: bytes
    gap: Gap


@dataclass(frozen=True, slots=True)
class NoSuchAccount:
    """The deployment is folded to a recent head and has no such account."""


@dataclass(frozen=True, slots=True)
class NotKnown:
    """Nothing is known, which is not zero; ``reason`` is a sentence for a person."""

    reason: str


_COLD = NotKnown("the tables are still being read, try again in some seconds")


class Standings:
    """Reads from the feeds what may be said about accounts now.

    Args:
        feeds: The tables.
        partitions: How many partitions the accounts have (``topics.partitions``).
        clock_ms: Our own time, in Unix ms.
    """

    def __init__(self, feeds: Feeds, partitions: int, clock_ms: Callable[[], int]) -> None:
        self._feeds = feeds
        self._partitions = partitions
        self._clock_ms = clock_ms
        self._states: dict[str, tuple[bytes, DeploymentState]] = {}

    @property
    def is_warm(self) -> bool:
        """Whether an account that is not in the tables is known not to be."""
        return self._feeds.valuations.is_ready and self._feeds.deployments.is_ready

    async def wait_warm(self) -> None:
        """Wait until ``is_warm``."""
        if not self.is_warm:
            await asyncio.gather(self._feeds.valuations.wait_ready(), self._feeds.deployments.wait_ready())

    def of(self, deployment: str, address: str) -> Standing | Unsupported | NoSuchAccount | NotKnown:
        """What may be said about an account now.

        A row whose body says that it is nobody's is that of an account that is ``missing``.
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
        return Standing(row) if gap is None else Unsupported(row, gap)

    def missing(self, deployment: str) -> NoSuchAccount | NotKnown:
        """What may be said about an account that is not in the tables.

        It may be in what they have not read yet: "does not exist" would be a guess, and clients show it as zero.
        """
        if not self.is_warm:
            return _COLD
        try:
            progress = deployment_progress(self._feeds, deployment, self._partitions)
        except BadRow:
            return _unreadable(deployment)
        if progress is None:
            return NotKnown(f"no block of deployment {deployment} has been read yet")
        if progress.unsupported_since is not None:
            return unsupported(deployment, progress.unsupported_since)
        if progress.folded_head is None or progress.folded_head < progress.head:
            return NotKnown(f"deployment {deployment} has not been folded to its head yet, try again in some seconds")
        head_age_s = self._clock_ms() // 1_000 - progress.head_time_s
        if head_age_s > _LONGEST_HEAD_AGE_S:
            return NotKnown(f"the newest block known of deployment {deployment} is {head_age_s} s old")
        return NoSuchAccount()

    def open_gap(self, deployment: str) -> Gap | None:
        """Since when a deployment's figures are unknown, None while they are known.

        Raises:
            BadRow: The deployment's row does not decode.
        """
        row = self._feeds.deployments.rows.get(deployment.encode())
        if row is None:
            return None
        read = self._states.get(deployment)
        if read is None or read[0] is not row:
            read = self._states[deployment] = row, decode_deployment(decode_row(row).body)
        return read[1].open_gap


def unsupported(deployment: str, block: int) -> NotKnown:
    """What may be said where a deployment's figures are unknown since ``block``."""
    return NotKnown(f"deployment {deployment} is unsupported since block {block}")


def _unreadable(deployment: str) -> NotKnown:
    return NotKnown(f"how far deployment {deployment} is cannot be read out of its rows")
