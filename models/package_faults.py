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


def cause_of(error: Exception) -> str:
    """Why a record could not be read, as a dead letter says it."""
    is_told = isinstance(error, TidemarkError)
    return said_of(error, str) if is_told else f"expected a record, found {said_of(error):.200}"


def said_of(error: Exception, say: Callable[[Exception], str] = repr) -> str:
    """What an exception says of itself; its class, where the package's own words fail too."""
    try:
        return say(error)
    except Exception as fault:
        if isinstance(fault, MemoryError):
            raise
        return type(error).__name__
