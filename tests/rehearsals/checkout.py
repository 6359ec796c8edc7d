"""Another version of this repository, as a directory that its processes are run in."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

from tests.rehearsals.rendered import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_FETCHED = "api/assets/jars"


def checked_out(commit: str, directory: Path) -> Path:
    """Write the files of a commit into a directory, with what is fetched rather than kept in git as it is here.

    Args:
        commit: The commit, or a name of it.
        directory: Where they go; made where it is missing.

    Raises:
        CalledProcessError: There is no such commit.
    """
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as files:
        files.extractall(directory, filter="data")
    (directory / _FETCHED).symlink_to(ROOT / _FETCHED)
    return directory
