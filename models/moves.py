"""The moves by which a record changed an account: each one event of it, so that a change can be told event by event.

A venue whose records carry one event each has nothing to say here: a record is one move then, named by what the venue
tells the account's readers of it. One whose records carry several says them itself, as ``TellsMoves``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.venue import Account, Positioned, Venue


class Move(NamedTuple):
    """One event of a record, and the account as it left it.

    ``name`` says in a word what it was, such as ``funding``; ``at`` where in the record it stands, "" for the whole.
    """

    name: str
    at: str
    account: Any


@runtime_checkable
class TellsMoves(Protocol):
    """A venue whose records carry several events of an account."""

    def moves(self, before: Any, record: Any, after: Any) -> Sequence[Move]:  # noqa: ANN401 - they are the venue's own
        """The moves of a record, in order.

        Args:
            before: The account before it, None of a new one.
            record: What was folded.
            after: The account after it, which the last move leaves.
        """


def moves_of(venue: Venue[Any, Any, Any], before: Account | None, record: Positioned, after: Account) -> Sequence[Move]:
    """The moves by which a record of an account, not of its whole deployment, changed it.

    Args:
        venue: The account's venue.
        before: The account before it, None of a new one.
        record: What was folded.
        after: The account after it.
    """
    if after.suspicion is not None:
        return (Move("suspect", "", after),)
    if isinstance(venue, TellsMoves):
        return venue.moves(before, record, after)
    kinds = dict.fromkeys(str(event.get("kind", "record")) for event in venue.events(before, record, after))
    return (Move("+".join(kinds) or "record", "", after),)
