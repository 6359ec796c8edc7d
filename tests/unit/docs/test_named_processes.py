"""Where a text lists processes, users or images, it lists all that there are."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from streams.kafka.access import grants
from streams.settings import Settings
from tests.support.images import PORTS
from tests.support.server import ROOT
from tidemark import cli as command_line
from tidemark.acl_text import user_name

# What operators call what runs in an image.
CALLED = {
    "worker": "workers",
    "ingest": "ingests",
    "history": "`history`",
    "api": "apis",
    "funder": "executors",
    "webhooks": "`webhooks`",
}


def test_every_image_that_lasts_is_called_something() -> None:
    assert {target for target, ports in PORTS.items() if ports} == CALLED.keys()


@pytest.mark.parametrize("called", CALLED.values())
@pytest.mark.parametrize("section", ["When the cluster is lost", "Changing the number of partitions"])
def test_who_makes_a_cluster_anew_is_told_of_every_process(section: str, called: str) -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    (steps,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", operations, re.MULTILINE | re.DOTALL)

    assert called in steps


def test_the_help_of_rights_names_every_user_of_kafka() -> None:
    said = CliRunner().invoke(command_line.cli, ["topics", "acls", "--help"]).output

    assert [] == [name for name in map(user_name, grants(Settings())) if name not in said]


def test_images_are_built_in_a_loop_over_all_of_them() -> None:
    (targets,) = re.findall(r"for target in ([a-z ]+); do", (ROOT / "docker" / "README.md").read_text())

    assert PORTS.keys() == set(targets.split())
