"""What the router knows of a deployment: how far its chain is routed, and where its logs were not supported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models.errors import BadRow

if TYPE_CHECKING:
    from models.chain_records import Position


@dataclass(frozen=True, slots=True)
class Gap:
    """Logs at positions from ``since`` on, to before ``until``, were not routed; None: it is still so.

    ``block`` is the block of ``since``, ``reason`` says what was found there.
    """

    since: Position
    block: int
    reason: str
    until: Position | None = None


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """The router's row of a deployment.

    ``position`` is that of the last record routed. ``begun_at`` is the offset of the block with the first account
    event, None before it: a DiamondCut until then is the construction of the Diamond.
    """

    position: Position = (-1, -1)
    head: int = -1
    head_time_s: int = 0
    final: int = -1
    begun_at: int | None = None
    gaps: tuple[Gap, ...] = ()

    @property
    def open_gap(self) -> Gap | None:
        """The gap that has not ended, if there is one."""
        return next((gap for gap in self.gaps if gap.until is None), None)

    def supported_at(self, position: Position) -> bool:
        """Whether what stands at ``position`` is routed."""
        return not any(gap.since < position and (gap.until is None or position < gap.until) for gap in self.gaps)

    def begun_before(self, offset: int) -> bool:
        """Whether any account event stands before the record at ``offset``."""
        return self.begun_at is not None and self.begun_at < offset

    def at(self, position: Position) -> DeploymentState:
        """The state once everything up to ``position`` is routed."""
        return replace(self, position=position)

    def begin(self, offset: int) -> DeploymentState:
        """The first account event stands in the record at ``offset``."""
        return self if self.begun_at is not None else replace(self, begun_at=offset)

    def watermark(self, head: int, head_time_s: int, final: int) -> DeploymentState:
        """The chain is known up to ``head``; ``final`` never falls."""
        return replace(self, head=head, head_time_s=head_time_s, final=max(final, self.final))

    def unsupported(self, since: Position, block: int, reason: str) -> DeploymentState:
        """A gap begins, unless one is open or this one is known."""
        if self.open_gap is not None or any(gap.since == since for gap in self.gaps):
            return self
        return replace(self, gaps=(*self.gaps, Gap(since, block, reason)))

    def gap_above(self, ancestor: int, position: Position) -> bool:
        """Whether a gap stands at ``position`` that began in a block above ``ancestor``."""
        return any(
            gap.block > ancestor and gap.since < position and (gap.until is None or gap.until >= position)
            for gap in self.gaps
        )

    def rolled_back(self, ancestor: int, position: Position) -> DeploymentState:
        """What began the gap is no longer on the chain, where its block is above ``ancestor``."""
        return self._closed(position) if self.gap_above(ancestor, position) else self

    def joined(self, position: Position) -> DeploymentState:
        """Every account comes as a checkpoint from ``position`` on: what was missed before no longer matters."""
        return replace(self._closed(position), begun_at=position[0] if self.begun_at is None else self.begun_at)

    def _closed(self, position: Position) -> DeploymentState:
        return replace(
            self, gaps=tuple(replace(gap, until=position) if gap.until is None else gap for gap in self.gaps)
        )


def encode_deployment(state: DeploymentState) -> dict[str, Any]:
    """Body of a row of the ``deployments`` table."""
    return {
        "position": state.position,
        "head": state.head,
        "head_time_s": state.head_time_s,
        "final": state.final,
        "begun_at": state.begun_at,
        "gaps": [
            {"since": gap.since, "block": gap.block, "reason": gap.reason, "until": gap.until} for gap in state.gaps
        ],
    }


def decode_deployment(body: dict[str, Any]) -> DeploymentState:
    """Read the body of a row of the ``deployments`` table.

    Raises:
        BadRow: It is none.
    """

    def position(pair: list[int]) -> Position:
        return pair[0], pair[1]

    try:
        return DeploymentState(
            position=position(body["position"]),
            head=body["head"],
            head_time_s=body["head_time_s"],
            final=body["final"],
            begun_at=body["begun_at"],
            gaps=tuple(
                Gap(position(gap["since"]), gap["block"], gap["reason"], gap["until"] and position(gap["until"]))
                for gap in body["gaps"]
            ),
        )
    except (KeyError, IndexError, TypeError) as error:
        msg = f"expected the body of a deployments row, found {body!r:.200} ({error!r})"
        raise BadRow(msg) from error
