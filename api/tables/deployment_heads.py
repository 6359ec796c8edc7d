"""How far each deployment is folded, and since which block its figures are unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from models.deployments import decode_deployment
from models.engine.tables import DEPLOYMENTS, WATERMARKS
from models.errors import BadRow
from models.watermarks import decode_watermark
from streams.process.unreadable_rows import decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.tables.feeds import Feeds, RowFeed

T = TypeVar("T")


def watermark_key(deployment: str, partition: int) -> bytes:
    """Key of the row that says how far one account partition folded a deployment: ``<deployment>:<partition>``."""
    return f"{deployment}:{partition}".encode()


@dataclass(frozen=True, slots=True)
class DeploymentProgress:
    """How far a deployment is, by the rows of the router and the accounts agents.

    Attributes:
        head: The newest block that was routed.
        head_time_s: That block's time, in Unix s.
        final: The block at or below which nothing is rolled back.
        folded_head: The newest block that every partition has folded; None until each partition has a row.
        unsupported_since: The block since which the figures are unknown; None while they are known.
        unsupported_reason: Why they are unknown.
    """

    head: int
    head_time_s: int
    final: int
    folded_head: int | None
    unsupported_since: int | None
    unsupported_reason: str | None


def deployment_progress(feeds: Feeds, deployment: str, partitions: int) -> DeploymentProgress | None:
    """Read how far a deployment is, or None where no head of it has been routed yet.

    Args:
        feeds: The tables.
        deployment: Its name.
        partitions: How many partitions the accounts have (``topics.partitions``).

    Raises:
        BadRow: A row of ``deployments`` or ``watermarks`` does not decode.
    """
    state = _read(feeds.deployments, DEPLOYMENTS, deployment.encode(), decode_deployment)
    if state is None or state.head < 0:
        return None
    gap = state.open_gap
    keys = (watermark_key(deployment, number) for number in range(partitions))
    marks = (_read(feeds.watermarks, WATERMARKS, key, decode_watermark) for key in keys)
    folded_head = min((-1 if mark is None else mark.head for mark in marks), default=-1)
    return DeploymentProgress(
        head=state.head,
        head_time_s=state.head_time_s,
        final=state.final,
        folded_head=folded_head if folded_head >= 0 else None,
        unsupported_since=None if gap is None else gap.block,
        unsupported_reason=None if gap is None else gap.reason,
    )


def known_progress(feeds: Feeds, deployment: str, partitions: int) -> DeploymentProgress | None:
    """As ``deployment_progress``; None also where its rows cannot be read, for who tells of every deployment."""
    try:
        return deployment_progress(feeds, deployment, partitions)
    except BadRow:
        return None


def _read(feed: RowFeed, table: str, key: bytes, decode: Callable[[bytes], T]) -> T | None:
    row = feed.rows.get(key)
    return None if row is None else decoded(table, key, row, decode)
