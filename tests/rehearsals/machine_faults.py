"""Faults of the machine under a process: slow disks and wrong clocks by a library of ours, a volume that is full."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

FaultName: TypeAlias = Literal["fsync_ms", "clock_ms"]

_SOURCE = Path(__file__).with_name("faults.c")
_VOLUME_MB = 256
_PIECE = b"\0" * 2**20


class NotOnThisMachine(RuntimeError):
    """This machine cannot have the fault; the message says what it lacks."""


def built(directory: Path) -> Path:
    """Compile the library that is put before libc, and return where it is.

    Raises:
        NotOnThisMachine: There is no gcc.
    """
    library = directory / "faults.so"
    if shutil.which("gcc") is None:
        msg = "expected gcc on PATH, found none; without it no disk is slow and no clock wrong"
        raise NotOnThisMachine(msg)
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
    return library


def variables(library: Path, directory: Path) -> dict[str, str]:
    """The variables under which a process has the faults that its directory says."""
    directory.mkdir(parents=True, exist_ok=True)
    return {"LD_PRELOAD": str(library), "FAULTS": str(directory)}


def set_fault(directory: Path, name: FaultName, value_ms: int) -> None:
    """Have a fault of a process, or none of it.

    Args:
        directory: The process's.
        name: By how much each fsync takes longer, or by how much the clock is ahead.
        value_ms: In ms; 0 is as it should be.
    """
    scratch = directory / f"{name}.new"
    scratch.write_text(str(value_ms))
    scratch.replace(directory / name)


@contextmanager
def sized_volume(directory: Path) -> Iterator[None]:
    """Have a volume of its own at a directory, which is empty at first and holds no more than so much.

    Raises:
        NotOnThisMachine: We may not mount anything.
    """
    if os.geteuid() != 0:
        msg = "expected to be root, who may mount a volume of some size, found another user"
        raise NotOnThisMachine(msg)
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={_VOLUME_MB}m", "tmpfs", str(directory)]
    done = subprocess.run(mounted, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"expected that a volume can be mounted, found: {done.stderr.strip()}"
        raise NotOnThisMachine(msg)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(directory: Path) -> Path:
    """Write until the volume at a directory is full, and return the file that fills it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(_PIECE):
                pass
        except OSError:
            return filler
    return filler
