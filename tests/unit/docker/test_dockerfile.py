"""What the Dockerfile says of this repository is so. No image is built here; `make k8s-verify` lints it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from streams.settings import CONFIG_VARIABLE, Settings
from tests.support.command_line import unknown_in
from tests.support.images import PORTS

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker" / "Dockerfile").read_text()


@cache
def stages() -> dict[str, list[str]]:
    """The instructions of each stage, with continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", TEXT))
    found: dict[str, list[str]] = {}
    for line in filter(None, joined.splitlines()):
        if start := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            found[start[2]] = []
        elif found:
            found[list(found)[-1]].append(line)
    return found


@pytest.mark.parametrize("target", PORTS)
def test_every_target_begins_a_command_that_there_is_as_process_1(target: str) -> None:
    entry = next(line for line in stages()[target] if line.startswith("ENTRYPOINT "))
    program, *arguments = json.loads(entry.removeprefix("ENTRYPOINT "))

    assert "tidemark" == program
    assert unknown_in(arguments) is None


@pytest.mark.parametrize(("target", "ports"), PORTS.items())
def test_a_target_exposes_the_ports_that_its_process_has_by_default(target: str, ports: set[int]) -> None:
    exposed = {int(port) for line in stages()[target] if line.startswith("EXPOSE ") for port in line.split()[1:]}

    assert ports == exposed


def test_no_process_is_root_and_none_has_a_builder_in_its_image() -> None:
    text = "\n".join(stages()["base"])

    assert "USER 65532:65532" in text
    assert not re.search(r"\b(RUN|pip|apt-get|gcc)\b", text)
    assert all(not line.startswith(("USER", "RUN")) for target in PORTS for line in stages()[target])


def test_what_is_installed_is_locked_with_hashes() -> None:
    lines = [*stages()["build"], *stages()["build-analysis"]]
    installs = re.findall(r"pip (?:--cache-dir \S+ )?--python \S+ install(.*)", "\n".join(lines))

    assert 4 == len(installs)
    # What has no hash is our own source, which may fetch nothing.
    assert all("--require-hashes" in one or "--no-deps --no-index" in one for one in installs)


def test_an_image_says_what_it_is_made_of_by_the_lock_that_it_was_made_by() -> None:
    written = " ".join(stages()["sbom"])

    assert "--require-hashes --only-binary :all: -r requirements/sbom.txt" in written
    assert written.endswith("requirements/runtime.txt")
    assert "COPY --from=sbom /tidemark.cdx.json /opt/tidemark/share/tidemark.cdx.json" in stages()["base"]
    assert "--output-file /tidemark-analysis.cdx.json requirements/analysis.txt" in written
    assert "COPY --from=sbom /tidemark-analysis.cdx.json /opt/tidemark/share/tidemark.cdx.json" in stages()["analysis"]


def test_an_image_for_analysis_has_what_the_others_have_and_no_other_version_of_it() -> None:
    def pinned(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text()
        return set(re.findall(r"(?m)^([a-z][\w.\[\]-]*==[^ \\;]+)", text))

    assert pinned("runtime.txt") <= pinned("analysis.txt")
    assert {"duckdb", "fsspec", "pyarrow"} <= {one.partition("==")[0] for one in pinned("analysis.txt")}


def test_variables_of_the_image_are_settings() -> None:
    variables = set(re.findall(r"(TIDEMARK_[A-Z_]+)=", TEXT)) - {CONFIG_VARIABLE}

    assert variables
    assert {name.removeprefix("TIDEMARK_").lower() for name in variables} <= set(Settings.model_fields)


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    copied = [
        source
        for lines in stages().values()
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]

    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == one or source.startswith(f"{one}/") for one in allowed), source
