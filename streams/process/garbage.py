"""Python's search for garbage in cycles, of which processes that pass records on have next to none."""

from __future__ import annotations

import gc

# Every record is an object that lives for some milliseconds and is in no cycle. Looking for cycles at every 700th of
# them, Python's default, takes a third of the time that fetching and decoding does, and stops everything meanwhile.
_THRESHOLDS = (50_000, 20, 50)


def collect_rarely() -> None:
    """Look for cycles rarely from now on, and never again among what is there already."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
