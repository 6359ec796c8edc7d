from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from streams.process.version import version_text

ROOT = Path(__file__).parents[4]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_linked_checkout_says_that_it_is_one() -> None:
    assert version_text().endswith(" (a checkout)")


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_built_holds_the_commit_that_it_was_built_of(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(tmp_path)]
    environment = {"SOURCE_COMMIT": COMMIT, "PATH": ""}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)

    built = next(tmp_path.iterdir())
    assert COMMIT in _commit_in(built)


def _commit_in(archive: Path) -> str:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read("tidemark/commit.txt").decode()
    listed = subprocess.run(
        ["tar", "-xzOf", archive, "--wildcards", "*/tidemark/commit.txt"], check=True, capture_output=True, text=True
    )
    return listed.stdout
