"""What is imported is declared: else the next release of something else takes it away."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER = ("models", "streams", "api", "tidemark")
# It ships in the same wheel, and has a project file of its own.
OWN = (*SERVER, "tidemark_client")


def imported(package: str) -> set[str]:
    """The top-level names that a package imports, anywhere in its modules."""
    names: set[str] = set()
    for source in (ROOT / package).rglob("*.py"):
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


def test_every_declared_package_is_imported_or_named_here_with_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonical(re.split(r"[\[=]", one)[0]) for one in project["dependencies"]}
    providers = packages_distributions()
    used = {canonical(one) for name in set().union(*map(imported, SERVER)) for one in providers.get(name, [])}
    # aiokafka needs it for lz4 and snappy, and does not ask for it.
    unimported = {"cramjam"}

    assert unimported == declared - used
