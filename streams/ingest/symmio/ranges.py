"""The width of ``eth_getLogs`` ranges: what an endpoint takes, as the node knows it, and fewer where logs are many."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from models.errors import TidemarkError

if TYPE_CHECKING:
    from streams.node.rpc import TooMuch

_log = logging.getLogger(__name__)

_RANGE = Gauge("tidemark_chain_log_range_blocks", "Blocks asked for in one eth_getLogs.", ("deployment",))

# Most providers take 2,000 blocks; ranges soon grow at those that take more.
_FIRST_WIDTH_BLOCKS = 2_000
_WIDEST_BLOCKS = 50_000
# A range's records are held in memory until they are written: about 20 MB.
_MANY_LOGS = 10_000


class BlockTooLarge(TidemarkError):
    """No endpoint gives the logs of a single block. Add an endpoint with a higher limit of results."""


class LogRange:
    """The width of the next range of blocks."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._width = _FIRST_WIDTH_BLOCKS
        self._was_refused = False
        self._said = 0

    def end(self, first: int, last: int) -> int:
        """Return the last block of the range that begins at ``first`` and does not go beyond ``last``."""
        end = min(last, first + self._width - 1)
        _RANGE.labels(self._deployment).set(end - first + 1)
        return end

    def narrow(self, first: int, end: int, error: TooMuch) -> None:
        """Ask for as much as the endpoint takes next time, or for half as much where nobody knows that.

        Args:
            first: Number of the first block of the range that was too much.
            end: Number of its last block.
            error: What the node answered.

        Raises:
            BlockTooLarge: It was a single block.
        """
        if end == first:
            msg = f"expected the logs of block {first} in one answer, found: {error}"
            raise BlockTooLarge(msg) from error
        if error.most is not None:
            # The node remembers it, and refuses more by itself until it is time to try.
            self._width = error.most
        else:
            self._width = (end - first + 1) // 2
            self._was_refused = True
        if self._width != self._said:
            self._said = self._width
            _log.info("log range narrowed deployment=%s blocks=%d reason=%s", self._deployment, self._width, error)

    def widen(self, logs: int) -> None:
        """Ask for more next time if this range held few logs: twice as much, or a quarter more after a refusal."""
        if logs < _MANY_LOGS // 2:
            step = max(1, self._width // 4) if self._was_refused else self._width
            self._width = min(_WIDEST_BLOCKS, self._width + step)
