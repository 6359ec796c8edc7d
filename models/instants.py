"""Instants as users read them: RFC 3339 text for people, nanoseconds since 1970 as decimal text for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
_LAST_MS = 253_402_300_799_999


def rfc3339(unix_ms: int) -> str:
    """Write an instant in UTC with its milliseconds, such as ``2025-04-29T23:52:57.999Z``.

    RFC 3339 ends with the year 9999: a later instant is written as the last one of that year.
    """
    seconds, milliseconds = divmod(min(max(unix_ms, 0), _LAST_MS), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


# What is shown at a time is of the same few seconds, those of marks and those of blocks: 4,096 are 0.5 MB.
@lru_cache(maxsize=4_096)
def _second(unix_s: int) -> str:
    return (_EPOCH + timedelta(seconds=unix_s)).strftime("%Y-%m-%dT%H:%M:%S")


def ns_text(unix_ms: int) -> str:
    """Write nanoseconds since 1970 as decimal text: clients that read a JSON number as a double would round it."""
    return f"{unix_ms}000000" if unix_ms > 0 else "0"
