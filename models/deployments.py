"""What the router knows of a deployment: how far its chain is routed, and where its logs were not supported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msgspec import UNSET

from models.body_reader import body_reader
from models.row_bodies import DeploymentBody, GapBody

if TYPE_CHECKING:
    from models.chain_records import LogOffset


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of log offsets whose logs were not routed, because this version does not support one of them.

    It begins at ``since``, in block ``block``, where ``reason`` says what was found. It ends before ``until``, which is
    None while the gap is open.
    """

    since: LogOffset
    block: int
    reason: str
    until: LogOffset | None = None


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """The router's row of a deployment.

    ``position`` is the log offset of the last record routed. ``begun_at`` is the offset of the record with the first
    account event, None before there is one: a DiamondCut before it belongs to the construction of the Diamond.
    ``begun_block`` is the number of that block as long as it may be rolled back, else None.
    """

    position: LogOffset = (-1, -1)
    head: int = -1
    head_time_s: int = 0
    final: int = -1
    begun_at: int | None = None
    begun_block: int | None = None
    gaps: tuple[Gap, ...] = ()

    @property
    def open_gap(self) -> Gap | None:
        """The gap that has not ended, if there is one."""
        return next((gap for gap in self.gaps if gap.until is None), None)

    def supported_at(self, position: LogOffset) -> bool:
        """Whether the logs at a log offset are routed."""
        return not any(gap.since < position and (gap.until is None or position < gap.until) for gap in self.gaps)

    def begun_before(self, offset: int) -> bool:
        """Whether there is an account event before the record at ``offset``."""
        return self.begun_at is not None and self.begun_at < offset

    def at(self, position: LogOffset) -> DeploymentState:
        """Note that everything up to a log offset is routed."""
        return replace(self, position=position)

    def begin(self, offset: int, block: int) -> DeploymentState:
        """Note that the record at ``offset``, which is of this block, holds an account event; only the first counts."""
        return self if self.begun_at is not None else replace(self, begun_at=offset, begun_block=block)

    def watermark(self, head: int, head_time_s: int, final: int) -> DeploymentState:
        """Take in how far the chain is known.

        Args:
            head: The highest block whose logs are all routed.
            head_time_s: That block's time, Unix s.
            final: Nothing at or below this block is rolled back. A lower one than is known changes nothing.
        """
        final = max(final, self.final)
        begun_block = self.begun_block if self.begun_block is not None and self.begun_block > final else None
        return replace(self, head=head, head_time_s=head_time_s, final=final, begun_block=begun_block)

    def unsupported(self, since: LogOffset, block: int, reason: str) -> DeploymentState:
        """Begin a gap, unless one is open or this one is known.

        Args:
            since: Log offset of the transaction whose logs were not supported.
            block: The block of that transaction.
            reason: What was found there, in words.
        """
        if self.open_gap is not None or any(gap.since == since for gap in self.gaps):
            return self
        return replace(self, gaps=(*self.gaps, Gap(since, block, reason)))

    def gap_above(self, ancestor: int, position: LogOffset) -> bool:
        """Whether there is a gap at a log offset that began in a block above ``ancestor``."""
        return any(
            gap.block > ancestor and gap.since < position and (gap.until is None or gap.until >= position)
            for gap in self.gaps
        )

    def rolled_back(self, ancestor: int, position: LogOffset) -> DeploymentState:
        """Take back what blocks above ``ancestor`` said, which have left the chain.

        Args:
            ancestor: The newest block that stays.
            position: Log offset of the record that rolls the others back.

        Returns:
            The state without a gap, and without a beginning, that such a block made.
        """
        state = self._closed(position) if self.gap_above(ancestor, position) else self
        if state.begun_block is not None and state.begun_block > ancestor:
            state = replace(state, begun_at=None, begun_block=None)
        return state

    def joined(self, position: LogOffset) -> DeploymentState:
        """End the gap at a join: every account gets a checkpoint, so what was missed before no longer matters."""
        return replace(self._closed(position), begun_at=position[0] if self.begun_at is None else self.begun_at)

    def _closed(self, position: LogOffset) -> DeploymentState:
        return replace(
            self, gaps=tuple(replace(gap, until=position) if gap.until is None else gap for gap in self.gaps)
        )


_read_body = body_reader("deployments", DeploymentBody)


def encode_deployment(state: DeploymentState) -> DeploymentBody:
    """Body of a row of the ``deployments`` table."""
    return DeploymentBody(
        position=state.position,
        head=state.head,
        head_time_s=state.head_time_s,
        final=state.final,
        begun_at=state.begun_at,
        begun_block=UNSET if state.begun_block is None else state.begun_block,
        gaps=[GapBody(gap.since, gap.block, gap.reason, gap.until) for gap in state.gaps],
    )


def decode_deployment(row: bytes) -> DeploymentState:
    """Read a row of the ``deployments`` table.

    Raises:
        BadRow: It is none.
    """
    body = _read_body(row)
    return DeploymentState(
        position=body.position,
        head=body.head,
        head_time_s=body.head_time_s,
        final=body.final,
        begun_at=body.begun_at,
        begun_block=None if body.begun_block is UNSET else body.begun_block,
        gaps=tuple(Gap(gap.since, gap.block, gap.reason, gap.until) for gap in body.gaps),
    )


def lost_deployment(version: int) -> DeploymentState:
    """What is known of a deployment whose row cannot be read: how far it was routed, and nothing else.

    Where logs were not supported, the accounts go on saying so until a join, whatever is said here. Nobody changes a
    Diamond's construction after it was routed.

    Args:
        version: The row's version, from which on records are routed.
    """
    return DeploymentState(position=(version - 1, -1), begun_at=version - 1)
