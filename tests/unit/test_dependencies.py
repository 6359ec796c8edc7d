"""What is imported is declared: else the next release of something else takes it away."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVER = ("models", "streams", "api", "tidemark")
# It ships in the same wheel, and has a project file of its own.
OWN = (*SERVER, "tidemark_client")


# What needs an extra is imported by these alone, which are imported only where it is configured (by import_module).
OF_EXTRAS = {
    "analysis": {
        ROOT / "api/rest/history_parquet.py",
        ROOT / "tidemark/replay/tables.py",
        ROOT / "streams/archive/archive_store.py",
        ROOT / "streams/archive/segment_file.py",
        ROOT / "streams/replay/row_tables.py",
    },
    "yellowstone": {
        ROOT / "streams/ingest/flash/yellowstone.py",
        ROOT / "streams/ingest/flash/yellowstone_messages.py",
    },
}


def imported(package: str) -> set[str]:
    """The top-level names that a package imports, anywhere in its modules but those of extras."""
    return names_in(set((ROOT / package).rglob("*.py")) - set().union(*OF_EXTRAS.values()))


def names_in(sources: set[Path]) -> set[str]:
    names: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            match node:
                case ast.Import():
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                case ast.ImportFrom(module=str(module), level=0):
                    names.add(module.partition(".")[0])
                case _:
                    pass
    return names


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_imported_package_is_declared_and_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonical(re.split(r"[\[=]", one)[0]): one for one in project["dependencies"]}
    foreign = set().union(*map(imported, SERVER)) - set(OWN) - sys.stdlib_module_names
    providers = packages_distributions()
    undeclared = {name for name in foreign if not {canonical(one) for one in providers[name]} & declared.keys()}

    assert set() == undeclared
    assert all("==" in one for one in declared.values())


@pytest.mark.parametrize("extra", OF_EXTRAS)
def test_what_an_extra_is_needed_for_is_declared_in_it(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonical(one.partition("==")[0]) for one in project["optional-dependencies"][extra]}
    everywhere = {canonical(re.split(r"[\[=]", one)[0]) for one in project["dependencies"]}
    providers = packages_distributions()
    foreign = names_in(OF_EXTRAS[extra]) - set(OWN) - sys.stdlib_module_names
    used = {canonical(one) for name in foreign for one in providers[name]}

    assert declared == used - everywhere


def test_every_declared_package_is_imported_or_named_here_with_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonical(re.split(r"[\[=]", one)[0]) for one in project["dependencies"]}
    providers = packages_distributions()
    used = {canonical(one) for name in set().union(*map(imported, SERVER)) for one in providers.get(name, [])}
    # aiokafka needs it for lz4 and snappy, and does not ask for it.
    unimported = {"cramjam"}

    assert unimported == declared - used
