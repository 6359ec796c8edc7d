"""The contract of our own refuses what a Diamond refuses: a test that passes on it means something."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from models.money import E18
from models.symmio.funding_plan import Charge
from streams.funder.chain_view import Chain
from streams.funder.data_fees import ORACLE, DataFees
from streams.funder.diamond_calls import charge_data
from streams.node.endpoints import Node
from streams.node.rpc import HttpEndpoint
from streams.process.clock import SystemClock
from tests.evm.anvil import CHAIN_ID, running_anvil
from tests.evm.market import EPOCH_S, GENEROUS, WINDOW_S, Opened, account, next_window_s, scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from streams.settings import Settings
    from tests.evm.market import Scene

YES, NO = True, False
ALICE, BOB = account(0), account(1)
RATE = E18 // 1_000
OPENED = 4


@asynccontextmanager
async def chain_of(one: Scene) -> AsyncIterator[Chain]:
    async with aiohttp.ClientSession() as session:
        node = Node("main", [HttpEndpoint(session, one.chain.url, "#1")], CHAIN_ID)
        yield Chain(node, one.diamond.address, SystemClock())


async def refusal(one: Scene, *charges: Charge, party_a: str = ALICE, sender: str = "", wait_s: int = 0) -> str | None:
    """Why the contract would refuse these charges, signed for as things stand and sent so much later."""
    async with chain_of(one) as node:
        signature = await one.gateway.sign(party_a, one.party_b)
        if wait_s:
            await one.chain.go_to(await one.chain.time_s("pending") + wait_s)
        data = charge_data(party_a, charges, signature)
        return await node.refusal(sender or one.party_b, one.diamond.address, data)


def charge(quote_id: int, rate: int = RATE) -> Charge:
    return Charge(quote_id, rate, rate)


async def test_every_condition_is_checked(settings: Callable[..., Settings]) -> None:
    async with scene(settings, party_b="key") as one:
        await one.open([Opened(who, 1, 0, 10 * E18, 100 * E18, GENEROUS) for who in (ALICE, ALICE, BOB)])
        pays_s = await next_window_s(one.chain) + EPOCH_S

        await one.chain.go_to(pays_s - EPOCH_S + WINDOW_S + 1)
        assert "outside of the window" == await refusal(one, charge(1))
        await one.chain.go_to(pays_s - WINDOW_S - 10)
        assert "outside of the window" == await refusal(one, charge(1))
        await one.chain.go_to(pays_s - WINDOW_S)
        assert await refusal(one, charge(1)) is None
        await one.chain.go_to(pays_s + 1)
        assert await refusal(one, charge(1), charge(2, -RATE)) is None

        assert "one rate a quote" == await refusal(one)
        assert "not a quote of the pair" == await refusal(one, charge(1), charge(3))
        assert "the signature is not of this state" == await refusal(one, charge(1), sender=BOB)
        assert "the rate is above the quote's maximum" == await refusal(one, charge(1, -GENEROUS - 1))
        assert "the epoch is paid" == await refusal(one, charge(1), charge(1))
        assert "the signature has expired" == await refusal(one, charge(1), wait_s=62)

        for function, value, back, reason in (
            ("setLiquidated", (ALICE, YES), (ALICE, NO), "party A is under liquidation"),
            ("setPaused", (YES,), (NO,), "Pausable: party B's actions are paused"),
            ("setStatus", (1, OPENED + 3), (1, OPENED), "the quote is not open"),
        ):
            await one.diamond.send(function, *value)
            assert reason == await refusal(one, charge(1))
            await one.diamond.send(function, *back)

        # 10^6 allocated, 1 of party A's locked; 1 is paid for the ten bought at 100.
        edges: tuple[tuple[tuple[int, int], int, str | None], ...] = (
            ((2 * E18 - 10**24 - 1, 0), RATE, "party A would be insolvent"),
            ((2 * E18 - 10**24, 0), RATE, None),
            ((0, E18 - 10**24 - 1), -RATE, "party B would be insolvent"),
            ((0, E18 - 10**24), -RATE, None),
        )
        for upnl, rate, expected in edges:
            one.gateway.upnl = {ALICE: upnl}
            assert expected == await refusal(one, charge(1, rate))


async def test_a_charge_moves_the_nonces_that_its_signature_covers(settings: Callable[..., Settings]) -> None:
    async with scene(settings, party_b="key") as one:
        await one.open([Opened(ALICE, 1, 0, 10 * E18, 100 * E18, GENEROUS)] * 2)
        await one.chain.go_to(await next_window_s(one.chain) + 1)
        signature = await one.gateway.sign(ALICE, one.party_b)
        async with chain_of(one) as node:
            assert (0, 0) == await node.nonces(ALICE, one.party_b)
            await one.diamond.send("act", one.party_b, ALICE)
            assert (1, 1) == await node.nonces(ALICE, one.party_b)
            data = charge_data(ALICE, [charge(1)], signature)
            assert "the signature is not of this state" == await node.refusal(one.party_b, one.diamond.address, data)


async def test_what_a_chain_takes_for_data_is_asked_of_its_oracle_where_there_is_one() -> None:
    async with running_anvil() as chain, aiohttp.ClientSession() as session:
        node = Chain(Node("main", [HttpEndpoint(session, chain.url, "#1")], CHAIN_ID), ORACLE, SystemClock())
        assert 0 == await DataFees(node).bound_wei(b"\x01" * 100, 50_000)
        oracle = await chain.deploy("GasOracle", [], [])
        await chain.ask("anvil_setCode", ORACLE, await chain.ask("eth_getCode", oracle.address, "latest"))
        # 1,000 wei a byte of 100 and of an envelope of 200, twice; of an operator's fee it knows nothing.
        assert 600_000 == await DataFees(node).bound_wei(b"\x01" * 100, 50_000)
