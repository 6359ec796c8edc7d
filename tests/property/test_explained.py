"""Explanations of random windows: every term computed again by other code, and their sum exactly the whole change."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from models.chain_records import Block, decode_chain_record
from models.explaining import NOWHERE, PRICE, PositionAt, Standing, Term
from models.money import E18
from streams.replay.account_at import At, value_account_at
from streams.replay.explained import explain_account
from tests.support.decimal_upnl import contract_positions, gain_e18, mark_of_tick, newest_mark
from tests.support.golden import (
    DEPLOYMENT,
    FORKS,
    FORKS_SYMBOL,
    SYMBOL,
    forked_chain,
    forked_deployment,
    golden_chain,
    golden_deployment,
)
from tests.support.recording import GOLDEN_STATES, SECOND_LOGS, SECOND_STATES, read_json, recorded_chain
from tests.support.told_log import Story, tell

if TYPE_CHECKING:
    from streams.replay.bounded_log import LogRecord
    from streams.replay.explained import Explained

# A thousand windows take longer than other tests.
pytestmark = pytest.mark.timeout(7_200)

# Of each of the three chains; 334 make 1,000.
_WINDOWS = int(os.environ.get("TIDEMARK_TEST_WINDOWS", "8"))


@pytest.fixture(scope="module")
def golden() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)


@pytest.fixture(scope="module")
def second() -> Story:
    recording, deployment = read_json(SECOND_LOGS), golden_deployment()[DEPLOYMENT]
    settings = {DEPLOYMENT: deployment.model_copy(update={"diamond": recording["diamond"]})}
    return tell(DEPLOYMENT, settings, list(recorded_chain(recording)), FORKS_SYMBOL)


@pytest.fixture(scope="module")
def forks() -> Story:
    return tell(FORKS, forked_deployment(), forked_chain(), FORKS_SYMBOL)


async def explain(story: Story, key: bytes, since_ms: int, until_ms: int) -> tuple[Explained, list[Term]]:
    deployment, _, account = key.decode().partition(":")
    terms: list[Term] = []
    found = await explain_account(
        story.log(), story.settings, deployment, account, since_ms=since_ms, until_ms=until_ms,
        on_term=terms.append, on_record=lambda _: None,
    )  # fmt: skip
    return found, terms


def ticks_of(story: Story) -> list[LogRecord]:
    return [one for one in story.records if "price-ticks" in one.topic]


def expect_whole(found: Explained, terms: list[Term], ticks: list[LogRecord]) -> None:
    """Each term is what its position comes to by other code; each goes on where the one before it ended."""
    marks = {one.offset: mark_of_tick(one) for one in ticks}
    standing: dict[int | str, PositionAt | None] = dict(found.begin.positions)

    def gain(position: PositionAt | None) -> int:
        if position is None or position.mark_offset is None:
            return 0
        assert int(marks[position.mark_offset] * E18) == position.mark_e18
        return gain_e18(position.size_e18, position.opened_e18, marks[position.mark_offset])

    for term in terms:
        if term.quote is None:
            assert term.balance_e18
            continue
        before, after = term.before, term.after
        assert _without_mark(standing.get(term.quote)) == _without_mark(before)
        assert term.upnl_e18 == gain(after) - gain(before)
        if term.event.name == PRICE and before is not None and after is not None:
            assert (before.size_e18, before.opened_e18) == (after.size_e18, after.opened_e18)
            # The event of a price is the tick that the position is valued at from then on.
            assert not term.event.place or term.event.place.endswith(f":{after.mark_offset}")
        standing[term.quote] = after
    assert {quote: one for quote, one in standing.items() if one is not None}.keys() == found.end.positions.keys()
    assert sum(term.upnl_e18 for term in terms) == found.end.counted_upnl_e18 - found.begin.counted_upnl_e18
    assert sum(term.balance_e18 for term in terms) == found.end.balance_e18 - found.begin.balance_e18


def _without_mark(position: PositionAt | None) -> tuple[int, int, int] | None:
    """A mark of the same price is no term, though its tick is another."""
    return None if position is None else (position.size_e18, position.opened_e18, position.mark_e18 or 0)


@pytest.mark.parametrize("name", ["golden", "second", "forks"])
async def test_terms_are_what_other_code_makes_of_them_and_add_up_to_the_change_between_two_instants(
    name: str, request: pytest.FixtureRequest
) -> None:
    story: Story = request.getfixturevalue(name)
    draws, ticks, names = random.Random(17), ticks_of(story), set()
    first_ms, last_ms = story.records[0].time_ms, max(one.time_ms for one in story.records)
    for _ in range(_WINDOWS):
        key = draws.choice(sorted(story.last))
        since_ms, until_ms = sorted(draws.randint(first_ms - 1_000, last_ms) for _ in range(2))

        found, terms = await explain(story, key, since_ms, until_ms)

        expect_whole(found, terms, ticks)
        names |= {term.event.name for term in terms}
        deployment, _, account = key.decode().partition(":")
        for standing, at in ((found.begin, At(since_ms)), (found.end, At(until_ms))):
            row = await value_account_at(story.log(), story.settings, deployment, account, at, on_record=lambda _: None)
            assert standing.upnl_e18 == (None if row is None or row.body["upnl"] is None else int(row.body["upnl"]))
    expected = {"golden": {"price", "fill", "fee", "transfer"}, "second": {"price", "fill", "fee", "liquidation"},
                "forks": {"price", "rollback"}}  # fmt: skip
    assert expected[name] <= names


@pytest.mark.parametrize(("name", "states"), [("golden", GOLDEN_STATES), ("second", SECOND_STATES)])
async def test_the_change_explained_is_that_of_the_contracts_own_positions_at_the_newest_marks(
    name: str, states: object, request: pytest.FixtureRequest
) -> None:
    story: Story = request.getfixturevalue(name)
    recorded = read_json(states)  # type: ignore[arg-type]
    # Of the second chain one market of four has a price here.
    snapshots, market = recorded["snaps"], 1
    held = [(one, account) for one in snapshots for account in one["A"] if contract_positions(one, account, market)]
    ticks, draws = ticks_of(story), random.Random(23)
    written = {}
    for one in story.records:
        block = decode_chain_record(one.value or b"") if "chain-blocks" in one.topic else None
        if isinstance(block, Block):
            written[block.number] = one.time_ms

    def expected(snapshot: dict[str, object], account: str) -> int:
        at_ms = max(time_ms for number, time_ms in written.items() if number <= snapshot["block"])  # type: ignore[operator]
        mark = newest_mark(ticks, at_ms)
        if mark is None:
            return 0
        return sum(gain_e18(size, opened, mark) for size, opened in contract_positions(snapshot, account, market))

    moved = 0
    for _ in range(_WINDOWS):
        (some, account), another = draws.choice(held), draws.choice(snapshots)
        one, other = sorted((some, another), key=lambda snapshot: snapshot["block"])
        ends = [max(ms for number, ms in written.items() if number <= snap["block"]) for snap in (one, other)]

        _, terms = await explain(story, f"{DEPLOYMENT}:{account}".encode(), *ends)

        change = sum(term.upnl_e18 for term in terms)
        assert expected(other, account) - expected(one, account) == change
        moved += change != 0
    assert moved


async def test_nobody_has_no_terms_and_an_account_that_does_not_change_has_none_either(golden: Story) -> None:
    end_ms = max(one.time_ms for one in golden.records)
    nobody = await explain(golden, b"golden:0x" + b"1" * 40, golden.records[0].time_ms, end_ms)
    assert (NOWHERE, NOWHERE, []) == (nobody[0].begin, nobody[0].end, nobody[1])

    found, terms = await explain(golden, min(golden.last), end_ms, end_ms)
    assert [] == terms
    assert isinstance(found.begin, Standing)
    assert found.begin == found.end != NOWHERE
