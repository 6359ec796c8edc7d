"""A worker that lacks the venue of a deployment that it is configured for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.settings import Settings
from streams.settings.effective import UnavailableDeployment
from streams.worker.faust_app import create_app

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_it_says_once_at_its_start_which_deployment_it_does_not_fold_and_what_to_install(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    game = UnavailableDeployment(kind="paper-gone")
    create_app(Settings(kafka="127.0.0.1:1", data_dir=tmp_path, deployments={"game": game}))

    (line,) = [one for one in caplog.messages if "game" in one]
    for said in ("deployment game", "'paper-gone'", "tidemark.venues"):
        assert said in line
