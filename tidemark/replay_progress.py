"""How far the reading of a window is, on stderr: rate, share and time left."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.process.clock import Clock
    from streams.replay.bounded_log import LogRecord, Place, Span

# The clock is read once in so many records: reading it at each would take a tenth of the time.
_LOOK_EVERY = 2_000
_TERMINAL_EVERY_S = 0.5
_PLAIN_EVERY_S = 10.0


class Progress:
    """Says how far a reading is; on a terminal in one line that is redrawn, elsewhere in a line now and then.

    Args:
        vector: What is read; records that are read beside it count, but not in the share.
        clock: Tells how long it takes.

    Attributes:
        records: How many were read.
    """

    def __init__(self, vector: Mapping[Place, Span], clock: Clock) -> None:
        self._vector = vector
        self._clock = clock
        self._total = sum(span.end - span.begin for span in vector.values())
        self._next: dict[Place, int] = {}
        self._began_s = self._said_s = clock.monotonic_s()
        self._is_terminal = sys.stderr.isatty()
        self._every_s = _TERMINAL_EVERY_S if self._is_terminal else _PLAIN_EVERY_S
        self.records = 0

    def take(self, record: LogRecord) -> None:
        """Note that a record was read."""
        span = self._vector.get(record.place)
        if span is not None and span.begin <= record.offset:
            self._next[record.place] = record.offset + 1
        self.records += 1
        if self.records % _LOOK_EVERY == 0 and self._clock.monotonic_s() - self._said_s >= self._every_s:
            self._said_s = self._clock.monotonic_s()
            self._say(self._line())

    def finish(self) -> None:
        """Say what was read in all."""
        took_s = self._clock.monotonic_s() - self._began_s
        self._say(f"{self.records} records in {took_s:.1f} s")
        if self._is_terminal:
            click.echo(err=True)

    def _line(self) -> str:
        took_s = max(self._said_s - self._began_s, 1e-9)
        done = sum(offset - self._vector[place].begin for place, offset in self._next.items())
        share = min(done / max(self._total, 1), 1.0)
        left_s = took_s * (1 - share) / share if share else 0.0
        return f"{self.records} records, {self.records / took_s:.0f}/s, {share:.0%}, {left_s:.0f} s left"

    def _say(self, line: str) -> None:
        click.echo(f"\r{line:<70}" if self._is_terminal else line, err=True, nl=not self._is_terminal)
