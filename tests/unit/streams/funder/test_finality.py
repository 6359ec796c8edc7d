"""When outcomes are final, and what they are then by the chain and the log."""

from __future__ import annotations

import pytest

from models.symmio.epoch_prices import Unpriced
from streams.funder import finality as finality_module
from tests.support.eventually import eventually
from tests.support.funding_bench import ALICE, BOB, Bench, charging, ending, final, gauge, outcomes, running, sent


async def test_every_quote_has_one_outcome_and_those_of_a_market_without_terms_its_reason() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s = 5_101
        await eventually(lambda: gauge("tidemark_funding_epoch_quotes", outcome="missed") == 1.0)
        assert (3.0, 0.0) == (
            gauge("tidemark_funding_epoch_quotes", outcome="paid"),
            gauge("tidemark_funding_epoch_quotes", outcome="open"),
        )
        assert 0.0 == gauge("tidemark_funding_unaccounted_accounts")
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert ((3,), {4: Unpriced.NO_MARK}, [3, 4]) == (bob.paid, bob.missed, bob.quotes)


async def test_an_outcome_is_final_once_its_window_is_deep_and_its_transactions_are_final() -> None:
    bench = Bench()
    bench.watched = {BOB}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        assert (1, 2) == (await final(bench, ALICE)).paid
        assert [False] == [one.final for one in outcomes(bench, BOB)]
        bench.watched = set()
        assert (3,) == (await final(bench, BOB)).paid


async def test_since_when_outcomes_are_not_final_is_told() -> None:
    bench = Bench()
    bench.watched = {BOB}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        await eventually(lambda: gauge("tidemark_funding_not_final_since_seconds") == 5_100.0)
        bench.chain.now_s, bench.chain.final_s = 5_400, 5_101
        await final(bench, ALICE)
        assert 5_100.0 == gauge("tidemark_funding_not_final_since_seconds")
        bench.watched = set()
        await final(bench, BOB)
        await eventually(lambda: gauge("tidemark_funding_not_final_since_seconds") == 0.0)


async def test_since_when_outcomes_are_not_final_is_told_before_a_node_answers_whoever_comes_next() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
    bench.executor = bench.new()
    assert 5_100.0 == gauge("tidemark_funding_not_final_since_seconds")
    bench.executor.restore([])
    assert 0.0 == gauge("tidemark_funding_not_final_since_seconds")
    bench.executor.restore(list(bench.journal.records))
    assert 5_100.0 == gauge("tidemark_funding_not_final_since_seconds")


async def test_an_outcome_that_the_chain_contradicts_is_corrected() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.charged = {2, 3, 4}
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        alice, bob = await final(bench, ALICE), await final(bench, BOB)
    assert ((2,), {1: "the chain says that it was not charged"}) == (alice.paid, alice.missed)
    assert ((3, 4), {}) == (bob.paid, bob.missed)


async def test_where_the_contract_has_a_later_epoch_the_log_says_what_was_charged_for_the_one_before() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        # Whoever sent it: with a former key of the hedger, or by hand. The contract takes it from 100 s before on.
        bench.tables.moved = [(ALICE, charging(4_899, 1)), (ALICE, charging(5_100, 2)), (BOB, charging(5_000, 3))]
        bench.chain.paid_s = 6_000
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        alice, bob = await final(bench, ALICE), await final(bench, BOB)
    assert ((2,), {1: "the chain says that it was not charged"}) == (alice.paid, alice.missed)
    assert (3,) == bob.paid


async def test_a_final_outcome_stays_whatever_leaves_the_chain() -> None:
    bench = Bench()
    bench.watched = {BOB}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        told = await final(bench, ALICE)
        bench.executor.unmined(sent(ALICE, left_block=33))
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert (told, 1) == (outcomes(bench, ALICE)[-1], bench.runs.count(ALICE))


async def test_a_quote_whose_closing_left_the_chain_while_the_window_is_open_is_charged() -> None:
    bench = Bench()
    bench.closed = {1, 2}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.moved = [(ALICE, ending(1, 5_010))]
        bench.closed = {1}
        bench.chain.now_s = 5_050
        await eventually(lambda: outcomes(bench, ALICE)[-1].paid == (2,))
    assert [1] == list(outcomes(bench, ALICE)[-1].closed)


async def test_a_quote_whose_closing_left_the_chain_is_missed_and_not_closed() -> None:
    bench = Bench()
    bench.closed = {2}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        assert {2: "it is not open"} == outcomes(bench, ALICE)[-1].closed
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        alice = await final(bench, ALICE)
    said = "it was not open when its turn came, and is again since blocks left the chain"
    assert ((1,), {}, {2: said}) == (alice.paid, alice.closed, alice.missed)


async def test_a_quote_that_was_closed_only_after_its_window_is_missed_and_not_closed() -> None:
    bench = Bench()
    bench.closed = bench.chain.closed = {1, 2}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.moved = [(ALICE, ending(1, 5_100)), (ALICE, ending(2, 5_101))]
        bench.chain.now_s, bench.chain.final_s = 5_300, 5_300
        alice = await final(bench, ALICE)
    assert {1: "it is not open"} == alice.closed
    assert {2: "it was open until its window closed, and was not charged"} == alice.missed


@pytest.mark.parametrize("looks_for_s", [2.0, 0.0])
async def test_an_outcome_with_which_an_endpoint_still_agrees_is_not_corrected_yet_and_holds_no_other_one_up(
    monkeypatch: pytest.MonkeyPatch, looks_for_s: float
) -> None:
    # Without any time a look compares one outcome.
    monkeypatch.setattr(finality_module, "_LOOKS_FOR_S", looks_for_s)
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.charged = {2, 3}
        bench.chain.told_elsewhere = {1, 2, 3}
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        await final(bench, BOB)
        assert [False] == [one.final for one in outcomes(bench, ALICE)]
        bench.chain.told_elsewhere = {2, 3}
        assert (2,) == (await final(bench, ALICE)).paid


async def test_an_outcome_that_the_first_endpoint_alone_agrees_with_is_not_final_yet() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.told_elsewhere = {2, 3}
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        await final(bench, BOB)
        assert [False] == [one.final for one in outcomes(bench, ALICE)]
        bench.chain.charged = {2, 3}
        assert (2,) == (await final(bench, ALICE)).paid


async def test_a_closing_that_an_endpoint_still_has_is_not_taken_as_gone() -> None:
    bench = Bench()
    bench.closed = {2}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.closed_elsewhere = {2}
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        await final(bench, BOB)
        assert [False] == [one.final for one in outcomes(bench, ALICE)]
        bench.chain.closed_elsewhere = set()
        assert [2] == list((await final(bench, ALICE)).missed)


async def test_an_epoch_that_is_final_is_not_begun_again_where_only_an_endpoint_answers_that_is_far_behind() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s = bench.chain.final_s = 5_200
        await eventually(lambda: bench.journal.is_closed)
    written = len(bench.journal.records)
    bench.chain.now_s = 5_050
    asked = bench.chain.asked
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 5)
    assert written == len(bench.journal.records)
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 10)
    assert written == len(bench.journal.records)
