"""The published TypeScript client, whatever its callbacks do: the scenes of ``callbacks.mjs``, each in a Node."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.typescript_client import build, node

SCENES = Path(__file__).with_name("callbacks.mjs")


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("client"))


@pytest.mark.parametrize("scene", re.findall(r'^  async "(.+)"\(\)', SCENES.read_text(), re.MULTILINE))
def test_whatever_callbacks_do_the_client_goes_on(module: Path, scene: str) -> None:
    command = [node(), str(SCENES), module.as_uri(), scene]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert (0, "") == (done.returncode, done.stderr)
