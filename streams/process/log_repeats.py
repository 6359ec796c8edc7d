"""What a library says again and again while something is gone, said a few times and counted."""

from __future__ import annotations

import logging

# A client of a broker that is gone says the same of each connection several times a second: 15,000 lines in half a
# minute would hide whatever else there is to read, and fill the disk that the broker needs to come back.
_LINES = 5
_WINDOW_S = 10.0
# There are some hundred format strings; more of them would be texts that were put together before they were logged.
_KINDS_MAX = 1_000


class FewRepeats(logging.Filter):
    """Lets of each kind of line five pass in ten seconds; the next that passes says how many were left out.

    A kind is a format string of one logger, whatever it is filled with.

    Args:
        library: Whose lines are counted, by the beginning of the logger's name; others pass.
    """

    def __init__(self, library: str) -> None:
        super().__init__()
        self._library = library
        # By kind: when its window began, in Unix s, and how many lines came in it.
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        if record.name != self._library and not record.name.startswith(f"{self._library}."):
            return True
        kind = record.name, str(record.msg)
        if kind not in self._seen and len(self._seen) >= _KINDS_MAX:
            self._seen.clear()
        began_s, lines = self._seen.get(kind, (record.created, 0))
        left_out = 0
        if not 0 <= record.created - began_s < _WINDOW_S:
            left_out, began_s, lines = max(0, lines - _LINES), record.created, 0
        self._seen[kind] = began_s, lines + 1
        if left_out and isinstance(record.args, tuple):
            record.msg, record.args = f"{record.msg} left_out=%d", (*record.args, left_out)
        return lines < _LINES
