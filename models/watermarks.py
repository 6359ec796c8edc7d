"""What an account partition knows of a deployment: how far its own account-events are folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.chain_records import Position


@dataclass(frozen=True, slots=True)
class DeploymentWatermark:
    """The row of a deployment in one partition of the accounts.

    ``applied`` is the position of the last control record folded. ``unsupported_since`` is the block from which the
    deployment's accounts are unknown, None where they are known; ``reason`` says why. Where not ``enumerated``, an
    account may have a past that no record tells.
    """

    applied: Position = (-1, -1)
    head: int = -1
    head_time_s: int = 0
    final: int = -1
    unsupported_since: int | None = None
    reason: str = ""
    enumerated: bool = True


def encode_watermark(watermark: DeploymentWatermark) -> dict[str, Any]:
    """Body of a row of the ``watermarks`` table."""
    return {
        "applied": watermark.applied,
        "head": watermark.head,
        "head_time_s": watermark.head_time_s,
        "final": watermark.final,
        "unsupported_since": watermark.unsupported_since,
        "reason": watermark.reason,
        "enumerated": watermark.enumerated,
    }


def decode_watermark(body: dict[str, Any]) -> DeploymentWatermark:
    """Read the body of a row of the ``watermarks`` table."""
    offset, index = body["applied"]
    return DeploymentWatermark(
        applied=(offset, index),
        head=body["head"],
        head_time_s=body["head_time_s"],
        final=body["final"],
        unsupported_since=body["unsupported_since"],
        reason=body["reason"],
        enumerated=body["enumerated"],
    )
