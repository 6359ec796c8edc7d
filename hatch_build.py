"""Puts the commit into every wheel and source archive, so that ``tidemark --version`` can name it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_NAME = "tidemark/commit.txt"


class CommitHook(BuildHookInterface[Any]):
    """Writes ``tidemark/commit.txt``: SOURCE_COMMIT, or what git says of the checkout that is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is built.

        Args:
            version: "editable" where a checkout is only linked; it has no one commit, so nothing is written.
            build_data: What hatchling is told of the build.
        """
        # A wheel that is made of a source archive takes the archive's file.
        if version == "editable" or (Path(self.root) / _NAME).exists():
            return
        commit = os.environ.get("SOURCE_COMMIT") or _checked_out(self.root)
        if commit:
            self._directory = tempfile.TemporaryDirectory()
            path = Path(self._directory.name) / "commit.txt"
            path.write_text(f"{commit}\n")
            build_data["force_include"][str(path)] = _NAME


def _checked_out(root: str) -> str | None:
    command = ["git", "-C", root, "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - git as on PATH
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
