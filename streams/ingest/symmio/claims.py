"""What different answers claim to be a block's logs, and what is taken of them.

An index that lags, a backend that is behind and a range that was cut leave logs out; none makes up a log of a block's
own hash. So a log that any answer has counts until a header's receipts say otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.node.blocks import FoundLog

Claim = frozenset["FoundLog"]
"""The logs of a range of blocks, as one endpoint told them, in one answer or in several."""


def disputed(claims: Sequence[Claim], written: Claim = frozenset()) -> list[int]:
    """Number the blocks of which a claim lacks what another one, or what was written, has; in order.

    Args:
        claims: At least one.
        written: What the topic holds of these blocks already; lacking something is no dispute here.
    """
    everything = written.union(*claims)
    return sorted({log.number for claim in claims for log in everything - claim})


def lacking(claims: Sequence[Claim], written: Claim = frozenset()) -> list[int]:
    """Return the places in ``claims`` of those that lack what another one, or what was written, has."""
    everything = written.union(*claims)
    return [place for place, claim in enumerate(claims) if len(claim) < len(everything)]


def union(claims: Iterable[Claim]) -> Claim:
    """Take of each place in a block the log that most claims have there, of the first of these where several tie."""
    votes: defaultdict[tuple[int, str, int], dict[FoundLog, int]] = defaultdict(dict)
    for claim in claims:
        for log in claim:
            at = votes[log.number, log.block_hash, log.log.log_index]
            at[log] = at.get(log, 0) + 1
    return frozenset(max(at, key=at.__getitem__) for at in votes.values())
