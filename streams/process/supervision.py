"""Tasks that a process cannot do without."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def supervised(
    work: Coroutine[Any, Any, None], name: str, fatal: Callable[[BaseException], None]
) -> asyncio.Task[None]:
    """Run ``work`` as a task whose error ends the process through ``fatal``: a standstill must not go unnoticed."""

    async def run() -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the supervisor
            fatal(error)

    return asyncio.create_task(run(), name=name)
