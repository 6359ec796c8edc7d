"""Every metric is documented, and every documented one is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
DEFINED = sorted(
    {
        name
        for package in ("streams", "api")
        for source in (ROOT / package).rglob("*.py")
        for name in re.findall(r'"(tidemark_[a-z_]+)"', source.read_text())
    }
)


@pytest.mark.parametrize("name", DEFINED)
def test_metric_is_on_the_metrics_page(name: str) -> None:
    assert f"`{name}`" in PAGE or f"`{name}_total`" in PAGE


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tidemark_[a-z_]+)`", PAGE))))
def test_metric_of_the_page_is_defined(name: str) -> None:
    assert name in DEFINED or name.removesuffix("_total") in DEFINED
