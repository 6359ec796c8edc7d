"""What the executor charges, and what it does not: one executor, in the test's own process."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from models.money import E18
from models.symmio.funding_plan import Charge
from models.symmio.funding_records import Epoch, Missed, share_bps
from streams.funder.dry_run import plan
from streams.funder.epoch_replay import replay
from streams.funder.funder_process import run
from streams.funder.funding_journal import opened_journal, read_journal
from streams.kafka.fenced_writer import Fenced
from streams.process.clock import SystemClock
from tests.evm.funder import start_funder
from tests.evm.market import EPOCH_S, GENEROUS, HOUR_S, NAME, WINDOW_S, Opened, account, next_window_s, scene
from tests.support.eventually import eventually
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streams.settings import Settings
    from tests.evm.market import Scene

YES, NO = True, False
LONG, SHORT = 0, 1
GWEI = 10**9


def quote(number: int, side: int = LONG, *, opened: int = 100 * E18, most: int = GENEROUS) -> Opened:
    return Opened(account(number), 1, side, 10 * E18, opened, most)


@asynccontextmanager
async def funder(one: Scene) -> AsyncIterator[asyncio.Task[None]]:
    """An executor, for as long as the block lasts."""
    task = asyncio.create_task(run(one.settings, NAME, SystemClock(), lease_ttl_ms=10_000))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def done(one: Scene, accounts: int) -> None:
    async def all_told() -> bool:
        return len(await one.outcomes()) == accounts

    await eventually(all_told, timeout_s=30)


async def test_long_pays_on_the_mark_and_short_gets_its_share_once_a_pause_is_over(
    settings: Callable[..., Settings],
) -> None:
    async with scene(settings, party_b="key") as one:
        await one.open([quote(0, LONG), quote(0, SHORT), quote(1, most=0)])
        await one.diamond.send("setPaused", YES)
        await one.chain.mine_every(1)
        await one.chain.go_to(await next_window_s(one.chain) + 1)

        async with funder(one):
            await eventually(lambda: one.gateway.signed_for.total() >= 2)
            await one.diamond.send("setPaused", NO)
            await done(one, 2)

        # 0.0002 an 8 h interval is 0.0001 an epoch, of a mark of 110 for 10 bought at 100; the short gets 0.75 of it.
        prices = await one.contract_prices()
        assert {1: 100_011 * E18 // 1_000, 2: 10_000_825 * E18 // 100_000, 3: 100 * E18} == prices
        assert prices == await one.folded_prices()
        outcomes = await one.outcomes()
        assert ((1, 2), {}) == (outcomes[account(0)].paid, outcomes[account(0)].culprits)
        assert ((), (3,), {3: ("0", str(11 * E18 // 100_000))}) == (
            outcomes[account(1)].paid,
            outcomes[account(1)].free,
            outcomes[account(1)].clipped,
        )


async def test_what_an_account_cannot_bear_is_missed_and_never_charged_later(settings: Callable[..., Settings]) -> None:
    async with scene(settings, party_b="contract") as one:
        await one.open([quote(0), quote(1), quote(2, SHORT), quote(3), quote(3)])
        funds = 10**6 * E18
        one.gateway.upnl = {account(0): (E18 - funds, 0), account(2): (0, -funds)}
        await one.diamond.send("setLiquidated", account(1), YES)
        pays_s = await next_window_s(one.chain)
        await one.chain.mine_every(1)
        await one.chain.go_to(pays_s + 1)

        async with funder(one):
            await done(one, 1)
            await one.chain.go_to(pays_s + WINDOW_S - 20)
            # Whoever had a signature at hand then asks for another one, which is new enough at the window's end.
            before = one.gateway.signed_for.copy()
            await eventually(
                lambda: all(one.gateway.signed_for[who] >= before[who] + 2 for who in (account(0), account(2))), 60
            )
            await one.chain.go_to(pays_s + WINDOW_S + 1)
            one.gateway.upnl = {}
            await one.diamond.send("setLiquidated", account(1), NO)
            await done(one, 4)
        await one.chain.go_to(pays_s + EPOCH_S + WINDOW_S + 1)
        async with funder(one):

            async def is_told() -> bool:
                return [(EPOCH_S, WINDOW_S, pays_s + EPOCH_S)] == [missed.epoch for missed in await one.missed()]

            await eventually(is_told)

        outcomes = await one.outcomes()
        reasons = {quote_id: said for told in outcomes.values() for quote_id, said in told.missed.items()}
        assert {
            1: "party A would be insolvent, by 110000000000000000 e-18",
            2: "the account is under liquidation",
            3: "party B would be insolvent, by 82500000000000000 e-18",
        } == reasons
        assert [4, 5] == [quote_id for told in outcomes.values() for quote_id in told.paid]
        assert [0, 0, 0, 1, 1] == [await one.diamond.number("charges", quote_id) for quote_id in range(1, 6)]


async def test_a_silent_feed_and_a_worker_that_is_down_when_the_window_opens_cost_no_quote_its_epoch(
    settings: Callable[..., Settings],
) -> None:
    async with scene(settings, party_b="key") as one:
        await one.open([quote(0, LONG), quote(0, SHORT), quote(1)])
        pays_s = await next_window_s(one.chain)
        await one.fold_until(pays_s - 60)
        one.venue.silent = range(pays_s - 7, pays_s + 6)
        await one.chain.go_to(pays_s + 1)
        await eventually(lambda: one.venue.said_s > pays_s)
        async with funder(one):
            await eventually(lambda: one.venue.said_s >= pays_s + 3)
        assert not await one.frozen()
        one.venue.marks["AAAUSDT"] = (500 * E18, E18 // 10)
        await one.chain.go_to(pays_s + WINDOW_S // 4 + 1)
        async with funder(one):
            await done(one, 2)

        # As in the test above: at the mark and the rate of eight seconds before the epoch.
        prices = await one.contract_prices()
        assert {1: 100_011 * E18 // 1_000, 2: 10_000_825 * E18 // 100_000, 3: 100_011 * E18 // 1_000} == prices
        market = (await one.frozen())[-1].markets[1]
        assert market.mark_tick is not None
        assert (market.mark_tick, (pays_s - 8) * 1_000) == (market.rate_tick, market.mark_tick.event_ms)
        (replayed,) = await replay(one.settings, NAME, SystemClock(), pays_s)
        assert ({1: market}, False) == ({1: replayed.markets[1]}, replayed.differs(1))


async def test_what_waits_is_sent_with_higher_fees_and_taken_back_when_the_window_closes(
    settings: Callable[..., Settings],
) -> None:
    async with scene(settings, party_b="key", replace_after_s=0.1) as one:
        await one.open([quote(0)])
        # Blocks come when the test says so, which may be late: no signature is to expire meanwhile.
        await one.diamond.send("setValidFor", HOUR_S)
        pays_s = await next_window_s(one.chain)
        await one.chain.go_to(pays_s + 1)
        await one.chain.ask("evm_setAutomine", NO)

        async with funder(one):

            async def is_sent() -> bool:
                return any(sent.hashes for sent in await one.sent())

            async def is_replaced() -> bool:
                return any(len(sent.hashes) > 1 for sent in await one.sent())

            await eventually(is_sent)
            # A block that it is too cheap for passes it over.
            await one.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(10 * GWEI))
            await one.chain.ask("evm_mine")
            await eventually(is_replaced)

            async def is_charged() -> bool:
                # A replacement of before that block is too cheap as well, and passed over by the next one, too.
                await one.chain.ask("evm_mine")
                return len(await one.charges()) == 1

            await eventually(is_charged)
            await done(one, 1)
            assert 1 == len(await one.charges())

            await one.chain.go_to(pays_s + EPOCH_S + 1)

            async def is_sent_again() -> bool:
                return len(await one.frozen()) == 2 and any(sent.state == "sent" for sent in await one.sent())

            await eventually(is_sent_again)
            await one.chain.ask("evm_increaseTime", WINDOW_S)

            async def is_taken_back() -> bool:
                return any(sent.cancels for sent in await one.sent())

            await eventually(is_taken_back)
            await one.chain.ask("evm_mine")

            async def is_missed() -> bool:
                return {1: "its turn did not come before the window closed"} == (await one.outcomes())[
                    account(0)
                ].missed

            await eventually(is_missed)
            assert 1 == len(await one.charges())


async def test_what_leaves_the_chain_with_its_block_is_charged_again(settings: Callable[..., Settings]) -> None:
    async with scene(settings, party_b="contract", batch=1) as one:
        await one.open([quote(0), quote(0, SHORT)])
        await one.chain.go_to(await next_window_s(one.chain) + 1)

        async with funder(one):
            await done(one, 1)
            await one.chain.ask("anvil_reorg", 2, [])

            async def are_charged() -> bool:
                return [1, 1] == [await one.diamond.number("charges", quote_id) for quote_id in (1, 2)]

            await eventually(are_charged)

        assert 2 == len(await one.charges())
        assert await one.contract_prices() == await one.folded_prices()


async def test_before_the_epoch_where_that_is_set_and_as_the_plan_said(settings: Callable[..., Settings]) -> None:
    async with scene(settings, party_b="key", when="before", charge_on="opened", batch=1, coin_price=3_000) as one:
        await one.open([quote(0), quote(0, SHORT, most=10)])
        pays_s = await next_window_s(one.chain)
        (planned,) = await plan(one.settings, NAME, SystemClock())
        # The chain's time goes on with the clock: whatever the machine, there is time to charge until the epoch begins.
        await one.chain.mine_every(1)
        await one.chain.go_to(pays_s - WINDOW_S + 10)

        async with funder(one):
            await done(one, 1)
            await one.chain.go_to(pays_s + 1)
            # Rates of the interval that the next epoch pays for are said from now on.
            await eventually(lambda: one.venue.said_s > pays_s)

        rate, gets = E18 // 10_000, -E18 * 3 // 40_000
        assert {account(0): [(1, Charge(1, rate, rate)), (2, Charge(2, -10, gets))]} == planned.charges
        assert (EPOCH_S, WINDOW_S, pays_s) == planned.frozen.epoch
        # Until a charge is on record nobody knows what gas one takes.
        assert (2, E18 // 10 + 10_000, None, None) == planned.fees
        (planned,) = await plan(one.settings, NAME, SystemClock())
        assert planned.fees.cost_wei is not None
        assert share_bps(planned.fees.cost_wei, 3_000 * E18, planned.fees.moved_e18) == planned.fees.share
        mined = [sent for sent in await one.sent() if sent.gas_used]
        assert sum(sent.gas_used or 0 for sent in mined) <= planned.fees.cost_wei
        assert (1, 2) == (await one.outcomes())[account(0)].paid
        prices = {1: 100 * E18 + 100 * rate, 2: 100 * E18 + 1_000}
        assert prices == await one.contract_prices()
        assert 2 == len(await one.charges())


async def test_a_journal_takes_nothing_more_once_another_one_has_begun(settings: Callable[..., Settings]) -> None:
    one = settings(topics={"partitions": 2})
    await create_all(one)
    missed = [Missed(Epoch(EPOCH_S, WINDOW_S, pays_s), pays_s, pays_s + WINDOW_S) for pays_s in (0, EPOCH_S)]
    async with AsyncExitStack() as stack:
        journals, writing = [], []
        for record in missed:
            journal = await stack.enter_async_context(opened_journal(one, NAME, SystemClock()))
            journals.append(journal)
            writing.append(asyncio.create_task(journal.run()))
            stack.callback(writing[-1].cancel)
            await journal.write([record])
        with pytest.raises(Fenced, match="another one has started"):
            await journals[0].write([missed[0]])
        with pytest.raises(Fenced):
            await writing[0]
        found = [record async for record in read_journal(one, NAME, 0)]
        # Records of two keys may lie on two partitions, which are read in any order.
        told = sorted((record for record in found if isinstance(record, Missed)), key=lambda record: record.epoch)
        assert missed == told


async def test_who_was_paused_and_replaced_ends(settings: Callable[..., Settings], tmp_path: Path) -> None:
    async with scene(settings, party_b="key") as one:
        await one.open([quote(0)])
        first = start_funder(one.settings, NAME, tmp_path)
        try:
            await eventually(lambda: first.is_ready, timeout_s=30)
            second = start_funder(one.settings, NAME, tmp_path)
            try:
                first.signal(signal.SIGSTOP)
                await eventually(lambda: second.is_ready, timeout_s=30)
                first.signal(signal.SIGCONT)
                await eventually(lambda: first.code is not None, timeout_s=60)
                await one.chain.mine_every(1)
                await one.chain.go_to(await next_window_s(one.chain) + 1)
                await done(one, 1)
            finally:
                await second.kill()
        finally:
            await first.kill()
        assert "another one" in first.log.read_text()
        assert 1 == len(await one.charges())
