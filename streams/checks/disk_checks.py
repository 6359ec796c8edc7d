"""Whether there is room where this machine keeps its tables."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from models.findings import Finding, Verdict, fine

if TYPE_CHECKING:
    from pathlib import Path

# RocksDB writes what it compacts anew before it deletes the old files: a tenth lets it work for hours.
_LOW_SHARE = 0.10
_FULL_BYTES = 1 << 30
_GB = 1 << 30


def check_disk(directory: Path) -> Finding:
    """Look how much room there is in the data directory, or where it would be made."""
    place = directory.resolve()
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    said = f"{usage.free / _GB:.1f} GiB of {usage.total / _GB:.1f} GiB are free at {place}"
    if usage.free < _FULL_BYTES:
        return Finding("disk", Verdict.WRONG, said, "make room: workers end when the disk is full")
    if usage.free < _LOW_SHARE * usage.total:
        return Finding("disk", Verdict.WARNING, said, "make room, or give the volume more")
    return fine("disk", said)
