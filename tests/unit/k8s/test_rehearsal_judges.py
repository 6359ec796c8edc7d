"""What judges a rehearsal refuses where there was nothing to judge."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.rehearsals.proof import expect_audited
from tests.rehearsals.watcher import Absence, Claim, Watcher, dated_by_marks_s

GONE = Absence("broker", 1_000.0, 1_060.0, 6.0)


def watcher(*claims: Claim) -> Watcher:
    return Watcher(cast("Any", None), 10.0, list(claims))


def claim(surface: str, asked_s: float) -> Claim:
    return Claim(surface, asked_s, is_ready=False, stale=frozenset({"broker"}), dated_s=None)


def test_surfaces_that_said_nothing_while_a_part_was_gone_are_named() -> None:
    looked = watcher(claim("readyz", 1_030), claim("native", 1_005), claim("status", 1_059))

    assert [] == looked.false_claims(GONE)
    assert {"native"} == looked.unheard(GONE)


def test_of_an_absence_that_was_over_before_everybody_speaks_nothing_is_asked() -> None:
    assert set() == watcher().unheard(GONE._replace(to_s=1_030.0))


def test_a_legacy_frame_says_how_old_marks_are_only_where_its_account_has_positions() -> None:
    assert dated_by_marks_s({"notional": "12.5", "timestamp": 1_000}) == 1_000
    assert dated_by_marks_s({"notional": "0", "timestamp": 1_000}) is None
    assert dated_by_marks_s({}) is None


def test_an_audit_that_found_all_the_same_passes() -> None:
    expect_audited("main: block 7, 200 accounts compared, 0 differ, 0 suspect, 3 not compared\n")


@pytest.mark.parametrize(
    "counts",
    [
        "0 accounts compared, 0 differ, 0 suspect, 200 not compared",
        "0 accounts compared, 0 differ, 0 suspect, 0 not compared",
        "200 accounts compared, 1 differ, 0 suspect, 0 not compared",
        "200 accounts compared, 0 differ, 1 suspect, 0 not compared",
    ],
)
def test_an_audit_that_compared_nothing_or_found_something_else_is_refused(counts: str) -> None:
    with pytest.raises(AssertionError):
        expect_audited(f"main: block 7, {counts}\n")
