"""Explanations by a process that writes what it is told to."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from api.tables.explanations import Explanations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ON_ITS_WAY = '{"read": 5000, "of": 9000}'
# It says how far it is, waits until there is a file, and then says the rest of what it was told.
_PROCESS = """
import pathlib, sys, time
gate, *lines = sys.argv[1:-4]
for at, line in enumerate(lines):
    while at and gate and not pathlib.Path(gate).exists():
        time.sleep(0.02)
    print(line, flush=True)
"""
_TERM = (
    '{"event": "price-ticks:0:7", "at": "binance-futures:BTCUSDT", "name": "price", "time": "", "time_ms": 1000, '
    '"quote": 7, "symbol": 1, "upnl": "-2500000000000000000", "balance": "0", "before": null, '
    '"after": {"size": "-1", "opened_price": "5", "mark": null, "mark_key": null, "mark_offset": null, "upnl": null}}'
)
EXPLAINED = (
    '{"explained": {"begin": {"status": "valued", "upnl": "1000000000000000000", "equity": "5", '
    '"counted_upnl": "1000000000000000000", "balance": "4"}, '
    '"end": {"status": "unpriced", "upnl": null, "equity": null, "counted_upnl": "-1500000000000000000", '
    '"balance": "4"}, "terms": 3, "upnl": [["fill", "2", "0"], ["price", "1", "-2500000000000000000"]], '
    f'"balance": [["fee", "-1"]], "largest": [{_TERM}], "refused": 0, "doubts": ["a price was deleted"]}}}}'
)


def explaining(
    *lines: str, gate: Path | None = None, ends_after_s: float = 600, clock_s: Callable[[], float] = time.monotonic
) -> Explanations:
    """Explanations by a process that writes these lines, all but the first once the gate is there."""
    command = (sys.executable, "-c", _PROCESS, "" if gate is None else str(gate), *lines)
    return Explanations(clock_s, command, ends_after_s)
