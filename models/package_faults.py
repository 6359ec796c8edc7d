"""What a venue's package raises at a record that it cannot read, beside the ``BadRecord`` that it should raise.

A worker that ended at a record would be given the same one again, for ever, and no other venue's would be folded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.errors import BadNumber, BadRecord, TidemarkError

if TYPE_CHECKING:
    from collections.abc import Callable

# Parsing raises these at bytes of any content: no UTF-8, nested too deeply, a field missing, no object where one was
# expected, a number out of range. So does a state that is None, which is that of a new account.
UNREADABLE = (
    BadRecord, BadNumber, msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    RecursionError,
)  # fmt: skip


def cause_of(error: BaseException) -> str:
    """Why a record could not be read, as a dead letter says it."""
    is_told = isinstance(error, TidemarkError)
    return said_of(error, str) if is_told else f"expected a record, found {said_of(error):.200}"


def said_of(error: BaseException, say: Callable[[BaseException], str] = repr) -> str:
    """What an exception says of itself; its class, where the package's own words fail too."""
    try:
        return say(error)
    except BaseException as fault:  # noqa: BLE001 - code of others may raise anything
        expect_own(fault)
        return type(error).__name__


def expect_own(error: BaseException) -> None:
    """Raise an error again that is not of the package that was asked.

    That memory is full says nothing of it, and a signal may interrupt it anywhere. All else that comes out of it is its
    own: it is called without a wait, so that no cancellation of a task and no end of a generator can reach it.
    """
    if isinstance(error, (MemoryError, KeyboardInterrupt)):
        raise error
