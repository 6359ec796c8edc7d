"""Windows, accounts and what is on record of them, over tables and charges that the test holds."""

from __future__ import annotations

from functools import partial

from prometheus_client import REGISTRY

from models.symmio.epoch_prices import Unpriced
from models.symmio.funding_plan import Window
from models.symmio.funding_records import (
    Epoch,
    Frozen,
    Missed,
    Outcome,
    Plan,
)
from streams.funder.rounds import freeze
from tests.support.eventually import eventually
from tests.support.funding_bench import (
    ALICE,
    BOB,
    EPOCH_S,
    MARKET,
    NO_TICKS,
    WINDOW_S,
    Bench,
    HeldTables,
    gauge,
    outcomes,
    position,
    running,
    sent,
)


def test_terms_are_frozen_with_the_quotes_that_they_hold_for() -> None:
    epoch, window = Epoch(EPOCH_S, WINDOW_S, 5_000), Window(EPOCH_S, 5_000, 5_000, 5_100)
    tables = HeldTables()
    frozen, plans = freeze(
        epoch,
        window,
        symbols={1, 2, 3},
        positions=tables.held,
        terms_of=partial(tables.freeze, NO_TICKS),
        at_s=5_001,
        tables_s=4_999,
    )
    assert Frozen(epoch, 5_000, 5_100, 5_001, 4_999, {1: MARKET}, {2: Unpriced.NO_MARK}, 2) == frozen
    assert [Plan(epoch, ALICE, ((1, 1), (2, 1))), Plan(epoch, BOB, ((3, 1), (4, 2)))] == plans


async def test_every_account_is_charged_once_in_a_window() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
    assert [ALICE, BOB] == sorted(bench.runs)
    alice = bench.journal.outcome(ALICE)
    assert alice is not None
    assert ((1, 2), {}, {}) == (alice.paid, alice.culprits, alice.missed)


async def test_accounts_are_charged_in_the_order_of_their_addresses() -> None:
    bench = Bench()
    accounts = [f"0x{number * 7 % 20:040x}" for number in range(20)]
    bench.tables.held = {party_a: [position(number + 1)] for number, party_a in enumerate(accounts)}
    async with running(bench):
        await eventually(lambda: bench.told(*accounts))
    assert sorted(accounts) == bench.runs


async def test_who_comes_later_goes_on_from_what_is_on_record() -> None:
    bench = Bench()
    bench.faults = {BOB: "insolvent"}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and BOB in bench.runs)
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.tables.held = {}
    bench.faults = {}
    bench.runs = []
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
    assert [BOB] == bench.runs
    assert 1 == len([one for one in bench.journal.records if isinstance(one, Frozen)])


async def test_what_an_account_could_not_bear_is_missed_with_the_reason() -> None:
    bench = Bench()
    bench.faults = {BOB: "party A would be insolvent"}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) >= 2)
        bench.chain.now_s = 5_101
        await eventually(lambda: bench.told(BOB))
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert ((), {3: "party A would be insolvent", 4: Unpriced.NO_MARK}) == (bob.paid, bob.missed)


async def test_a_market_without_terms_is_asked_for_again_and_charged_when_it_has_some() -> None:
    bench = Bench()
    bench.tables.second = Unpriced.NOT_PASSED
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) == 1)
        reads = bench.tables.reads
        await eventually(lambda: bench.tables.reads >= reads + 2)
        assert not bench.told(BOB)
        bench.tables.second = MARKET
        await eventually(lambda: bench.told(BOB))
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert ((3, 4), {}) == (bob.paid, bob.missed)
    frozen = [one for one in bench.journal.records if isinstance(one, Frozen)]
    assert [({1}, {2: str(Unpriced.NOT_PASSED)}), ({1, 2}, {})] == [(set(one.markets), one.left_out) for one in frozen]


async def test_what_has_no_terms_when_the_window_closes_is_missed_with_the_reason_and_counted_once() -> None:
    def unpriced() -> float:
        return REGISTRY.get_sample_value("tidemark_funding_unpriced_markets_total", {"deployment": "main"}) or 0.0

    before = unpriced()
    bench = Bench()
    bench.tables.second = Unpriced.NOT_PASSED
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) == 1)
        bench.chain.now_s = 5_101
        await eventually(lambda: bench.told(BOB))
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert ((3,), {4: Unpriced.NOT_PASSED}) == (bob.paid, bob.missed)
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    asked = bench.chain.asked
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert before + 1 == unpriced()


async def test_who_comes_later_prices_what_had_no_terms_yet() -> None:
    bench = Bench()
    bench.tables.second = Unpriced.NOT_PASSED
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) == 1)
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.tables.second = MARKET
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert (3, 4) == bob.paid


async def test_a_market_that_has_no_terms_for_good_is_not_asked_for_again() -> None:
    bench = Bench()
    bench.tables.second = Unpriced.NO_MARK
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) == 1)
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert 1 == bench.tables.reads


async def test_nothing_is_frozen_before_the_epochs_marks_can_be_settled() -> None:
    bench = Bench()
    bench.chain.now_s = 5_003
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= 3)
        assert [] == bench.journal.told
        bench.chain.now_s = 5_004
        await eventually(lambda: bench.told(ALICE, BOB))


async def test_what_left_the_chain_is_looked_at_again() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.executor.unmined(sent(ALICE, left_block=3))
        await eventually(lambda: bench.runs.count(ALICE) == 2)
        await eventually(lambda: len([one for one in bench.journal.records if isinstance(one, Outcome)]) == 3)
    assert 1 == bench.runs.count(BOB)


async def test_an_epochs_outcome_is_on_record_before_the_next_epoch_is_charged() -> None:
    bench = Bench()
    bench.faults = {BOB: "not now"}
    async with running(bench):
        await eventually(lambda: BOB in bench.runs)
        bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.faults, bench.chain.now_s = {}, 6_010
    async with running(bench):
        await eventually(lambda: {5_000, 6_000} <= {one.epoch.pays_s for one in outcomes(bench, BOB)})
    former = next(at for at, one in enumerate(bench.journal.records) if one in outcomes(bench, BOB))
    assert 5_000 == outcomes(bench, BOB)[0].epoch.pays_s
    assert former < next(at for at, epoch in bench.charged_at if epoch == 6_000)


async def test_what_left_the_chain_and_was_not_charged_again_is_missed_with_its_block() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s = 5_101
        bench.executor.unmined(sent(ALICE, left_block=33))
        await eventually(lambda: len(outcomes(bench, ALICE)) == 2)
    said = "block 33 left the chain with the transaction that charged it, and the window closed before another did"
    assert {1: said, 2: said} == outcomes(bench, ALICE)[-1].missed


async def test_what_was_found_while_the_window_was_open_stands_when_a_charge_is_looked_at_again_after_it() -> None:
    bench = Bench()
    bench.tables.held = {ALICE: [position(1), position(2), position(5)]}
    bench.refused, bench.free = {2: "the quote is cursed"}, {5}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE))
        bench.chain.now_s = 5_101
        # Its receipt came late, and the transaction had been taken as lost.
        bench.executor.unmined(sent(ALICE, left_block=None, quote_ids=(1,)))
        await eventually(lambda: len(outcomes(bench, ALICE)) == 2)
    for outcome in outcomes(bench, ALICE):
        assert ((5,), {2: "the quote is cursed"}) == (outcome.free, outcome.culprits)


async def test_an_account_without_an_outcome_after_its_window_is_not_accounted_for() -> None:
    bench = Bench()
    async with running(bench):
        async with bench.turns[ALICE]:
            await eventually(lambda: bench.told(BOB))
            bench.chain.now_s = 5_101
            await eventually(lambda: gauge("tidemark_funding_unaccounted_accounts") == 1.0)
        await eventually(lambda: gauge("tidemark_funding_unaccounted_accounts") == 0.0)


async def test_accounts_that_wait_for_room_leave_their_turns_to_other_hedgers() -> None:
    bench = Bench()
    carol = "0x" + "c1" * 20
    bench.tables.held[carol] = [position(5)]
    async with running(bench):
        async with bench.turns[ALICE], bench.turns[BOB]:
            # The two that there is room for wait for their turns.
            await eventually(lambda: any(isinstance(one, Frozen) for one in bench.journal.records))
            asked = bench.chain.asked
            await eventually(lambda: bench.chain.asked >= asked + 3)
            assert not bench.turns[carol].locked()
            assert [] == bench.runs
        await eventually(lambda: bench.told(ALICE, BOB, carol))


async def test_nothing_is_frozen_or_missed_by_the_wrong_clock_of_one_endpoint() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        written = len(bench.journal.records)
        bench.chain.now_s, bench.chain.behind_s = 9_050, 4_000
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        assert written == len(bench.journal.records)
        bench.chain.behind_s = 0
        await eventually(lambda: any(isinstance(one, Missed) for one in bench.journal.records))


async def test_an_account_waits_while_another_hedger_charges_it() -> None:
    bench = Bench()
    async with running(bench):
        async with bench.turns[ALICE]:
            await eventually(lambda: bench.told(BOB))
            assert [BOB] == bench.runs
        await eventually(lambda: bench.told(ALICE))
