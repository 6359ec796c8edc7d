"""What a client sent, as it may stand in a log: on one line, without control characters, and not long."""

from __future__ import annotations

_SHOWN_CHARACTERS = 200


def shown(text: str) -> str:
    """Escape what is not printable in a client's text, and cut it off after 200 characters.

    Without that a client could write lines of its own into the log, or steer the terminal that shows it.
    """
    return text[:_SHOWN_CHARACTERS].encode("unicode_escape").decode("ascii")
