"""Commands of ``tidemark`` as processes of their own, forked of one that has imported them, which takes longest.

A command has its own stdout, stderr, environment and exit code, as if a shell had started it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

from tests.support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# What the commands of replay import when they are called.
_IMPORTED = ["tidemark.cli", "tidemark.replay", "api.dialects.symmio.symmio_dialect", "streams.archive.archiving"]
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(_IMPORTED)


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
    process = _CONTEXT.Process(target=_command, args=(arguments, environment, str(stdout), str(stderr)))
    process.start()
    try:
        await asyncio.to_thread(process.join)
        code = process.exitcode
    finally:
        process.kill()
        process.join()
        process.close()
    assert code is not None
    return Said(code, stdout.read_text(), stderr.read_text())


def _command(arguments: Sequence[str], environment: Mapping[str, str], stdout: str, stderr: str) -> None:
    for number, path in enumerate((os.devnull, stdout, stderr)):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = ["tidemark", *arguments]
    from tidemark.cli import main  # noqa: PLC0415 - in the child

    main()
