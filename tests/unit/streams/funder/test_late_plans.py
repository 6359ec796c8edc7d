"""Quotes that tables know late, or that a fork brings or takes, and what whoever comes next makes of them."""

from __future__ import annotations

import msgspec

from models.symmio.epoch_prices import Unpriced
from models.symmio.funding_records import (
    Frozen,
    Outcome,
    Plan,
)
from tests.support.eventually import eventually
from tests.support.funding_bench import (
    ALICE,
    BOB,
    MARKET,
    PARTY_B,
    Bench,
    ending,
    final,
    opening,
    outcomes,
    position,
    running,
    sent,
)


async def test_tables_that_are_behind_are_waited_for_but_not_for_long() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.chain.now_s = 5_024
    async with running(bench):
        await bench.tables.asked.wait()
        assert [] == bench.journal.told
        bench.chain.now_s = 5_025
        await eventually(lambda: bench.told(ALICE, BOB))
    assert [4_999] == [one.tables_s for one in bench.journal.records if isinstance(one, Frozen)]


async def test_quotes_that_the_tables_come_to_know_after_the_freezing_are_planned_and_charged_too() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.tables.held = {ALICE: [position(1, 2)], BOB: [position(3), position(5)]}
        bench.tables.second = MARKET
        bench.tables.folded_s = 5_000
        await eventually(lambda: bench.told(ALICE) and outcomes(bench, BOB)[-1].paid == (3, 5))
    assert (1,) == outcomes(bench, ALICE)[-1].paid
    frozen = [one for one in bench.journal.records if isinstance(one, Frozen)]
    assert [(4_999, {1}, 1), (5_000, {1, 2}, 2)] == [(one.tables_s, {*one.markets}, one.accounts) for one in frozen]
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    asked = bench.chain.asked
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert [BOB, ALICE, BOB] == [bench.runs[0], *sorted(bench.runs[1:])]


async def test_what_a_fork_changed_among_the_quotes_of_before_the_epoch_is_planned_and_charged_too() -> None:
    bench = Bench()
    bench.tables.second = MARKET
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        # Quote 2 is of another market now, and quote 9 was not there.
        bench.tables.held = {ALICE: [position(1), position(2, 2), position(9)], BOB: [position(3), position(4, 2)]}
        bench.chain.now_s = 5_050
        await eventually(lambda: outcomes(bench, ALICE)[-1].paid == (1, 2, 9))
        assert 1 == len(outcomes(bench, BOB))
    plans = [one for one in bench.journal.records if isinstance(one, Plan) and one.party_a == ALICE]
    assert ((1, 1), (2, 2), (9, 1)) == plans[-1].quotes


async def test_what_a_fork_brought_when_nobody_could_charge_it_any_more_is_missed_and_not_forgotten() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.held[ALICE].append(position(9))
        bench.chain.now_s = bench.chain.final_s = 5_101
        alice = await final(bench, ALICE)
    assert ((1, 2), {9: "the tables knew of it only after the window had closed"}) == (alice.paid, alice.missed)


async def test_quotes_that_the_tables_come_to_know_after_the_window_are_missed_with_that_reason() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.chain.now_s = bench.chain.final_s = 5_101
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        # Whether there are more of them is not known yet.
        assert [False] == [one.final for one in outcomes(bench, BOB)]
        bench.tables.held = {ALICE: [position(1)], BOB: [position(3), position(4, 2)]}
        bench.tables.folded_s = 5_101
        alice, bob = await final(bench, ALICE), await final(bench, BOB)
    assert {1: "the tables knew of it only after the window had closed"} == alice.missed
    assert ((3,), {4: Unpriced.NO_MARK}) == (bob.paid, bob.missed)


async def test_quotes_that_were_planned_late_are_charged_by_the_next_executor_too() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
    # It was killed once the plan had grown, before it could charge what is new.
    (frozen,) = [one for one in bench.journal.records if isinstance(one, Frozen)]
    bench.tables.folded_s = 5_000
    bench.tables.held = {BOB: [position(3), position(5)]}
    plan = Plan(frozen.epoch, BOB, ((3, 1), (5, 1)), PARTY_B)
    bench.journal.records += [plan, msgspec.structs.replace(frozen, tables_s=5_000)]
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    async with running(bench):
        await eventually(lambda: outcomes(bench, BOB)[-1].paid == (3, 5))


async def test_what_left_the_chain_before_an_executor_was_killed_is_looked_at_again_by_the_next() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
    bench.journal.records.append(sent(ALICE, left_block=33))
    bench.runs.clear()
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    async with running(bench):
        await eventually(lambda: len(outcomes(bench, ALICE)) == 2)
    assert [ALICE] == bench.runs


async def test_an_epoch_that_was_frozen_without_any_quote_is_not_over_before_the_tables_have_reached_it() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: any(isinstance(one, Frozen) for one in bench.journal.records))
        bench.chain.now_s = 5_101
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        bench.tables.held = {ALICE: [position(1)]}
        bench.tables.folded_s = 5_000
        await eventually(lambda: bench.told(ALICE))
    assert {1: "the tables knew of it only after the window had closed"} == outcomes(bench, ALICE)[-1].missed


async def test_quotes_that_were_opened_after_the_epoch_began_are_none_of_its_however_late_the_tables_are() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.chain.now_s = bench.chain.final_s = 9_000
        bench.tables.moved = [(BOB, opening(5, 5_050)), (ALICE, opening(1, 8_000)), (BOB, opening(6, 8_001))]
        bench.tables.held = {ALICE: [position(1)], BOB: [position(3), position(5), position(6)]}
        bench.tables.folded_s = 9_000
        assert [3] == (await final(bench, BOB)).quotes
    assert {BOB} == {one.party_a for one in bench.journal.records if isinstance(one, Outcome | Plan)}


async def test_quotes_that_ended_before_the_tables_knew_of_the_epoch_have_an_outcome_too() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.chain.now_s = bench.chain.final_s = 5_999
        bench.closed = bench.chain.closed = {1, 2, 7}
        # The first one ended while it could be charged, the second one later, and the last one was opened later.
        bench.tables.moved = [
            (ALICE, ending(1, 5_060)),
            (ALICE, ending(2, 5_101)),
            (ALICE, opening(7, 5_200)),
            (ALICE, ending(7, 5_300)),
        ]
        bench.tables.folded_s = 5_999
        alice = await final(bench, ALICE)
    assert {1: "it is not open"} == alice.closed
    assert {2: "the tables knew of it only after the window had closed"} == alice.missed
    assert [1, 2] == alice.quotes


async def test_what_was_known_late_is_missed_for_that_by_the_next_executor_too() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.faults = {ALICE: "not now"}
        bench.chain.now_s = 5_101
        bench.tables.held = {ALICE: [position(1)], BOB: [position(3)]}
        bench.tables.folded_s = 5_000
        await eventually(lambda: bench.told(ALICE))
    # It was killed when it had told what is to be told of, and nothing more.
    records = [one for one in bench.journal.records if not (isinstance(one, Outcome) and one.party_a == ALICE)]
    bench.journal.records = records
    bench.executor = bench.new()
    bench.executor.restore(list(records))
    async with running(bench):
        await eventually(lambda: bench.told(ALICE))
    assert {1: "the tables knew of it only after the window had closed"} == outcomes(bench, ALICE)[-1].missed


async def test_a_fork_that_is_seen_after_the_window_plans_what_was_open_at_its_beginning_after_all() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s = 5_150
        looked = bench.tables.looks
        await eventually(lambda: bench.tables.looks > looked)
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        # Quote 9 is opened in a block of before the window now, and what closed quote 8 has left the chain.
        bench.tables.held[ALICE] += [position(8), position(9)]
        bench.chain.now_s = bench.chain.final_s = 5_200
        alice = await final(bench, ALICE)
    said = "the tables knew of it only after the window had closed"
    assert ((1, 2), {8: said, 9: said}) == (alice.paid, alice.missed)
    assert 1 == len([one for one in bench.journal.records if isinstance(one, Frozen) and one.final])


async def test_an_epoch_without_a_quote_is_kept_until_no_fork_can_bring_one() -> None:
    bench = Bench()
    bench.tables.held = {}
    async with running(bench):
        await eventually(lambda: any(isinstance(one, Frozen) for one in bench.journal.records))
        bench.chain.now_s = 5_150
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.tables.held = {ALICE: [position(1)]}
    async with running(bench):
        bench.chain.final_s = 5_150
        alice = await final(bench, ALICE)
        await eventually(lambda: bench.journal.is_closed)
    assert {1: "the tables knew of it only after the window had closed"} == alice.missed
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    looked, asked = bench.tables.looks, bench.chain.asked
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert looked == bench.tables.looks


async def test_nothing_is_final_before_the_tables_have_come_to_the_block_that_makes_it_so() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.folded_s = 5_150
        bench.chain.now_s = bench.chain.final_s = 5_200
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 5)
        assert [False] == [one.final for one in outcomes(bench, ALICE)]
        bench.tables.folded_s = 5_200
        await final(bench, ALICE)


async def test_what_the_log_keeps_no_more_adds_no_plan_and_takes_nothing_back() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.is_whole = False
        bench.tables.held[ALICE].append(position(9))
        bench.chain.paid_s = 6_000
        bench.chain.now_s = bench.chain.final_s = 5_200
        alice = await final(bench, ALICE)
    assert ((1, 2), [1, 2]) == (alice.paid, alice.quotes)
