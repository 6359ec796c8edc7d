"""What somebody who watches a replay may say to it, a line at a time."""

from __future__ import annotations

import re
from typing import NamedTuple

from streams.replay.bounded_log import BadWindow
from streams.replay.log_window import read_instant

SPEED_MAX = 1_000
_SPEED = re.compile(r"speed\s+(\d{1,4})")
_FORWARD = re.compile(r"\+?(\d{1,9}[smhd])")
USAGE = (
    "Return goes on to the next record, 10s (s, m, h, d) by so much, -10s back by so much, and an instant such as "
    "2026-11-20T10:30:00Z to it; pause, go, speed 1 to 1000"
)


class NextRecord(NamedTuple):
    """Go on to when the next record was made, and stand there."""


class StandAt(NamedTuple):
    """Go to an instant, Unix ms; one before where the replay stands begins it anew."""

    at_ms: int


class Pause(NamedTuple):
    """Stand."""


class Go(NamedTuple):
    """Go on by itself; ``speed`` is how many seconds pass in one, None for as many as before."""

    speed: int | None = None


Control = NextRecord | StandAt | Pause | Go


def read_control(line: str, at_ms: int) -> Control:
    """Read a line.

    Args:
        line: As it was typed.
        at_ms: Where the replay stands, Unix ms, from which times are counted.

    Raises:
        BadWindow: It is none that is known.
    """
    text = line.strip()
    if text == "pause":
        return Pause()
    if text == "go":
        return Go()
    if not text:
        return NextRecord()
    speed = _SPEED.fullmatch(text)
    if speed is not None and 1 <= int(speed[1]) <= SPEED_MAX:
        return Go(int(speed[1]))
    forward = _FORWARD.fullmatch(text)
    if forward is not None:
        return StandAt(2 * at_ms - read_instant(f"-{forward[1]}", at_ms))
    try:
        return StandAt(read_instant(text, at_ms))
    except BadWindow as error:
        msg = f"expected a line that a replay knows, found {text!r:.100}: {USAGE}"
        raise BadWindow(msg) from error
