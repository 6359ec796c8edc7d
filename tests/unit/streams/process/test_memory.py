"""What a worker has freed is the system's again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from streams.process.memory import give_back_freed
from tests.support.eventually import eventually

ROW_BYTES = 2_000
ROWS = 50_000


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_rows_that_were_freed_between_rows_that_stay_take_no_memory() -> None:
    rows = [bytes(ROW_BYTES) for _ in range(ROWS)]
    # Three in four of the pages that the rows were on are empty then; malloc alone would keep all of them.
    staying = rows[::16]
    held = resident_bytes()
    del rows

    giving = asyncio.create_task(give_back_freed())
    try:
        await eventually(lambda: resident_bytes() < held - ROWS * ROW_BYTES // 2)
    finally:
        giving.cancel()
    assert len(staying) == ROWS // 16
