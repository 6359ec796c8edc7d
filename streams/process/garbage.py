"""A rarer search for garbage in cycles, since processes that pass records on make next to none."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every record is an object that lives for some milliseconds and is in no cycle. By default Python looks for cycles
# after every 700 objects, which takes a third of the time of fetching and decoding, and stops everything meanwhile.
_THRESHOLDS = (50_000, 20, 50)


def collect_rarely() -> None:
    """Look for cycles rarely from now on, and never again among the objects that exist already."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Look for cycles rarely for as long as the block lasts, as ``collect_rarely`` does, and as before afterwards."""
    thresholds, was_rare = gc.get_threshold(), gc.get_freeze_count() > 0
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        # What a process had set aside for good before the block stays so, and what was there as it began with it.
        if not was_rare:
            gc.unfreeze()
