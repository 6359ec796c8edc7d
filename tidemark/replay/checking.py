"""How rows are verified: what values them a second time, and for how long one may be out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.audit.second_valuation import value_again
from streams.replay.row_check import Checking

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.process.clock import Clock
    from streams.replay.bounded_log import Log, LogRecord
    from streams.settings import Settings

# One row in a round of all takes half as long again, and the bound moves (models/freshness.py).
_MARGIN = 2
_LEAST_AGE_S = 10


def checking(
    log: Log, settings: Settings, clock: Clock, max_age_s: int | None, on_record: Callable[[LogRecord], None]
) -> Checking:
    """What ``check_rows`` is to check.

    Args:
        log: The log.
        settings: Have the deployments.
        clock: Tells when it begins.
        max_age_s: For how long a row may be out of date, in s; None for twice what the configuration says, at least 10.
        on_record: Is told each record that was read.
    """
    bound_s = max(_LEAST_AGE_S, _MARGIN * settings.worker.unwatched_max_age_s) if max_age_s is None else max_age_s
    return Checking(log, settings, bound_s * 1_000, {"symmio": value_again}, on_record, clock.now_ms())
