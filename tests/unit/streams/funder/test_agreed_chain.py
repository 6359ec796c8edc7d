"""Endpoints that differ about the chain: none decides alone what is for good, and none that hangs holds anything up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from models.symmio.funding_plan import LATE_S, Window
from streams.funder.agreed_chain import Head, Sight, Sights
from streams.funder.chain_errors import PATIENCE, NodeDown
from streams.funder.clocks import Times, times_of
from streams.node.answers import Receipt
from tests.support.told_endpoint import BEGAN_S, DIAMOND, TX, Told, chain_over
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from streams.funder.chain_view import Moment

WINDOW = Window(1_000, 2_000, 2_000, 2_100)

LIARS = {
    "a head that is six blocks too high": Told("#3", blocks=6),
    "a head that is a thousand blocks too high": Told("#3", blocks=1_000, clock_s=1_000),
    "a head that is old": Told("#3", blocks=-500, clock_s=-500),
    "a clock that is a day ahead": Told("#3", clock_s=86_400),
    "a clock that is a day behind": Told("#3", clock_s=-86_400),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("lie", LIARS)
def test_of_three_endpoints_no_one_decides_what_time_it_is_or_what_is_final_by(lie: str, place: int) -> None:
    async def told() -> tuple[int, int]:
        endpoints = [Told("#1"), Told("#2")]
        endpoints.insert(place, LIARS[lie])
        chain = chain_over(*endpoints)
        await asyncio.sleep(10)
        return await chain.agreed_time_s(), await chain.final_time_s(7)

    assert (1_011, 1_003) == run_in_no_time(told())


@pytest.mark.parametrize("lie", [lie for lie in LIARS if "high" in lie or "ahead" in lie])
@pytest.mark.parametrize("place", [0, 1])
def test_of_two_endpoints_none_that_is_ahead_closes_a_window_or_makes_anything_final(lie: str, place: int) -> None:
    async def told() -> tuple[int, int]:
        endpoints = [Told("#1")]
        endpoints.insert(place, LIARS[lie])
        chain = chain_over(*endpoints)
        await asyncio.sleep(10)
        return await chain.agreed_time_s(), await chain.final_time_s(7)

    now_s, final_s = run_in_no_time(told())
    # By the other one's numbers that block may be an earlier one.
    assert (1_011, True) == (now_s, final_s <= 1_003)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("clock_s", "ours_s", "agreed_s"),
    [
        # Windows are not late for one that is in step and behind, nor early for one that is ahead.
        (-700, BEGAN_S, 1_011),
        (700, BEGAN_S, 1_011),
        # Nor is a clock of ours believed that is near none of them, or near both.
        (-700, BEGAN_S + 86_400, 1_011 - 700),
        (-700, BEGAN_S - 3_600, 1_011 - 700),
        (-LATE_S - 60, BEGAN_S - LATE_S // 2, 1_011 - LATE_S - 60),
        # Within five minutes the earlier one counts, whatever ours is.
        (-LATE_S, BEGAN_S, 1_011 - LATE_S),
    ],
)
def test_of_two_clocks_that_are_far_apart_the_one_counts_that_is_near_ours(
    clock_s: int, ours_s: int, agreed_s: int, place: int
) -> None:
    async def told() -> tuple[int, int]:
        endpoints = [Told("#1")]
        endpoints.insert(place, Told("#2", clock_s=clock_s))
        chain = chain_over(*endpoints, ours_s=ours_s)
        await asyncio.sleep(10)
        return await chain.agreed_time_s(), (await chain.moment({})).now_s

    assert (agreed_s, agreed_s) == run_in_no_time(told())
    assert abs(clock_s) == REGISTRY.get_sample_value("tidemark_funding_clocks_apart_seconds", {"deployment": "main"})


@pytest.mark.parametrize("place", [0, 1])
def test_of_two_endpoints_the_one_that_stands_still_has_no_say_after_half_a_minute(place: int) -> None:
    async def told() -> list[int]:
        frozen = Told("#2")
        frozen.frozen_s = 0.0
        endpoints = [Told("#1")]
        endpoints.insert(place, frozen)
        chain = chain_over(*endpoints)
        found = []
        for _ in range(4):
            found.append(await chain.agreed_time_s())
            await asyncio.sleep(15)
        return found

    first, *_, last = run_in_no_time(told())
    assert (1_001, 1_046) == (first, last)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("stands_still", ["pending_s", "clock_stands_s"])
def test_of_two_endpoints_one_whose_clock_alone_stands_still_stops_no_time(stands_still: str, place: int) -> None:
    async def told() -> int:
        stale = Told("#2")
        setattr(stale, stands_still, BEGAN_S)
        endpoints = [Told("#1")]
        endpoints.insert(place, stale)
        chain = chain_over(*endpoints)
        for _ in range(30):
            await chain.agreed_time_s()
            await asyncio.sleep(10)
        return await chain.agreed_time_s()

    assert 1_300 <= run_in_no_time(told()) <= 1_301


def test_where_the_chain_stands_still_neither_of_two_endpoints_decides_alone_however_far_ahead_it_is() -> None:
    async def told() -> int:
        ahead, honest = Told("#1", blocks=400, clock_s=400), Told("#2")
        chain = chain_over(ahead, honest)
        ahead.frozen_s = honest.frozen_s = 0.0
        for _ in range(10):
            await chain.agreed_time_s()
            await asyncio.sleep(10)
        return await chain.agreed_time_s()

    assert 1_001 == run_in_no_time(told())


def test_a_leap_of_many_days_is_not_believed_of_one_clock_alone_and_is_of_two() -> None:
    async def told(*endpoints: Told) -> int:
        chain = chain_over(*endpoints)
        # While nothing is asked time goes on all the same.
        await chain.agreed_time_s()
        await asyncio.sleep(40 * 86_400)
        await chain.agreed_time_s()
        for one in endpoints:
            one.clock_s = 40 * 86_400
        return await chain.agreed_time_s()

    with pytest.raises(NodeDown, match="expected a time of within 7 days of"):
        run_in_no_time(told(Told("#1")))
    assert 1_001 + 80 * 86_400 == run_in_no_time(told(Told("#1"), Told("#2")))


def test_clocks_that_are_far_apart_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def told() -> None:
        chain = chain_over(Told("#1"), Told("#2", clock_s=LATE_S + 1))
        for _ in range(3):
            await chain.agreed_time_s()

    run_in_no_time(told())
    assert ["{'#1': 1001, '#2': 1302}"] == [one.getMessage().partition("times_s=")[2] for one in caplog.records]


def test_of_two_endpoints_one_that_is_silent_for_a_moment_does_not_leave_the_other_to_decide() -> None:
    async def told() -> list[tuple[int, int, bool]]:
        fast, honest = Told("#1", blocks=6, clock_s=400), Told("#2")
        chain = chain_over(fast, honest)
        await chain.agreed_time_s()
        honest.is_down = True
        found = []
        for _ in range(2):
            # The silent one is asked again, and its clock is reckoned on for a minute.
            await asyncio.sleep(40)
            sights = await chain.sights(DIAMOND, [])
            found.append((await chain.agreed_time_s(), await chain.final_time_s(7), sights.are_enough))
        return found

    (in_a_moment_s, final_s, are_enough), (after_a_minute_s, final_later_s, are_enough_later) = run_in_no_time(told())
    assert (True, 0, False) == (1_035 < in_a_moment_s < 1_060, final_s, are_enough)
    assert (True, True, True) == (after_a_minute_s > 1_400, final_later_s > 1_400, are_enough_later)


def test_a_chain_that_stands_still_at_all_endpoints_is_believed() -> None:
    async def told() -> int:
        endpoints = [Told("#1"), Told("#2"), Told("#3", blocks=1)]
        chain = chain_over(*endpoints)
        for one in endpoints:
            one.frozen_s = 5.0
        for _ in range(5):
            await chain.agreed_time_s()
            await asyncio.sleep(20)
        return await chain.agreed_time_s()

    assert 1_006 == run_in_no_time(told())


def test_an_endpoint_that_hangs_is_waited_for_once_and_then_left_out_for_a_while() -> None:
    async def told() -> tuple[list[float], int]:
        hanging = Told("#2")
        chain = chain_over(Told("#1"), hanging)
        await chain.agreed_time_s()
        hanging.hangs = True
        waits_s = []
        for _ in range(10):
            began_s = asyncio.get_running_loop().time()
            await chain.agreed_time_s()
            await chain.is_refused(DIAMOND, DIAMOND, b"")
            await chain.quotes_by_each([])
            await chain.sights(DIAMOND, [])
            waits_s.append(asyncio.get_running_loop().time() - began_s)
        return waits_s, hanging.asked

    waits_s, asked = run_in_no_time(told())
    assert (1, 1) == (asked, sum(wait_s > 0.5 for wait_s in waits_s))
    assert max(waits_s) < PATIENCE.answer_s


def test_a_stall_that_many_questions_meet_at_once_is_one_stall() -> None:
    async def told() -> list[int]:
        first, second = Told("#1"), Told("#2", clock_s=-9)
        chain = chain_over(first, second)
        await chain.agreed_time_s()
        first.hangs = second.hangs = True
        questions = [asyncio.create_task(chain.agreed_time_s()) for _ in range(8)]
        await asyncio.sleep(3)
        first.hangs = second.hangs = False
        await asyncio.gather(*questions, return_exceptions=True)
        await asyncio.sleep(4)
        asked = len((await chain.sights(DIAMOND, [])).told)
        return [asked]

    assert [2] == run_in_no_time(told())


@pytest.mark.parametrize("quotes", [0, 25, 300])
def test_an_endpoint_that_needs_long_for_many_quotes_or_receipts_tells_them_part_after_part(quotes: int) -> None:
    async def told() -> tuple[list[int], list[int]]:
        endpoints = [Told("#1"), Told("#2")]
        for one in endpoints:
            one.call_s, one.code = 0.05, "0x" + (bytes(31) + b"\x20" + bytes(32 * 32)).hex()
        chain = chain_over(*endpoints)
        found = [len(one) for one in await chain.quotes_by_each(range(quotes))]
        for one in endpoints:
            one.mines = True
        sights = await chain.sights(DIAMOND, [f"0x{number:064x}" for number in range(quotes)])
        return found, [len(one.receipts) for one in sights.told]

    assert ([quotes] * 2, [quotes] * 2) == run_in_no_time(told())


def test_a_transaction_that_one_endpoint_takes_waits_for_no_other_one_that_hangs() -> None:
    async def told() -> tuple[str | None, float]:
        hanging = Told("#1")
        hanging.hangs = True
        refusal = await chain_over(hanging, Told("#2")).send("0x02")
        return refusal, asyncio.get_running_loop().time()

    refusal, after_s = run_in_no_time(told())
    assert (None, True) == (refusal, after_s < 1)


def test_what_no_endpoint_takes_is_told_once_all_have_had_their_time() -> None:
    async def told() -> str | None:
        hanging = Told("#1")
        hanging.hangs = True
        return await chain_over(hanging).send("0x02")

    assert "#1: no answer" == run_in_no_time(told())


def test_nobody_answers_where_all_hang() -> None:
    async def told() -> None:
        hanging = Told("#1")
        hanging.hangs = True
        with pytest.raises(NodeDown, match="no answer in"):
            await chain_over(hanging).agreed_time_s()

    run_in_no_time(told())


def test_a_single_endpoint_that_fails_for_a_moment_is_asked_again() -> None:
    async def told() -> int:
        one = Told("#1")
        one.is_down = True

        async def come_back() -> None:
            await asyncio.sleep(8)
            one.is_down = False

        coming = asyncio.create_task(come_back())
        found = await chain_over(one).agreed_time_s()
        await coming
        return found

    assert 1_009 <= run_in_no_time(told()) <= 1_012


def test_whether_a_contract_is_there_is_known_at_once_where_enough_endpoints_answer_and_else_not_believed() -> None:
    async def told(*, is_down: bool, has_code: bool) -> tuple[bool | None, bool]:
        endpoints = Told("#1"), Told("#2")
        endpoints[0].code = endpoints[1].code = "0x60" if has_code else "0x"
        endpoints[1].is_down = is_down
        found = await chain_over(*endpoints).is_deployed(DIAMOND)
        return found, asyncio.get_running_loop().time() < PATIENCE.answer_s

    assert (False, True) == run_in_no_time(told(is_down=False, has_code=False))
    assert (None, True) == run_in_no_time(told(is_down=True, has_code=False))
    assert (True, True) == run_in_no_time(told(is_down=False, has_code=True))
    assert (None, True) == run_in_no_time(told(is_down=True, has_code=True))


@pytest.mark.parametrize("endpoints", [2, 3])
def test_at_start_no_endpoint_that_answers_alone_decides_for_a_minute(endpoints: int) -> None:
    async def told() -> list[object]:
        alone, *hanging = (Told(f"#{number}") for number in range(endpoints))
        for one in hanging:
            one.hangs = True
        chain = chain_over(alone, *hanging)
        with pytest.raises(NodeDown, match="expected 2 endpoints to tell the time, found #0 alone"):
            await chain.agreed_time_s()
        # What is only shown needs no second one.
        assert await chain.shown_time_s() > BEGAN_S
        found: list[object] = [(await chain.sights(DIAMOND, [])).are_enough]
        await asyncio.sleep(60)
        return [*found, await chain.agreed_time_s() > BEGAN_S, (await chain.sights(DIAMOND, [])).are_enough]

    assert [False, True, True] == run_in_no_time(told())


def test_an_endpoint_that_answers_alone_for_a_moment_refuses_no_call_and_changes_no_market() -> None:
    async def told() -> tuple[bool, Moment, bool, Moment]:
        first, second = Told("#1"), Told("#2")
        first.code = second.code = market(7, 3_600, 600)
        chain = chain_over(first, second)
        await chain.agreed_time_s()
        second.hangs = first.refuses = True
        refused = await chain.is_refused(DIAMOND, DIAMOND, b"")
        first.refuses = False
        first.code = market(7, 1_800, 600)
        moment = await chain.moment({7: (3_600, 600)})
        second.hangs = False
        second.code = first.code
        await asyncio.sleep(20)
        first.refuses = second.refuses = True
        refused_later = await chain.is_refused(DIAMOND, DIAMOND, b"")
        first.refuses = second.refuses = False
        return refused, moment, refused_later, await chain.moment({7: (3_600, 600)})

    refused, moment, refused_later, later = run_in_no_time(told())
    assert (False, frozenset(), frozenset({7})) == (refused, moment.changed, moment.unsure)
    assert (True, frozenset({7}), frozenset()) == (refused_later, later.changed, later.unsure)


def market(symbol_id: int, epoch_s: int, window_s: int) -> str:
    numbers = [0, 0, 0, symbol_id, 0, 0, 0, 0, 0, 0, epoch_s, window_s]
    return "0x" + b"".join(number.to_bytes(32) for number in numbers).hex()


@pytest.mark.parametrize(("refusing", "refused"), [(1, False), (2, True), (3, True)])
def test_a_call_is_refused_where_two_endpoints_say_so(refusing: int, refused: bool) -> None:  # noqa: FBT001 - a case
    async def told() -> bool:
        endpoints = [Told(f"#{number}") for number in range(3)]
        for one in endpoints[:refusing]:
            one.refuses = True
        return await chain_over(*endpoints).is_refused(DIAMOND, DIAMOND, b"")

    assert refused == run_in_no_time(told())


def test_a_call_that_one_of_two_endpoints_takes_is_not_refused() -> None:
    async def told(*refusing: bool) -> bool:
        endpoints = [Told(f"#{number}") for number in range(len(refusing))]
        for one, refuses in zip(endpoints, refusing, strict=True):
            one.refuses = refuses
        return await chain_over(*endpoints).is_refused(DIAMOND, DIAMOND, b"")

    assert [False, True, True] == [run_in_no_time(told(*told_by)) for told_by in ((True, False), (True, True), (True,))]


@pytest.mark.parametrize(
    ("told", "times", "are_within"),
    [
        ([2_050], Times(2_050, 2_050, 2_050), True),
        ([2_050, 2_101], Times(2_050, 2_050, 2_101), False),
        ([1_999, 2_050], Times(1_999, 1_999, 2_050), False),
        ([9_000, 2_050, 2_060], Times(2_060, 2_060, 2_060), True),
        ([5, 2_050, 2_060], Times(2_050, 2_050, 2_050), True),
        ([2_101, 2_102, 2_050], Times(2_101, 2_101, 2_101), False),
    ],
)
def test_a_window_is_open_for_sure_where_all_but_one_of_three_clocks_say_so_and_both_of_two(
    told: list[int],
    times: Times,
    are_within: bool,  # noqa: FBT001 - a case of the table above
) -> None:
    assert (times, are_within) == (times_of(told), times_of(told).are_within(WINDOW))


def receipt(block: int, block_hash: str) -> Receipt:
    return Receipt(TX, block, block_hash, succeeded=True, gas_used=21_000)


def test_the_receipt_is_that_of_two_endpoints_or_whatever_there_is() -> None:
    here, there = receipt(10, "0x0a"), receipt(11, "0x0b")

    def found(*receipts: Receipt | None) -> Receipt | None:
        return Sights([Sight(Head(20, 1), {} if one is None else {TX: one}) for one in receipts]).receipt([TX])

    assert [here, here, here] == [found(there, here, here), found(here, None, here), found(None, here)]
    assert [None, None] == [found(None, here, None), found(None)]


def test_whether_it_succeeded_and_what_it_cost_is_what_two_endpoints_say() -> None:
    told = receipt(10, "0x0a")._replace(cost_wei=500)
    reverted, cheap = told._replace(succeeded=False), told._replace(cost_wei=5)
    unclear = told._replace(succeeded=None, cost_wei=None)

    def sights(*receipts: Receipt) -> Sights:
        return Sights([Sight(Head(20, 1), {TX: one}) for one in receipts])

    for liar in (reverted, cheap):
        assert told == sights(liar, told, told).receipt([TX])
        assert [True, False] == [sights(liar, told, told).are_deep(one, 5) for one in (told, liar)]
        # Of two that differ, nothing is final.
        assert [False, False] == [sights(liar, told).are_deep(one, 5) for one in (told, liar)]
    # One that does not say it contradicts nobody.
    assert (told, True) == (sights(unclear, told).receipt([TX]), sights(unclear, told).are_deep(told, 5))


@pytest.mark.parametrize(
    ("heads", "is_deep"), [((20, 20), True), ((20, 14), False), ((99, 20, 14), True), ((15,), True)]
)
def test_a_block_is_deep_where_two_endpoints_have_it_as_deep(heads: tuple[int, ...], is_deep: bool) -> None:  # noqa: FBT001
    one = receipt(10, "0x0a")
    assert is_deep == Sights([Sight(Head(head, 1), {TX: one}) for head in heads]).are_deep(one, 5)
