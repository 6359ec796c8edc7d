from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import pytest

from streams.process.supervision import waited_out

ROOT = Path(__file__).parents[4]


async def test_what_swallows_a_cancellation_is_waited_out_and_the_cancellation_passed_on() -> None:
    may_end, is_over = asyncio.Event(), False

    async def swallowing() -> None:
        nonlocal is_over
        with suppress(asyncio.CancelledError):
            await may_end.wait()
        is_over = may_end.is_set()

    async def caller() -> None:
        await waited_out(swallowing())
        pytest.fail("expected the cancellation to end the caller")

    task = asyncio.create_task(caller())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    may_end.set()
    await asyncio.wait([task])

    assert (True, True) == (task.cancelled(), is_over)


async def test_an_error_of_what_is_waited_out_is_raised() -> None:
    async def failing() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await waited_out(failing())


def test_no_client_of_the_broker_is_stopped_where_a_cancellation_reaches_it() -> None:
    direct = re.compile(r"await (\w+\.)?_?(admin|client|consumer|producer)\.(close|stop)\(\)")
    sources = [path for part in ("api", "streams", "tidemark") for path in (ROOT / part).rglob("*.py")]

    assert [] == [str(path) for path in sources if direct.search(path.read_text())]
