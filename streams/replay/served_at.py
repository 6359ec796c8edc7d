"""What was shown of an account as of an instant: its newest row on ``served`` by then."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from models.codec import decode_row, row_order
from models.errors import BadRecord, BadRow
from models.provenance import MADE_FROM
from streams.kafka.topics import served_name
from streams.replay.exported_rows import VALUATIONS_SCHEMA
from streams.replay.looking_back import windows_back
from streams.replay.merging import read_merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.errors import TidemarkError
    from streams.replay.bounded_log import Log, LogRecord
    from streams.settings import Settings

# They say who wrote a row and when, and what stood before; who recomputes has none of it.
_NOT_COMPARED = {"account_order", "last_complete", MADE_FROM}
# The next owner keeps last rows of one that was killed when it has taken over, which takes seconds to minutes.
_LATE_MS = 300_000


class ServedRow(NamedTuple):
    """A row as it was shown: its body, and the record that it stands in."""

    body: Mapping[str, Any]
    record: LogRecord


async def served_at(
    log: Log, settings: Settings, key: bytes, at_ms: int, *, on_record: Callable[[LogRecord], None],
    on_unreadable: Callable[[LogRecord, TidemarkError], None],
) -> ServedRow | None:  # fmt: skip
    """Find the row that was shown of an account as of an instant.

    Args:
        log: Where the topics are.
        settings: Name the topic.
        key: The account's key.
        at_ms: The instant, Unix ms.
        on_record: Is told each record that was read.
        on_unreadable: Is told each row of the account that cannot be read, and why; it may have been shown by then.

    Returns:
        The newest row by then that can be read; None where none that is held was shown.

    Raises:
        ReplayError: The log cannot be read.
    """
    newest: LogRecord | None = None
    async with aclosing(windows_back(log, served_name(settings), key, at_ms)) as windows:
        async for window in windows:
            async for record in read_merged(log, window.vector):
                on_record(record)
                if record.key != key or record.value is None or record.time_ms > at_ms:
                    continue
                if not _is_read(record, on_unreadable):
                    continue
                # A fenced owner's late row is of an older term, and may stand behind the row that was shown last.
                if newest is None or row_order(record.value) >= row_order(newest.value or b""):
                    newest = record
            if newest is not None and (window.since_ms is None or newest.time_ms - window.since_ms >= _LATE_MS):
                break
    return None if newest is None else ServedRow(decode_row(newest.value or b"").body, newest)


def _is_read(record: LogRecord, on_unreadable: Callable[[LogRecord, TidemarkError], None]) -> bool:
    try:
        VALUATIONS_SCHEMA.read(record)
    except (BadRecord, BadRow) as error:
        on_unreadable(record, error)
        return False
    return True


def differing(shown: Mapping[str, Any], recomputed: Mapping[str, Any]) -> list[str]:
    """The columns in which what was shown is not what is recomputed; a row that nobody watched may be some time old.

    Args:
        shown: Body of the row that was shown.
        recomputed: Body of the row that was made again, as JSON has it.
    """
    names = [name for name in {**shown, **recomputed} if name not in _NOT_COMPARED]
    return [name for name in names if shown.get(name) != recomputed.get(name)]
