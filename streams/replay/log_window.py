"""Windows: how they are written, and which offsets they come to.

A window by time holds the records made at or after its beginning and before its end. Times are those that records
carry, which are not always in the order of the log: a partition is read from the first record that is not before the
beginning up to the first that is not before the end. Only offsets say the same for ever, so a window is resolved to
a vector of them at once.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from models.instants import rfc3339
from streams.replay.bounded_log import BadWindow, NoSuchTopic, OutOfRetention, Place, Span, expect_held

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from streams.replay.bounded_log import Held, Log

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE = re.compile(r"-(\d{1,9})(s|m|h|d)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# A topic's name has letters, digits, dots, underscores and hyphens.
_SPAN = re.compile(r"([\w.-]+):(\d{1,9}):(\d{1,18})-(\d{1,18})", re.ASCII)


def read_instant(text: str, now_ms: int) -> int:
    """Read an instant as users write it, in Unix ms.

    Args:
        text: RFC 3339 with its zone (``2026-11-20T10:30:00Z``), how long ago (``-15m``; s, m, h or d), or ``now``.
        now_ms: The instant now, Unix ms.

    Raises:
        BadWindow: It is none of these.
    """
    if text == "now":
        return now_ms
    before = _BEFORE.fullmatch(text)
    if before is not None:
        return now_ms - int(before[1]) * _UNIT_MS[before[2]]
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        msg = f"expected a time such as 2026-11-20T10:30:00Z with its zone, -15m or now, found {text!r}"
        raise BadWindow(msg)
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def read_past(text: str, now_ms: int) -> int:
    """Read an instant that has been, in Unix ms.

    Args:
        text: As ``read_instant`` reads it.
        now_ms: The instant now, Unix ms.

    Raises:
        BadWindow: It is none, or is to come.
    """
    instant_ms = read_instant(text, now_ms)
    if instant_ms > now_ms:
        msg = f"expected an instant that has been, found {text}"
        raise BadWindow(msg)
    return instant_ms


def write_offsets(vector: Mapping[Place, Span]) -> str:
    """Write a vector so that ``read_offsets`` reads it: spans in which there is something, by topic and partition."""
    return ",".join(
        f"{place.topic}:{place.partition}:{span.begin}-{span.end}"
        for place, span in sorted(vector.items())
        if span.begin < span.end
    )


def read_offsets(text: str) -> dict[Place, Span]:
    """Read a vector, ``TOPIC:PARTITION:BEGIN-END`` with commas between; the end is the first offset not read.

    Raises:
        BadWindow: It is none, or has a partition twice.
    """
    vector: dict[Place, Span] = {}
    for part in text.split(","):
        found = _SPAN.fullmatch(part.strip())
        if found is None:
            msg = f"expected offsets such as price-ticks:0:120-480, commas between, found {part!r:.200}"
            raise BadWindow(msg)
        place = Place(found[1], int(found[2]))
        if place in vector:
            msg = f"expected each partition once, found {place.topic}:{place.partition} twice"
            raise BadWindow(msg)
        vector[place] = Span(int(found[3]), int(found[4]))
    return vector


async def resolve_times(
    log: Log, topics: Collection[str], since_ms: int | None, until_ms: int | None
) -> dict[Place, Span]:
    """Find the offsets of a window by time.

    Args:
        log: Where to look.
        topics: Full names.
        since_ms: The beginning, Unix ms; None for the oldest record that is held.
        until_ms: The end, Unix ms, which is not in the window; None for what has been written by now.

    Raises:
        BadWindow: It ends before it begins.
        OutOfRetention: It begins before what is held, or ends behind it.
        NoSuchTopic: There is no such topic.
    """
    if since_ms is not None and until_ms is not None and until_ms < since_ms:
        msg = f"expected a window that begins before it ends, found {rfc3339(since_ms)} to {rfc3339(until_ms)}"
        raise BadWindow(msg)
    held = {place: held_for(one, since_ms, until_ms) for place, one in (await log.held(topics)).items()}
    begins = {place: one.begin for place, one in held.items()}
    if since_ms is not None:
        _expect_since(held, since_ms)
        begins = dict(await log.find(held, since_ms))
    ends = {place: one.end for place, one in held.items()}
    if until_ms is not None:
        _expect_until(held, until_ms)
        ends = dict(await log.find(held, until_ms))
    # A record that was made late may stand before the first one of the window.
    return {place: Span(min(begins[place], ends[place]), ends[place]) for place in held}


def held_for(held: Held, since_ms: int | None, until_ms: int | None) -> Held:
    """Where records in between are gone, the part in which a window by time lies; else what is held up to the end.

    Args:
        held: What is held of a place.
        since_ms: The beginning, Unix ms; None for the oldest record of the part in which the window ends.
        until_ms: The end, Unix ms; None for what has been written by now.
    """
    if until_ms is None:
        return held
    for one in held.earlier:
        begins_in = since_ms is None or one.since_ms is None or one.since_ms <= since_ms
        if begins_in and (one.until_ms is None or until_ms <= one.until_ms):
            return one
    return held


async def held_among(log: Log, topics: Collection[str]) -> Collection[str]:
    """Those of some topics, by their full names, that a log has: a capture has only those that were captured."""
    try:
        await log.held(topics)
    except NoSuchTopic:
        if len(topics) <= 1:
            return ()
        return [topic for topic in topics if await held_among(log, [topic])]
    return topics


async def check_offsets(log: Log, vector: Mapping[Place, Span]) -> None:
    """Check that a vector can be read.

    Args:
        log: Where it is to be read.
        vector: Offsets.

    Raises:
        BadWindow: A span is inverted, not written yet, or of a partition that there is none of.
        OutOfRetention: A span begins before what is held.
        NoSuchTopic: There is no such topic.
    """
    expect_held(vector, await log.held({place.topic for place in vector}))


def _expect_since(held: Mapping[Place, Held], since_ms: int) -> None:
    """Refuse to begin where records may be gone: what is left would look like all."""
    late = {place: one.since_ms for place, one in held.items() if one.since_ms is not None and since_ms < one.since_ms}
    if late:
        place, first_ms = max(late.items(), key=lambda item: item[1])
        msg = (
            f"expected a window within what is held, found that {place.topic}:{place.partition} is held since "
            f"{rfc3339(first_ms)} only; begin there, or read a capture of {rfc3339(since_ms)}"
        )
        for one in held[place].earlier:
            begin = "its beginning" if one.since_ms is None else rfc3339(one.since_ms)
            end = "" if one.until_ms is None else f" to {rfc3339(one.until_ms)}"
            msg += f"; it is held from {begin}{end} too, so end within"
        raise OutOfRetention(msg)


def _expect_until(held: Mapping[Place, Held], until_ms: int) -> None:
    last_ms = min((one.until_ms for one in held.values() if one.until_ms is not None), default=None)
    if last_ms is not None and until_ms > last_ms:
        msg = f"expected a window within what is held, found that it is held until {rfc3339(last_ms)} only; end there"
        raise OutOfRetention(msg)
