"""A page as the SYMMIO front-end SDK makes it, under Node: ``page.mjs`` as a child process."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.eventually import eventually
from tests.support.node_packages import node_with_packages

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable

HERE = Path(__file__).parent
_OLDEST_NODE = 20
_NEEDED = f"expected Node {_OLDEST_NODE} or newer with npm, which tests/sdk runs a page on: install nodejs and npm"


def install() -> None:
    """Install what package-lock.json names, where it is not installed yet."""
    node = node_with_packages(HERE)
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    assert int(version.removeprefix("v").partition(".")[0]) >= _OLDEST_NODE, f"{_NEEDED}, found {version}"


class Page:
    """What a page was told and has shown, in the order in which it was; ``do`` gives it commands."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []

    async def do(self, command: str, **rest: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **rest}).encode() + b"\n")
        await self._process.stdin.drain()

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.events.append(json.loads(line))

    def saw(self, what: str, since: int = 0, **fields: object) -> list[dict[str, Any]]:
        """Events of one kind with these fields, from the ``since``-th on."""
        return [event for event in self.events[since:] if event["saw"] == what and fields.items() <= event.items()]

    async def sees(self, what: str, since: int = 0, **fields: object) -> dict[str, Any]:
        """Wait for such an event."""
        await eventually(lambda: bool(self.saw(what, since, **fields)))
        return self.saw(what, since, **fields)[0]

    async def shows(self, what: str, is_it: Callable[[Any], bool], since: int = 0, timeout_s: float = 10) -> int:
        """Wait until something of a kind is shown that is as wanted, and tell after how many events."""

        def found() -> list[int]:
            shown = enumerate(self.events[since:], since)
            return [at for at, event in shown if event["saw"] == what and is_it(event["shown"])]

        await eventually(lambda: bool(found()), timeout_s)
        return found()[0] + 1

    async def is_looked_at(self, *, visible: bool) -> int:
        """Let its tab be hidden or come back, wait until it knows, and tell after how many events."""
        since = len(self.events)
        await self.do("hide", hidden=not visible)
        return self.events.index(await self.sees("tab", since, visible=visible), since) + 1

    async def asks(self, path: str, body: object = None, **rest: object) -> dict[str, Any]:
        """Let it ask for a path of its base, as ``new URL`` makes it, and wait for what it makes of the answer."""
        since = len(self.events)
        await self.do("ask", path=path, **({} if body is None else {"body": body}), **rest)
        return await self.sees("answer", since, path=path)


@asynccontextmanager
async def page() -> AsyncIterator[Page]:
    """A page that shows nothing yet."""
    node = shutil.which("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node, "page.mjs", cwd=HERE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    shown = Page(process)
    listening = asyncio.create_task(shown.listen())
    try:
        yield shown
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening
