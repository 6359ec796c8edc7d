"""Every link between documents leads to a file of the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(path for folder in ("docs", "docker", "k8s", "clients/python") for path in (ROOT / folder).rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]

    assert [] == [target for target in local if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_documents_that_a_page_names_are_there(page: Path) -> None:
    named = set(
        re.findall(r"(?<![\w./…-])((?:docs|docker|k8s|tests|bench)/[\w./-]+\.(?:md|py|yaml|toml))", page.read_text())
    )

    assert [] == sorted(one for one in named if not (ROOT / one).exists())
