"""What is published: the packages' contents, what is generated, and what the page and the wheel hold of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from typing import TYPE_CHECKING

import tidemark_client
from tests.support.typescript_client import CLIENT, build, install, npm

if TYPE_CHECKING:
    from pathlib import Path

ROOT = CLIENT.parents[1]
PAGE = ROOT / "api" / "dashboard" / "static" / "client"
PYTHON = ROOT / "clients" / "python"


def files(directory: Path, *suffixes: str) -> dict[str, str]:
    found = (path for path in directory.rglob("*") if path.suffix in suffixes)
    return {path.relative_to(directory).as_posix(): path.read_text() for path in found}


def wheel(source: Path, into: Path) -> dict[str, str]:
    """The files of a wheel, built of ``source`` without fetching anything."""
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(into), str(source)]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, timeout=240)
    (built,) = into.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        texts = (name for name in archive.namelist() if name.endswith((".py", ".js", ".typed", "METADATA")))
        return {name: archive.read(name).decode() for name in texts}


def test_the_types_are_those_of_the_contract() -> None:
    subprocess.run([sys.executable, CLIENT / "generate_types.py", "--check"], check=True)


def test_the_page_loads_what_the_sources_are_built_to(tmp_path: Path) -> None:
    built = build(tmp_path).parent

    assert files(built, ".js") == files(PAGE, ".js"), "expected the page's client to be current: run make client"
    assert {f"{name.removesuffix('.js')}.d.ts" for name in files(built, ".js")} == set(files(built, ".ts"))


def test_the_package_for_npm_holds_its_modules_their_types_and_no_dependency() -> None:
    install()
    (packed,) = json.loads(npm("pack", "--dry-run", "--json", "--silent"))
    said = json.loads((CLIENT / "package.json").read_text())
    names = {file["path"] for file in packed["files"]}

    assert {"README.md", "LICENSE", "package.json", "dist/index.js", "dist/index.d.ts"} <= names
    assert all(name.startswith("dist/") for name in names - {"README.md", "LICENSE", "package.json"})
    assert "dependencies" not in said
    assert "://" not in (CLIENT / "package-lock.json").read_text()


def test_both_packages_and_the_servers_wheel_hold_the_same_client(tmp_path: Path) -> None:
    expected = {f"tidemark_client/{name}": text for name, text in files(PYTHON / "tidemark_client", ".py").items()}
    published = wheel(PYTHON, tmp_path / "client")
    server = wheel(ROOT, tmp_path / "server")

    for held in (published, server):
        assert expected == {name: text for name, text in held.items() if name in expected}
        assert "tidemark_client/py.typed" in held
    assert files(PAGE, ".js") == {
        name.removeprefix("api/dashboard/static/client/"): text
        for name, text in server.items()
        if name.startswith("api/dashboard/static/client/")
    }
    (metadata,) = [text for name, text in published.items() if name.endswith("METADATA")]
    assert "Name: tidemark-client" in metadata
    assert "Requires-Dist: aiohttp" in metadata


def test_all_packages_have_one_version() -> None:
    def version(path: Path) -> object:
        return tomllib.loads(path.read_text())["project"]["version"]

    of_npm = json.loads((CLIENT / "package.json").read_text())["version"]
    assert version(ROOT / "pyproject.toml") == version(PYTHON / "pyproject.toml") == of_npm


def test_what_the_package_offers_is_there() -> None:
    assert all(hasattr(tidemark_client, name) for name in tidemark_client.__all__)
