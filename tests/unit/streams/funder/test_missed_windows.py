"""Windows in which nothing is charged, and why."""

from __future__ import annotations

from models.symmio.funding_records import (
    NOBODY,
    Epoch,
    Frozen,
    Missed,
    Refused,
)
from tests.support.eventually import eventually
from tests.support.funding_bench import ALICE, BOB, EPOCH_S, PARTY_B, WINDOW_S, Bench, final, outcomes, running


async def test_windows_without_an_executor_are_missed_and_told_once() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.chain.now_s = 7_500

    def missed() -> list[int]:
        return [one.epoch.pays_s for one in bench.journal.records if isinstance(one, Missed)]

    async with running(bench):
        await eventually(lambda: [6_000, 7_000] == missed())
        bench.chain.now_s = 8_050
        await eventually(lambda: len([one for one in bench.journal.records if isinstance(one, Frozen)]) == 2)
    assert [6_000, 7_000] == missed()


async def test_nothing_is_charged_on_a_deployment_that_is_not_supported_and_the_window_is_missed_for_it() -> None:
    bench = Bench()
    bench.tables.refused = "the deployment is not supported since block 9: QuoteAdjusted"
    async with running(bench):
        await eventually(lambda: bench.tables.windows >= 3)
        assert [] == bench.runs
        bench.chain.now_s = 5_101
        await eventually(lambda: any(isinstance(one, Missed) for one in bench.journal.records))
    (missed,) = bench.journal.told
    assert Missed(Epoch(EPOCH_S, WINDOW_S, 5_000), 5_000, 5_100, PARTY_B, bench.tables.refused) == missed


async def test_a_deployment_that_becomes_unsupported_in_mid_window_is_not_charged_on() -> None:
    bench = Bench()
    bench.faults = {ALICE: "not now", BOB: "not now"}
    async with running(bench):
        await eventually(lambda: {ALICE, BOB} <= set(bench.runs))
        bench.tables.refused = "not supported"
        windows = bench.tables.windows
        await eventually(lambda: bench.tables.windows >= windows + 3)
        bench.faults, runs = {}, len(bench.runs)
        windows = bench.tables.windows
        await eventually(lambda: bench.tables.windows >= windows + 3)
        assert runs == len(bench.runs)
        bench.chain.now_s = 5_101
        await eventually(lambda: bench.told(ALICE, BOB))
    assert {1: "not supported", 2: "not supported"} == outcomes(bench, ALICE)[-1].missed


async def test_quotes_of_a_market_that_has_other_epochs_in_mid_window_are_missed_for_that() -> None:
    bench = Bench()
    bench.faults = {ALICE: "not now", BOB: "not now"}
    async with running(bench):
        await eventually(lambda: {ALICE, BOB} <= set(bench.runs))
        bench.tables.symbols = {2}
        windows = bench.tables.windows
        await eventually(lambda: bench.tables.windows >= windows + 3)
        bench.faults = {}
        await eventually(lambda: bench.told(ALICE, BOB))
        said = "its market has other funding epochs since this one began"
        assert ((), {1: said, 2: said}) == (outcomes(bench, ALICE)[-1].paid, outcomes(bench, ALICE)[-1].missed)
        # What the contract took before it knew the change is paid all the same.
        bench.chain.charged = {1}
        bench.chain.now_s = bench.chain.final_s = 5_200
        alice = await final(bench, ALICE)
    assert ((1,), {2: said}) == (alice.paid, alice.missed)


async def test_a_window_that_closed_while_the_node_was_down_is_missed_for_that() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.down = "no endpoint answers"
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        bench.chain.now_s, bench.chain.down = 6_500, None
        await eventually(lambda: any(isinstance(one, Missed) for one in bench.journal.records))
    (missed,) = [one for one in bench.journal.records if isinstance(one, Missed)]
    assert (6_000, "no pass was made: no endpoint answers") == (missed.epoch.pays_s, missed.reason)


async def test_the_first_window_of_all_is_missed_for_the_node_too() -> None:
    bench = Bench()
    bench.chain.now_s = 4_500
    async with running(bench):
        await eventually(lambda: bench.tables.windows >= 3)
        bench.chain.down = "no endpoint answers"
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        bench.chain.now_s, bench.chain.down = 5_500, None
        await eventually(lambda: bench.journal.told != [])
    said = "no pass was made: no endpoint answers"
    assert [Missed(Epoch(EPOCH_S, WINDOW_S, 5_000), 5_000, 5_100, PARTY_B, said)] == bench.journal.told


async def test_windows_of_a_kind_that_no_market_had_meanwhile_are_not_missed_when_one_has_it_again() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        kinds, bench.tables.kinds_now = bench.tables.kinds_now, set()
        bench.chain.now_s = 7_500
        windows = bench.tables.windows
        await eventually(lambda: bench.tables.windows >= windows + 3)
        bench.tables.kinds_now = kinds
        bench.chain.now_s = 8_500
        await eventually(lambda: any(isinstance(one, Missed) for one in bench.journal.records))
    assert [8_000] == [one.epoch.pays_s for one in bench.journal.records if isinstance(one, Missed)]


async def test_why_a_window_is_missed_is_known_to_who_comes_later() -> None:
    bench = Bench()
    bench.tables.refused = "the deployment is not supported since block 9: QuoteAdjusted"
    async with running(bench):
        await eventually(lambda: len(bench.journal.records) == 2)
    _, refused = bench.journal.records
    assert Refused(Epoch(EPOCH_S, WINDOW_S, 5_000), 5_000, 5_100, PARTY_B, bench.tables.refused) == refused
    bench.executor = bench.new()
    bench.executor.restore([refused])
    bench.chain.now_s = 5_101
    async with running(bench):
        await eventually(lambda: bench.journal.told != [])
    assert Missed(refused.epoch, 5_000, 5_100, PARTY_B, bench.tables.refused) == bench.journal.records[-1]
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    windows = bench.tables.windows
    async with running(bench):
        await eventually(lambda: bench.tables.windows >= windows + 3)
    assert 1 == len(bench.journal.told)


async def test_the_first_window_of_all_is_missed_too_if_nobody_came_back_before_it_closed() -> None:
    bench = Bench()
    bench.chain.now_s = 4_500
    async with running(bench):
        await eventually(lambda: bench.tables.windows >= 3)
    assert [Refused(Epoch(EPOCH_S, WINDOW_S, 5_000), 5_000, 5_100, PARTY_B, NOBODY)] == bench.journal.records
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.chain.now_s = 6_500
    async with running(bench):
        await eventually(lambda: len(bench.journal.told) == 2)
    assert [(5_000, NOBODY), (6_000, NOBODY)] == [
        (one.epoch.pays_s, one.reason) for one in bench.journal.told if isinstance(one, Missed)
    ]
