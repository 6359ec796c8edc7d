"""The api as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
from pydantic import SecretStr

from tests.support.forked_programs import AwaitedProcess, Program, start_awaited

if TYPE_CHECKING:
    from asyncio.subprocess import Process as SubProcess
    from collections.abc import AsyncIterator

    from streams.settings import Settings

    Process: TypeAlias = AwaitedProcess | SubProcess

ROOT = Path(__file__).parents[2]
_API = Program("tidemark.cli", ["tidemark.cli", "tidemark.commands.api", "api.server"])


def _plain(value: object) -> str:
    """What JSON has no type for. Dumped by pydantic, a secret would be stars."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def environment_of(settings: Settings) -> dict[str, str]:
    """What a process is to find in its environment, to have these settings."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TIDEMARK_")}
    return environment | {
        f"TIDEMARK_{name.upper()}": json.dumps(value, default=_plain) if isinstance(value, dict) else str(value)
        for name, value in settings.model_dump(exclude_none=True).items()
    }


@asynccontextmanager
async def api_process(settings: Settings, python: str | Path | None = None) -> AsyncIterator[Process]:
    """An api that is gone when the block is left.

    It is forked of a process that has imported what it needs, unless a ``python`` is said, that of the environment it
    runs in: then it starts as a shell would start it, and all its memory is its own.
    """
    environment = environment_of(settings)
    process: Process
    if python is None:
        process = start_awaited(_API, ["api"], environment)
    else:
        process = await asyncio.create_subprocess_exec(
            python, "-m", _API.module, "api", cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(client: aiohttp.ClientSession, path: str, status: int) -> bool:
    try:
        async with client.get(path) as response:
            return response.status == status
    except aiohttp.ClientError:
        return False
