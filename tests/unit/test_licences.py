"""What is installed with Tidemark may be used and passed on by everybody, as Tidemark itself."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "runtime.txt"
PACKAGES = re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[^\]]*\])?==", REQUIREMENTS.read_text(), re.MULTILINE)
# Licences that ask for no more than to be named, and the Mozilla one, which asks for changes of its own files alone.
FREE = {
    "Apache-2.0",
    "Apache Software License",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CNRI-Python",
    "MIT",
    "MIT License",
    "MIT-0",
    "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)",
    "PSF-2.0",
    "Public Domain",
    "Python Software Foundation License",
    "Repoze Public License",
}


# What packages do not say of themselves: solders has its licence as a file alone; jsonalias, four lines that solders
# needs, a type and nothing that runs, states none at all.
UNSAID = {"solders": {"Apache-2.0"}, "jsonalias": set[str]()}


def licences_of(package: str) -> set[str]:
    told = metadata(package)
    if "License-Expression" in told:
        expression = told["License-Expression"]
        return set(re.split(r"\s+(?:AND|OR)\s+", expression.translate(str.maketrans("", "", "()"))))
    classifiers = [one.rpartition("::")[2].strip() for one in told.get_all("Classifier", []) if "License ::" in one]
    if not classifiers and "License" not in told:
        return UNSAID[package]
    return set(classifiers) or {told["License"]}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_dependency_has_a_licence_that_is_known_to_be_free(package: str) -> None:
    try:
        licences = licences_of(package)
    except PackageNotFoundError:
        pytest.skip("it is for another system or version of Python")
    assert licences <= FREE
