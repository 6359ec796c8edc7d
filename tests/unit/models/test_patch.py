from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from models.patch import merge_patch
from tidemark_client import patched

NAMES = st.sampled_from("abcd")
LEAVES = (
    st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "1", "1.0"]) | st.lists(st.integers(0, 1), max_size=2)
)
OBJECTS = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=3), lambda inner: st.dictionaries(NAMES, LEAVES | inner, max_size=4)
)


@given(OBJECTS, OBJECTS)
def test_a_patch_turns_what_was_into_what_is_and_changes_neither(
    before: dict[str, object], after: dict[str, object]
) -> None:
    kept = deepcopy((before, after))
    patch = merge_patch(before, after)

    assert after == patched(before, patch)
    assert kept == (before, after)


@given(OBJECTS)
def test_what_has_not_changed_needs_no_patch(standing: dict[str, object]) -> None:
    assert {} == merge_patch(standing, deepcopy(standing))


@given(OBJECTS, OBJECTS, OBJECTS)
def test_a_patch_that_leaves_a_state_out_says_the_same_as_those_through_it(
    first: dict[str, object], middle: dict[str, object], last: dict[str, object]
) -> None:
    through = patched(patched(first, merge_patch(first, middle)), merge_patch(middle, last))

    assert through == patched(first, merge_patch(first, last))


@given(OBJECTS, OBJECTS)
def test_a_patch_that_comes_twice_changes_nothing(before: dict[str, object], after: dict[str, object]) -> None:
    patch = merge_patch(before, after)

    assert after == patched(patched(before, patch), patch)


def test_fields_that_are_gone_are_null_and_objects_are_patched_inside() -> None:
    before = {"upnl": "1", "positions": {"1": {"mark": "5", "upnl": "1"}, "2": {"mark": "6"}}, "stale": 0}
    after = {"upnl": "1", "positions": {"1": {"mark": "7", "upnl": "1"}, "3": {"mark": "6"}}, "owner": "x"}

    assert {
        "stale": None,
        "positions": {"1": {"mark": "7"}, "2": None, "3": {"mark": "6"}},
        "owner": "x",
    } == merge_patch(before, after)


def test_an_object_may_take_the_place_of_a_value_and_the_other_way_round() -> None:
    assert {"a": {"b": 1}} == patched({"a": 5}, merge_patch({"a": 5}, {"a": {"b": 1}}))
    assert {"a": 5} == patched({"a": {"b": 1}}, merge_patch({"a": {"b": 1}}, {"a": 5}))
