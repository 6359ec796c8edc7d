"""The watermark of a deployment in one partition of ``account-events``: how far that partition is folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.body_reader import body_reader
from models.row_bodies import WatermarkBody

if TYPE_CHECKING:
    from models.chain_records import LogOffset


@dataclass(frozen=True, slots=True)
class DeploymentWatermark:
    """The watermark of a deployment in one partition of the accounts.

    ``applied`` is the log offset of the last record folded that concerns the whole deployment. ``unsupported_since`` is
    the block from which the deployment's accounts are unknown, None where they are known; ``reason`` says why.
    ``enumerated`` is False where an account without a row may have a past that is in no record.
    """

    applied: LogOffset = (-1, -1)
    head: int = -1
    head_time_s: int = 0
    final: int = -1
    unsupported_since: int | None = None
    reason: str = ""
    enumerated: bool = True


_read_body = body_reader("watermarks", WatermarkBody)


def encode_watermark(watermark: DeploymentWatermark) -> WatermarkBody:
    """Body of a row of the ``watermarks`` table."""
    return WatermarkBody(
        applied=watermark.applied,
        head=watermark.head,
        head_time_s=watermark.head_time_s,
        final=watermark.final,
        unsupported_since=watermark.unsupported_since,
        reason=watermark.reason,
        enumerated=watermark.enumerated,
    )


def decode_watermark(row: bytes) -> DeploymentWatermark:
    """Read a row of the ``watermarks`` table.

    Raises:
        BadRow: It is none.
    """
    body = _read_body(row)
    return DeploymentWatermark(
        applied=body.applied,
        head=body.head,
        head_time_s=body.head_time_s,
        final=body.final,
        unsupported_since=body.unsupported_since,
        reason=body.reason,
        enumerated=body.enumerated,
    )


def lost_watermark(version: int) -> DeploymentWatermark:
    """What is known of a deployment in a partition whose row cannot be read: how far it was folded, and nothing else.

    Its accounts are unknown, since they may have been unsupported, until a join says of them what they are; a figure
    that is shown would claim that they are supported.

    Args:
        version: The row's version, from which on records are folded.
    """
    return DeploymentWatermark(
        applied=(version - 1, -1),
        unsupported_since=0,
        reason="the row of watermarks cannot be read: begin a new epoch, or join with --from-state",
        enumerated=False,
    )
