"""Scenarios over all accounts: the figures are those of other code, and the liquidations are sorted."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from models.codec import decode_row
from models.engine.tables import ACCOUNTS, VALUATIONS
from models.money import E18
from models.symmio.account import decode_account
from models.what_if import BadScenario, Change, Scenario, figures_of, is_liquidatable, outcomes, put_scenario
from streams.replay.accounts_at import value_accounts_at
from tests.support.decimal_upnl import gain_e18, newest_mark
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.told_log import Story, tell

if TYPE_CHECKING:
    from models.what_if import Outcome
    from streams.replay.accounts_at import AccountsAt

THIRD = Change(7 * E18 // 10)


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)


async def all_at(story: Story, at_ms: int) -> AccountsAt:
    return await value_accounts_at(
        story.log(), story.settings, DEPLOYMENT, at_ms, on_record=lambda _: None, is_stated=False
    )


def put(found: AccountsAt, scenario: Scenario, at_ms: int) -> tuple[dict[bytes, int | None], list[Outcome]]:
    """What each account has left before liquidation after a scenario, and the accounts that are others."""
    engine = found.fold.engine
    before = figures_of(engine)
    put_scenario(engine, (DEPLOYMENT, found.fold.venue), scenario, at_ms)
    after = figures_of(engine)
    return {key: one.available_e18 for key, one in after.items()}, list(outcomes(before, after))


def expected(found: AccountsAt, mark: Decimal, rate: str = "0") -> dict[bytes, int]:
    """The same by code that takes only what accounts hold from the engine."""
    left = {}
    for key, row in found.fold.engine.tables.items(ACCOUNTS):
        holding = decode_account(row).holding
        gains = 0
        for one in holding.positions:
            long = one.position_type == 0
            # Longs pay by opening higher, shorts are paid by it.
            opened = one.opened_price + int(Decimal(one.opened_price) * Decimal(rate))
            gains += gain_e18(one.open_amount if long else -one.open_amount, opened, mark)
        left[key] = holding.balances.allocated - holding.balances.locked.cva - holding.balances.locked.lf + gains
    return left


def last_ms(story: Story) -> int:
    return max(one.time_ms for one in story.records)


async def test_all_accounts_as_of_an_instant_are_the_rows_that_stood_then(story: Story) -> None:
    at_ms = sorted(story.folded)[-2]

    found = await all_at(story, at_ms)

    rows = {key: decode_row(row).body["upnl"] for key, row in found.fold.engine.tables.items(VALUATIONS)}
    assert rows == {key: body["upnl"] for (now_ms, key), body in story.shown.items() if now_ms == at_ms}


@pytest.mark.parametrize(("named", "factor"), [("BTC", "0.7"), ("btcusdt", "1.5"), ("B*", "0.1"), ("*", "30")])
async def test_a_shock_leaves_what_other_code_says_and_names_the_liquidations_in_order(
    story: Story, named: str, factor: str
) -> None:
    at_ms = last_ms(story)
    found = await all_at(story, at_ms)
    # Positions were opened at some 3.3.
    put(found, Scenario({SYMBOL: Change(E18, 33 * E18 // 10)}), at_ms)
    wanted = expected(found, Decimal("3.3") * Decimal(factor))

    left, changed = put(found, Scenario({named: Change(int(Decimal(factor) * E18))}), at_ms)

    assert wanted == left
    lacks = [one.after.available_e18 for one in changed]
    assert sorted(lacks, key=lambda one: one or 0) == lacks
    are_new = [one for one in changed if is_liquidatable(one.after) and not is_liquidatable(one.before)]
    assert bool(are_new) == (factor == "30")


@pytest.mark.parametrize("rate", ["0.01", "-0.03"])
async def test_funding_is_charged_as_the_contract_does(story: Story, rate: str) -> None:
    at_ms = last_ms(story)
    found = await all_at(story, at_ms)
    mark = newest_mark([one for one in story.records if "price-ticks" in one.topic], at_ms)
    assert mark is not None
    charged = expected(found, mark, rate)

    left, changed = put(found, Scenario({}, int(Decimal(rate) * E18)), at_ms)

    assert charged == left
    assert changed


async def test_the_first_change_that_matches_a_market_counts_and_a_set_price_is_taken_as_it_is(story: Story) -> None:
    at_ms = last_ms(story)
    found = await all_at(story, at_ms)

    engine, venue = found.fold.engine, found.fold.venue
    moved = put_scenario(engine, (DEPLOYMENT, venue), Scenario({"BTC": Change(E18, 25_000 * E18), "*": THIRD}), at_ms)

    assert {"binance-futures:BTCUSDT": 25_000 * E18} == {key: new for key, (_, new) in moved.items()}


@pytest.mark.parametrize(
    ("scenario", "said"),
    [(Scenario({"DOGE": THIRD}), "BTCUSDT, found DOGE"), (Scenario({"BTC": Change(0)}), "above 0")],
)
async def test_a_scenario_that_cannot_be_is_refused(story: Story, scenario: Scenario, said: str) -> None:
    found = await all_at(story, last_ms(story))

    with pytest.raises(BadScenario, match=said):
        put_scenario(found.fold.engine, (DEPLOYMENT, found.fold.venue), scenario, last_ms(story))
