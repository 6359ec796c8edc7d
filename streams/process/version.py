"""Which version of Tidemark this is, and of which commit it was built."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files


def version_text() -> str:
    """Say the version, and the commit where the build wrote one down; a linked checkout has none."""
    commit = files("tidemark").joinpath("commit.txt")
    built_of = commit.read_text().strip()[:12] if commit.is_file() else "a checkout"
    return f"{version('tidemark')} ({built_of})"
