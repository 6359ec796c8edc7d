"""Tasks that a process cannot go on without, and work that is not to be broken off."""

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


async def waited_out(work: Coroutine[object, object, object]) -> None:
    """Wait until something is done. A cancellation does not reach it, and is gone on with afterwards.

    So clients of the broker are stopped: aiokafka swallows a cancellation that reaches it while it stops, and a task
    that was told to end would go on. So sockets are closed one after another, too: all of them are to be told.

    Args:
        work: What is to be done, whatever happens to whoever waits for it.

    Raises:
        Exception: The error of the work.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
