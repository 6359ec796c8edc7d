"""Tasks without which a process cannot go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def supervised(
    work: Coroutine[Any, Any, None], name: str, fatal: Callable[[BaseException], None]
) -> asyncio.Task[None]:
    """Run a coroutine as a task whose error ends the process, since a task that has stopped would not be noticed.

    Args:
        work: What is to run.
        name: The task's name, for logs.
        fatal: Called with the error; it ends the process.
    """

    async def run() -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the supervisor
            fatal(error)

    return asyncio.create_task(run(), name=name)


async def ended(task: asyncio.Task[None]) -> None:
    """End a task, and wait until it has given back what it held."""
    task.cancel()
    await asyncio.wait([task])
