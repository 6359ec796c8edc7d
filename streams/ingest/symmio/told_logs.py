"""The logs that different answers tell of the same blocks, and what is taken of them.

An index that lags, a backend that is behind and a range that was cut leave logs out; none makes up a log of a block's
own hash. So a log that any answer has counts until a header's receipts say otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.node.blocks import FoundLog

ToldLogs = frozenset["FoundLog"]
"""The logs of a range of blocks, as one endpoint told them, in one answer or in several."""


def disputed(told: Sequence[ToldLogs], written: ToldLogs = frozenset()) -> list[int]:
    """Number the blocks of which an answer lacks what another one, or what was written, has; in order.

    Args:
        told: The answers' logs; at least one answer.
        written: What the topic holds of these blocks already; lacking something is no dispute here.
    """
    everything = written.union(*told)
    return sorted({log.number for logs in told for log in everything - logs})


def lacking(told: Sequence[ToldLogs], written: ToldLogs = frozenset()) -> list[int]:
    """Return the places in ``told`` of those that lack what another one, or what was written, has."""
    everything = written.union(*told)
    return [place for place, logs in enumerate(told) if len(logs) < len(everything)]


def union(told: Iterable[ToldLogs]) -> ToldLogs:
    """Take of each place in a block the log that most answers have there, or the first answer of those that tie."""
    votes: defaultdict[tuple[int, str, int], dict[FoundLog, int]] = defaultdict(dict)
    for logs in told:
        for log in logs:
            at = votes[log.number, log.block_hash, log.log.log_index]
            at[log] = at.get(log, 0) + 1
    return frozenset(max(at, key=at.__getitem__) for at in votes.values())
