from __future__ import annotations

from pathlib import Path

import pytest

from bench.sizing import Case, lines, needs

GUIDE = Path(__file__).parents[3] / "docs" / "sizing.md"


def test_the_guide_has_the_table_that_the_unit_costs_come_to() -> None:
    assert "\n".join(lines()) in GUIDE.read_text()


@pytest.mark.parametrize(("accounts", "measured_s"), [(100_000, 42.3), (1_000_000, 387.0)])
def test_the_bound_on_age_is_what_was_measured_within_a_third(accounts: int, measured_s: float) -> None:
    found = needs(Case(accounts, positions=4, markets=500, ticks_per_s=500, sockets=0, workers=1))
    assert found.age_s == pytest.approx(measured_s, rel=1 / 3)


def test_where_ticks_and_watched_rows_take_the_whole_core_the_others_are_not_promised_anything() -> None:
    crowded = Case(100_000, positions=4, markets=500, ticks_per_s=500, sockets=10_000, workers=1)
    assert needs(crowded).age_s == float("inf")
