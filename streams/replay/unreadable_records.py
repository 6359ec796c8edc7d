"""Records that could not be read: counted, and named with their cause, so that no part passes for the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from models.errors import TidemarkError
    from streams.replay.bounded_log import LogRecord

NAMED_MAX = 1_000
"""So many are named, the first of the log; others are only counted."""

_CAUSE_MAX = 300


class UnreadableRecord(msgspec.Struct, frozen=True):
    """Where a record stands that could not be read, and why it could not."""

    topic: str
    partition: int
    offset: int
    cause: str


def unreadable_record(record: LogRecord, error: TidemarkError) -> UnreadableRecord:
    """Name a record that cannot be read.

    Args:
        record: The record.
        error: Why it cannot be read.
    """
    return UnreadableRecord(record.topic, record.partition, record.offset, str(error)[:_CAUSE_MAX])


class UnreadableRecords:
    """Those that a reading met: ``count`` of them, of which the first ``NAMED_MAX`` are ``named``."""

    def __init__(self) -> None:
        self.count = 0
        self.named: list[UnreadableRecord] = []

    def note(self, record: LogRecord, error: TidemarkError) -> None:
        """Note one.

        Args:
            record: The record.
            error: Why it cannot be read.
        """
        self.count += 1
        if len(self.named) < NAMED_MAX:
            self.named.append(unreadable_record(record, error))
