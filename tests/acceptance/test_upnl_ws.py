"""The api as an operator runs it, a process of its own on a real broker, and a plain websocket client."""

from __future__ import annotations

import asyncio
import random
import signal
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

from models.engine.tables import DEPLOYMENTS, VALUATIONS
from models.prices import UsedMark
from models.symmio.account import AccountRow
from models.symmio.state import (
    NOTHING,
    AccountState,
    Balances,
    Locked,
    OrderType,
    PositionType,
    Quote,
    QuoteStatus,
)
from models.symmio.valuation import value_account
from streams.kafka.topics import create_topics, registry
from streams.settings import ApiSettings, Settings, SymmioSettings
from tests.support.changelog import changelogs
from tests.support.eventually import eventually
from tests.support.feed import deployment_body
from tests.support.pipeline import free_port
from tests.support.server import answers, api_process

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNTS = 40
BLOCK_TIME_S = 1_745_970_600


class Holding(NamedTuple):
    """One position, and the mark of its market (a market of its own); integers scaled by 1e18."""

    is_long: bool
    quantity: int
    closed: int
    opened_price: int
    mark: int
    mark_event_ms: int


class Account(NamedTuple):
    allocated: int
    locked: Locked
    holdings: tuple[Holding, ...]


def account_at_random(chance: random.Random) -> Account:
    holdings = tuple(
        Holding(
            is_long=chance.random() < 0.5,
            quantity=chance.randint(10**20, 10**22),
            closed=chance.randint(0, 10**20),
            opened_price=chance.randint(1, 10**23),
            mark=chance.randint(1, 10**23),
            mark_event_ms=chance.randint(1_745_970_000_000, 1_745_970_900_000),
        )
        for _ in range(chance.randint(0, 6))
    )
    return Account(chance.randint(0, 10**24), Locked(*(chance.randint(0, 10**21) for _ in range(4))), holdings)


def row_of(account: Account) -> dict[str, Any]:
    """The row a worker writes for the account."""
    quotes = {
        number: Quote(
            quote_id=number,
            symbol_id=number,
            position_type=PositionType.LONG if holding.is_long else PositionType.SHORT,
            order_type=OrderType.MARKET,
            status=QuoteStatus.OPENED,
            party_b="0x" + "b" * 40,
            whitelist=(),
            requested_open_price=holding.opened_price,
            market_price=0,
            opened_price=holding.opened_price,
            initial_opened_price=holding.opened_price,
            quantity=holding.quantity,
            closed_amount=holding.closed,
            avg_closed_price=0,
            avg_closed_known=True,
            requested_close_price=0,
            quantity_to_close=0,
            locked=NOTHING,
            initial_locked=NOTHING,
            trading_fee=0,
            deadline_s=0,
            parent_id=0,
            max_funding_rate=None,
            terminal_block=None,
        )
        for number, holding in enumerate(account.holdings)
    }
    state = AccountState(balances=Balances(account.allocated, account.locked), quotes=quotes)
    row = AccountRow(applied=(5, 0), version=1, block=118, time_s=BLOCK_TIME_S, state=state)

    def mark_of(symbol_id: int) -> UsedMark:
        holding = account.holdings[symbol_id]
        return UsedMark(f"venue:{symbol_id}", holding.mark, holding.mark_event_ms, 1, stale=False)

    return value_account(row.holding, 1, mark_of, unsupported=False).body


def truncated(exact: Decimal) -> Decimal:
    """Cut after the 18th decimal, toward zero, as the contract does for each quote."""
    return exact.quantize(Decimal(1).scaleb(-18), rounding=ROUND_DOWN)


def expected_of(account: Account) -> dict[str, Any]:
    """The figures in units, by decimal arithmetic that shares nothing with the product's."""
    upnl = notional = Decimal(0)
    for holding in account.holdings:
        quantity, opened, mark = (
            Decimal(e18).scaleb(-18) for e18 in (holding.quantity - holding.closed, holding.opened_price, holding.mark)
        )
        upnl += truncated((mark - opened) * quantity * (1 if holding.is_long else -1))
        notional += truncated(mark * quantity)
    allocated, cva, lf = (
        Decimal(e18).scaleb(-18) for e18 in (account.allocated, account.locked.cva, account.locked.lf)
    )
    oldest_ms = min((holding.mark_event_ms for holding in account.holdings), default=BLOCK_TIME_S * 1000)
    return {
        "upnl": upnl,
        "notional": notional,
        "available_balance": allocated + upnl - cva - lf,
        "allocated_balance": allocated,
        "cva": cva,
        "lf": lf,
        "timestamp": oldest_ms // 1000,
    }


def read_frame(frame: dict[str, Any]) -> dict[str, Any]:
    money = ("upnl", "notional", "available_balance", "allocated_balance", "cva", "lf")
    return {**{name: Decimal(frame[name]) for name in money}, "timestamp": frame["timestamp"]}


async def test_the_wire_says_what_follows_from_positions_and_marks_and_survives_a_kill(
    settings: Callable[..., Settings],
) -> None:
    own = settings(
        deployments={"main": SymmioSettings(chain_id=1, diamond="0x" + "d" * 40)},
        api=ApiSettings(port=free_port(), admin_port=free_port()),
    )
    chance = random.Random(7)
    accounts = {f"0x{chance.getrandbits(160):040x}": account_at_random(chance) for _ in range(ACCOUNTS)}
    await create_topics(own.bootstrap, registry(own))
    async with changelogs(own) as rows:
        await rows.put(DEPLOYMENTS, "main", 1, deployment_body())
        for address, account in accounts.items():
            await rows.put(VALUATIONS, f"main:{address}", 1, row_of(account))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{own.api.port}") as client:
        async with api_process(own) as killed:
            await eventually(lambda: answers(client, "/readyz", 200), timeout_s=30)
            first = await frames_of(client, accounts)
            killed.send_signal(signal.SIGKILL)
            await killed.wait()
        async with api_process(own) as stopped:
            await eventually(lambda: answers(client, "/readyz", 200), timeout_s=30)
            second = await frames_of(client, accounts)
            stopped.terminate()
            assert 0 == await asyncio.wait_for(stopped.wait(), 5)

    with localcontext(prec=80):
        expected = {address: expected_of(account) for address, account in accounts.items()}
    assert expected == {address: read_frame(frame) for address, frame in first.items()}
    assert first == second


async def frames_of(client: aiohttp.ClientSession, accounts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each account's first frame."""
    frames = {}
    async with client.ws_connect("/ws/upnl-ws") as socket:
        for address in accounts:
            await socket.send_str(address)
            frames[address] = await socket.receive_json(timeout=20)
    return frames
