"""What ``tidemark verify`` says of a broker's rows, once nothing moves any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.audit.second_valuation import value_again
from streams.process.clock import SystemClock
from streams.replay.kafka_log import KafkaLog
from streams.replay.row_check import Checking, check_rows

if TYPE_CHECKING:
    from streams.settings import Settings

_BOUND_MS = 60_000


async def expect_verified(settings: Settings) -> None:
    """Every row follows from the log, by both valuations, and none is out of date."""
    log = KafkaLog(settings.bootstrap, {}, SystemClock())

    report = await check_rows(Checking(log, settings, _BOUND_MS, {"symmio": value_again}, lambda _: None))

    assert [] == report.differences
    assert report.rows == report.same == report.twice > 0, report.not_comparable
