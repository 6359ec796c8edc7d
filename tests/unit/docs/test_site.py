"""The guides are built as a site, with every link between them."""

from __future__ import annotations

import re
import subprocess
import sys
from inspect import isclass
from pathlib import Path

import tidemark.venue

DOCS = Path(__file__).parents[3] / "docs"


def test_every_guide_is_a_page_of_the_site_and_no_link_between_them_is_broken(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(tmp_path / "doctrees")]
    done = subprocess.run([*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    pages = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert not {page for page in pages if not (tmp_path / "site" / page).exists()}
    reference = (tmp_path / "site/venue-reference.html").read_text()
    assert not [
        name
        for name in tidemark.venue.__all__
        if isclass(getattr(tidemark.venue, name)) and f">{name}<" not in reference
    ]
    # Nothing that a page needs to be shown is loaded from elsewhere.
    loaded = re.findall(
        r'<(?:script|link)[^>]+(?:src|href)="(https?:[^"]+)"', (tmp_path / "site/index.html").read_text()
    )
    assert not loaded
