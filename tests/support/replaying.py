"""``tidemark serve-replay`` as a process, steered by lines and heard on stderr."""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from models.codec import encode_row
from models.instants import rfc3339
from streams.kafka.partitions import partition_of
from streams.kafka.topics import served_name
from streams.replay.bounded_log import Held, LogRecord, Place, Span
from streams.replay.captured_log import CaptureWriter
from streams.replay.merging import read_merged
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.listed_log import ListedLog
from tests.support.server import ROOT, environment_of
from tests.support.told_log import PARTITIONS, tell

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from streams.settings import Settings
    from tests.support.told_log import Story


async def captured(story: Story, directory: Path, *others: LogRecord, held: Mapping[Place, int] | None = None) -> Path:
    """A capture of all that a story has, and of records of other topics.

    Args:
        story: Its log.
        directory: Where the capture is to be.
        others: The other records.
        held: The first offset behind each of their places; by default each is the only one of its topic.
    """
    told = story.log()
    topics = {place.topic for place in told.of}
    spans = {place: one for topic in topics for place, one in (await told.held([topic])).items()}
    ends = {one.place: one.offset + 1 for one in others} if held is None else held
    spans |= {place: Held(0, end, None) for place, end in ends.items()}
    log = ListedLog([*told.all_records(), *others], spans)
    vector = {place: Span(one.begin, one.end) for place, one in spans.items()}
    writer = CaptureWriter(directory, vector)
    async for record in read_merged(log, vector):
        writer.take(record)
    writer.finish(code="test", made_ms=0, since_ms=None, until_ms=None)
    return directory


class SteeredReplay:
    """A replay that may be told where to stand next; ``said`` is what it wrote on stderr."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.said: list[str] = []

    @property
    def code(self) -> int | None:
        """Its exit code; None while it works."""
        return self._process.returncode

    async def listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.said.append(line.decode().rstrip())

    async def hears(self, text: str, since: int = 0, *, until: str = "") -> None:
        """Wait until a line that begins so, and ends with ``until``, was said."""

        def is_said() -> bool:
            assert self._process.returncode is None, self.said
            return any(line.startswith(text) and line.endswith(until) for line in self.said[since:])

        await eventually(is_said, 60)

    async def says(self, line: str) -> None:
        """Say a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def stands_at(self, at_ms: int) -> None:
        """Have it go to an instant, Unix ms, and wait until it stands there."""
        since = len(self.said)
        await self.says(rfc3339(at_ms))
        await self.hears(f"at {rfc3339(at_ms)}", since)


@asynccontextmanager
async def serve_replay(settings: Settings, since_ms: int, port: int, *options: str) -> AsyncIterator[SteeredReplay]:
    """Serve a log from an instant on: what of Kafka, of which capture, how far and how fast, options say."""
    arguments = ["--from", rfc3339(since_ms), "--port", str(port), *options]
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


EXAMPLE = ROOT / "tests" / "data" / "replay"


async def write_example(directory: Path) -> Path:
    """Write the capture of ``tests/data/replay``: the recorded chain with prices, and the rows that were shown."""
    story = tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)
    topic = served_name(story.settings)
    ends = {Place(topic, number): 0 for number in range(PARTITIONS)}
    shown = []
    for version, ((at_ms, key), body) in enumerate(sorted(story.shown.items())):
        place = Place(topic, partition_of(key, PARTITIONS))
        shown.append(LogRecord(at_ms, *place, ends[place], key, encode_row(0, version, body)))
        ends[place] += 1
    return await captured(story, directory, *shown, held=ends)


if __name__ == "__main__":
    shutil.rmtree(EXAMPLE / "log", ignore_errors=True)
    asyncio.run(write_example(EXAMPLE / "log"))
