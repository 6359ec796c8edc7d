"""``tidemark serve-replay`` as a process over a capture, steered by lines and heard on stderr."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from models.instants import rfc3339
from streams.replay.bounded_log import Held, Span
from streams.replay.captured_log import CaptureWriter
from streams.replay.merging import read_merged
from tests.support.eventually import eventually
from tests.support.listed_log import ListedLog
from tests.support.server import ROOT, environment_of

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streams.replay.bounded_log import LogRecord
    from streams.settings import Settings
    from tests.support.told_log import Story


async def captured(story: Story, directory: Path, *others: LogRecord) -> Path:
    """A capture of all that a story has, and of records of other topics, each the only one of its topic."""
    told = story.log()
    held = {
        place: one for topic in {place.topic for place in told.of} for place, one in (await told.held([topic])).items()
    }
    held |= {one.place: Held(one.offset, one.offset + 1, None) for one in others}
    log = ListedLog([*told.all_records(), *others], held)
    vector = {place: Span(one.begin, one.end) for place, one in held.items()}
    writer = CaptureWriter(directory, vector)
    async for record in read_merged(log, vector):
        writer.take(record)
    writer.finish(code="test", made_ms=0, since_ms=None, until_ms=None)
    return directory


class SteeredReplay:
    """A replay that stands until it is told where to stand next; ``said`` is what it wrote on stderr."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.said: list[str] = []

    async def listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.said.append(line.decode().rstrip())

    async def hears(self, text: str, since: int = 0) -> None:
        """Wait until a line that begins so was said."""

        def is_said() -> bool:
            assert self._process.returncode is None, self.said
            return any(line.startswith(text) for line in self.said[since:])

        await eventually(is_said, 60)

    async def stands_at(self, at_ms: int) -> None:
        """Have it go to an instant, Unix ms, and wait until it stands there."""
        assert self._process.stdin is not None
        since = len(self.said)
        self._process.stdin.write(f"{rfc3339(at_ms)}\n".encode())
        await self._process.stdin.drain()
        await self.hears(f"at {rfc3339(at_ms)}", since)


@asynccontextmanager
async def serve_replay(settings: Settings, log: Path, since_ms: int, port: int) -> AsyncIterator[SteeredReplay]:
    """Serve a capture from an instant on, step by step."""
    arguments = ["--from", rfc3339(since_ms), "--step", "--log", str(log), "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidemark.cli", "serve-replay", *arguments, cwd=ROOT, env=environment_of(settings),
        stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    replay = SteeredReplay(process)
    listening = asyncio.create_task(replay.listen())
    try:
        await replay.hears("at ")
        yield replay
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening
