from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.ownership import Bounds, Case, Rules, Table
from tests.model.ownership_search import (
    a_reader_never_goes_back,
    a_reader_shows_what_is_committed,
    a_term_and_version_name_one_row,
    nothing_committed_is_lost,
    search,
    the_owner_has_the_highest_term,
    what_settles_is_the_owners_row,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.ownership import State

# Longer than any shortest way that was found, and still a screenful.
_LINES_MAX = 30

_SEARCHED = {
    "three owners": (Bounds(generations=3, changelog_records=3), 190_000),
    "a kill": (Bounds(crashes=1, on_the_wire=1), 100_000),
    "a kill and three owners": (
        Bounds(source_records=1, generations=3, crashes=1, changelog_records=3, on_the_wire=1, has_standbys=True),
        120_000,
    ),
    "an empty group": (Bounds(generations=3, changelog_records=3, on_the_wire=1, may_be_empty=True), 100_000),
    "valuations": (Bounds(Table.VALUED), 65_000),
    "valuations and three owners": (
        Bounds(Table.VALUED, generations=3, changelog_records=3, on_the_wire=1, mark_moves=1),
        95_000,
    ),
}


@pytest.mark.parametrize("name", _SEARCHED)
def test_under_all_rules_no_state_within_the_bounds_breaks_an_invariant(name: str) -> None:
    bounds, states_min = _SEARCHED[name]

    found = search(Case(Rules(), bounds))

    assert found.invariant is None, str(found)
    assert found.states > states_min


_NEEDED = [
    ("claim_terms", the_owner_has_the_highest_term, Bounds()),
    ("claim_terms", a_term_and_version_name_one_row, Bounds(Table.VALUED)),
    ("claim_terms", nothing_committed_is_lost, Bounds()),
    ("fence", the_owner_has_the_highest_term, Bounds()),
    ("fence", nothing_committed_is_lost, Bounds()),
    (
        "commit_as_member",
        nothing_committed_is_lost,
        Bounds(generations=3, changelog_records=3, on_the_wire=1, may_be_empty=True),
    ),
    ("ack_before_commit", nothing_committed_is_lost, Bounds()),
    ("ack_before_commit", a_reader_shows_what_is_committed, Bounds()),
    ("applied_guard", nothing_committed_is_lost, Bounds()),
    ("passed_over_under_own_term", nothing_committed_is_lost, Bounds(generations=3, changelog_records=3)),
    (
        "end_at_later_term",
        what_settles_is_the_owners_row,
        Bounds(source_records=1, generations=3, changelog_records=3, on_the_wire=1),
    ),
    (
        "rewrite_on_takeover",
        nothing_committed_is_lost,
        Bounds(crashes=1, changelog_records=3, on_the_wire=1),
    ),
    ("owner_tails_and_rewrites", nothing_committed_is_lost, Bounds()),
    ("rewrite_under_own_term", what_settles_is_the_owners_row, Bounds(Table.VALUED)),
    (
        "persist_overwritten_markers",
        what_settles_is_the_owners_row,
        Bounds(source_records=1, generations=3, crashes=1, changelog_records=3, on_the_wire=1, has_standbys=True),
    ),
    ("offset_stops_at_gap", nothing_committed_is_lost, Bounds(changelog_records=3)),
    (
        "old_acks_left_to_tail",
        what_settles_is_the_owners_row,
        Bounds(Table.VALUED, generations=3, on_the_wire=1),
    ),
    ("compaction_lag", nothing_committed_is_lost, Bounds()),
]


@pytest.mark.parametrize(("rule", "invariant", "bounds"), _NEEDED)
def test_without_the_rule_the_shortest_way_to_the_hole_is_found(
    rule: str, invariant: Callable[[Case, State, State], bool], bounds: Bounds
) -> None:
    found = search(Case(Rules()._replace(**{rule: False}), bounds), (invariant,))

    assert found.invariant == invariant.__name__, str(found)
    assert len(found.trace) <= _LINES_MAX, str(found)


def test_every_rule_is_shown_to_be_needed() -> None:
    assert set(Rules._fields) == {rule for rule, _, _ in _NEEDED}


def test_a_hole_is_told_in_sentences() -> None:
    found = search(Case(Rules()._replace(ack_before_commit=False), Bounds()))

    assert "nothing_committed_is_lost" == found.invariant
    assert (
        "the group rebalances: A is the owner of generation 1",
        "A is assigned the partition in generation 1",
        "A claims term 0",
        "A passes the fence",
        "A recovers no row and takes the partition under term 0",
        "A goes on at record 1",
        "A folds record 1 and sends (term 0, version 1, [1])",
        "A commits up to record 1",
    ) == found.trace


def test_a_reader_goes_back_where_a_newer_term_begins_below_what_a_fenced_owner_wrote_late() -> None:
    found = search(Case(Rules(), Bounds()), (a_reader_never_goes_back,))

    assert "a_reader_never_goes_back" == found.invariant
    assert len(found.trace) <= _LINES_MAX, str(found)
