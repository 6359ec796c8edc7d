"""Commands of ``tidemark``, each run to its end in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.support.forked_programs import Program, start_awaited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# What the commands of replay import when they are called.
_REPLAY = Program(
    "tidemark.cli",
    ["tidemark.cli", "tidemark.replay", "api.dialects.symmio.symmio_dialect", "streams.archive.archiving"],
)


class Said(NamedTuple):
    """What a command came to."""

    code: int
    stdout: str
    stderr: str


async def run_command(arguments: Sequence[str], environment: Mapping[str, str], directory: Path) -> Said:
    """Run ``tidemark`` with some arguments to its end.

    Args:
        arguments: They follow ``tidemark``.
        environment: All that it finds in its environment.
        directory: For what it prints, where nobody else writes.
    """
    stdout, stderr = directory / "stdout", directory / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as complaints:
        process = start_awaited(_REPLAY, arguments, environment, out.fileno(), complaints.fileno())
    try:
        code = await process.wait()
    finally:
        process.kill()
        await process.wait()
    return Said(code, stdout.read_text(), stderr.read_text())
