"""Tells a full disk from other errors: it is nobody's mistake, and ends when somebody makes room."""

from __future__ import annotations

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Programs that we start say it in the words of the C library.
_SAID = ("No space left on device", "Disk quota exceeded")


def is_full(error: OSError) -> bool:
    """Whether ``error`` says that a disk is full, or that this user may not fill more of it."""
    return error.errno in _FULL


def says_full(text: str) -> bool:
    """Whether a program said that a disk is full."""
    return any(words in text for words in _SAID)
