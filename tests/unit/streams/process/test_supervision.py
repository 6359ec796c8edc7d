from __future__ import annotations

import ast
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

    assert [] == [str(path) for path in sources() if direct.search(path.read_text())]


def test_nothing_stays_open_since_a_cancellation_came_while_something_else_was_closed() -> None:
    """An error or a cancellation leaves what waits in a ``finally`` behind another wait, or in a loop."""
    assert [] == [
        f"{path}:{node.finalbody[0].lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Try) and not _waits_once(node.finalbody)
    ]


def _waits_once(statements: list[ast.stmt]) -> bool:
    waiting = [one for one in statements if any(isinstance(part, ast.Await) for part in ast.walk(one))]
    return len(waiting) < 2 and not any(isinstance(one, ast.For | ast.While) for one in waiting)


def sources() -> list[Path]:
    return [path for part in ("api", "streams", "tidemark") for path in (ROOT / part).rglob("*.py")]
