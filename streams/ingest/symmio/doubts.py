"""What is said of logs that were lost, found again, or not proven: a counter and a line in the log for each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)

_MENDED = Counter(
    "tidemark_chain_mended_blocks_total",
    "Blocks that were written with other logs than the chain has, and written anew.",
    ("deployment",),
)
_UNDECIDED = Counter(
    "tidemark_chain_undecided_blocks_total",
    "Blocks of which answers have different logs, and receipts do not say which are right.",
    ("deployment",),
)
_DISPUTED = Counter(
    "tidemark_chain_disputed_blocks_total",
    "Blocks of which answers have different logs, also when asked again, and receipts say which are right.",
    ("deployment",),
)
_UNWITNESSED = Counter(
    "tidemark_chain_unwitnessed_blocks_total",
    "Final blocks that a second endpoint should have been asked for, and none answered.",
    ("deployment",),
)
_WITNESSED = Counter(
    "tidemark_chain_witnessed_blocks_total", "Final blocks that two endpoints were asked for.", ("deployment",)
)
_APART = Counter(
    "tidemark_chain_answers_apart_total",
    "Answers about final blocks that were put aside, since they name other hashes or lack the block.",
    ("deployment",),
)


class Doubts:
    """Says what is in doubt of one deployment's logs.

    Args:
        deployment: Name for logs and metrics.
    """

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        for counter in (_MENDED, _UNDECIDED, _DISPUTED, _UNWITNESSED, _WITNESSED, _APART):
            counter.labels(deployment)

    def mended(self, numbers: Sequence[int]) -> None:
        """Say that blocks were written anew, since the chain has other logs of them."""
        _MENDED.labels(self._deployment).inc(len(numbers))
        _log.error("blocks had lost logs and are written anew deployment=%s blocks=%s", self._deployment, list(numbers))

    def undecided(self, number: int, reason: str) -> None:
        """Say that answers differ about a block and receipts do not decide; every log that was told of is kept.

        Args:
            number: The block's.
            reason: Why its receipts do not decide.
        """
        _UNDECIDED.labels(self._deployment).inc()
        _log.error("logs undecided deployment=%s block=%d reason=%s", self._deployment, number, reason)

    def decided(self, number: int) -> None:
        """Say that answers differ about a block, and that its receipts decide."""
        _DISPUTED.labels(self._deployment).inc()
        _log.warning("answers differ, receipts decide deployment=%s block=%d", self._deployment, number)

    def witnessed(self, first: int, last: int) -> None:
        """Say that two endpoints were asked for the blocks from ``first`` to ``last``."""
        _WITNESSED.labels(self._deployment).inc(last - first + 1)

    def unwitnessed(self, first: int, last: int, reason: str) -> None:
        """Say that blocks are taken from one endpoint alone, against the setting.

        Args:
            first: Number of the first block.
            last: Number of the last one.
            reason: Why there is no second answer.
        """
        _UNWITNESSED.labels(self._deployment).inc(last - first + 1)
        _log.error(
            "no second endpoint answered deployment=%s first=%d last=%d reason=%s",
            self._deployment,
            first,
            last,
            reason,
        )

    def apart(self, first: int, last: int, reason: str) -> None:
        """Say that answers about final blocks do not fit together, and are asked for anew.

        Args:
            first: Number of the first block.
            last: Number of the last one.
            reason: What does not fit.
        """
        _APART.labels(self._deployment).inc()
        _log.warning(
            "answers about blocks do not fit together deployment=%s first=%d last=%d reason=%s",
            self._deployment,
            first,
            last,
            reason,
        )
