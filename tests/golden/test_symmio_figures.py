"""The solver's figures over HTTP are, to the last digit, those worked out from what the contract's views answer."""

from __future__ import annotations

import operator
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from api.tables.deployment_totals import Totals
from models.account_events import AccountCheckpoint
from models.chain_records import Checkpoint, PartyBView, QuoteView
from models.codec import encode_row
from models.engine.board import PriceSource, choose_mark
from models.money import E18
from models.prices import Mark, encode_mark
from models.subtotals import Subtotals
from models.symmio.account import AccountRow, advance, encode_account
from models.symmio.holding import decode_holding
from models.symmio.valuation import value_account
from models.valuations import with_last_complete
from streams.settings import ApiLimitSettings, ApiSettings
from tests.support.api import serving
from tests.support.contract_views import RecordedViews
from tests.support.eth_figures import PENDING, ZERO, EthQuote, EthWorld
from tests.support.feed import FakeTables
from tests.support.recording import GOLDEN_LOGS, SECOND_LOGS, read_json, recorded_blocks
from tests.support.solver import MULTI_ACCOUNT, NOW_MS, OTHER_MULTI_ACCOUNT, SOURCE, put_market, solver_settings
from tests.support.symmio import Chain, Partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from models.prices import UsedMark
    from streams.settings import Settings

RECORDING, SECOND_RECORDING = GOLDEN_LOGS.parent, SECOND_LOGS.parent
RECORDED_NAMES = {1: "BTCUSDT", 2: "ETHUSDT", 3: "XRPUSDT", 4: "SOLUSDT"}
_MAX_AGE_MS = 5_000
_SNAPSHOTS = 12


def tables_of(
    rows: Mapping[str, AccountRow], names: Mapping[int, str], marks: Mapping[str, tuple[int, int]]
) -> FakeTables:
    """What the api reads once a worker has valued the accounts: ``marks`` are price and age in ms by name."""
    tables = FakeTables("main")
    for symbol_id, name in names.items():
        put_market(tables, symbol_id, name)
    made = {
        name: Mark(price_e18, None, None, None, NOW_MS - age_ms, NOW_MS - age_ms, 7)
        for name, (price_e18, age_ms) in marks.items()
    }
    for name, mark in made.items():
        tables.marks.put(f"{SOURCE}:{name}", 1, encode_mark(mark))

    def mark_of(symbol_id: int) -> UsedMark | None:
        name = names[symbol_id]
        return choose_mark([(PriceSource(f"{SOURCE}:{name}".encode(), _MAX_AGE_MS), made.get(name))], NOW_MS)

    sums = Subtotals()
    for address, row in rows.items():
        holding = decode_holding(encode_row(3, row.version, encode_account(row)), row.version)
        body = with_last_complete(None, value_account(holding, 3, mark_of, unsupported=False).body)
        tables.valuations.put(f"main:{address}", 1, body)
        sums.put("main", None, orjson.loads(orjson.dumps(body)))
    for key, body in sums.take_changed(0, set()):
        tables.subtotals.put(key.decode(), 1, body)
    return tables


@cache
def golden_rows(recording: Path) -> dict[int, dict[str, AccountRow]]:
    """At some of the recorded snapshots, the accounts whose views were recorded, as the engine has them."""
    logs, views = read_json(recording / "logs.json.gz"), RecordedViews(recording)
    wanted = sorted(views.snapshots)[:: len(views.snapshots) // _SNAPSHOTS]
    chain, partition, found, done = Chain(diamond=logs["diamond"]), Partition(), {}, 0
    blocks = list(recorded_blocks(logs))
    for number in wanted:
        while done < len(blocks) and blocks[done].number <= number:
            chain.add(blocks[done])
            done += 1
        partition.apply(chain.records)
        chain.records.clear()
        rows = partition.rows
        found[number] = {account: rows[account] for account in rows.keys() & views.accounts(number).keys()}
    return found


def golden_world(views: RecordedViews, block: int, marks: dict[int, int]) -> EthWorld:
    """The contract at a block, as its views answered."""
    quotes = []
    for quote_id, held in views.quotes(block).items():
        whitelist, requested = (), 0
        if held[0] in PENDING:
            whitelist, requested = operator.itemgetter(1, 7)(views.quote(block, quote_id))
        (status, quantity, closed, opened, _, _, party_b, party_a, *_), symbol, side = held, held[12], held[13]
        quotes.append(
            EthQuote(
                quote_id, status, symbol, side, party_a.lower(), party_b.lower(), tuple(whitelist), quantity, closed,
                opened, requested,
            )
        )  # fmt: skip
    buckets = {(key[:42].lower(), key[42:].lower()): values for key, values in views.snapshots[block]["B"].items()}
    return EthWorld(quotes, views.accounts(block), buckets, marks)


@pytest.mark.parametrize("recording", [RECORDING, SECOND_RECORDING], ids=["first", "second"])
@pytest.mark.parametrize("pending", ["without pending quotes", "with pending quotes"])
async def test_figures_of_a_recorded_deployment_with_each_hedger_in_turn(recording: Path, pending: str) -> None:
    views, checked = RecordedViews(recording), 0
    for block, rows in golden_rows(recording).items():
        marks = {symbol_id: (70 + block % 61) * E18 + block * 10**9 + symbol_id for symbol_id in RECORDED_NAMES}
        if block % 3 == 0:
            del marks[2]
        world = golden_world(views, block, marks)
        tables = tables_of(rows, RECORDED_NAMES, {RECORDED_NAMES[one]: (price, 0) for one, price in marks.items()})
        hedgers = sorted({party_b for party_b, _ in world.party_b})
        for own in [*([hedger] for hedger in hedgers), hedgers]:
            checked += await _check(world, tables, own, accounts=rows, count_pending=pending.startswith("with "))

    assert checked > 3_000


async def _check(
    world: EthWorld, tables: FakeTables, hedgers: list[str], *, accounts: Iterable[str], count_pending: bool
) -> int:
    """Ask for everything, with the hedgers configured; return how many figures were the same."""
    own, checked = set(hedgers), 0
    settings = _settings(hedgers, count_pending=count_pending)
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client:

        async def ask(path: str) -> Any:  # noqa: ANN401 - JSON
            async with client.get(path) as response:
                assert response.status in (200, 503), await response.text()
                return await response.json()

        assert world.used(own, count_pending=count_pending) == (await ask("/open-interest"))["used"]
        for symbol in {quote.symbol for quote in world.quotes}:
            expected = world.used(own, symbol=symbol, count_pending=count_pending)
            assert expected == (await ask(f"/notional_cap/{symbol}"))["used"]
            checked += 1
        for account in accounts:
            multi_account = world.owners.get(account, ("", MULTI_ACCOUNT))[1]
            ((key, entry),) = (await ask(f"/get_balance_info/{account}/{multi_account}")).items()
            assert account == key.lower()
            checked += _same(world.money_of_a(account), entry["party_a"])
            checked += _same(world.money_of_b(account, own), entry["party_b"])
            upnl = world.money_of_a(account)["upnl"]
            answer = await ask(f"/partyA_upnl/{account}")
            assert answer["error_code"] == 503 if upnl is None else answer == upnl
        sums = Totals(tables.feeds).of("main").get("hedgers", {})
        for hedger in hedgers:
            upnl, notional = world.total_of_b(hedger)
            total = sums.get(hedger, {"upnl": "0", "notional": "0"})
            assert (upnl, notional) == (total.get("upnl"), total.get("notional"))
    return checked


def _settings(hedgers: list[str], *, count_pending: bool = False) -> Settings:
    multi_accounts = [MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT]
    solver = {"count_pending": count_pending}
    # Every figure of every account is asked for, from one address.
    api = ApiSettings(limits=ApiLimitSettings(requests_per_s=1_000_000, requests_burst=1_000_000))
    settings = solver_settings(main={"hedgers": hedgers, "multi_accounts": multi_accounts, "solver": solver})
    return settings.model_copy(update={"api": api})


def _same(expected: dict[str, str | None], found: dict[str, Any]) -> int:
    assert expected == {name: found[name] for name in expected}
    return len(expected)


HEDGERS = ["0x" + f"{number:040x}" for number in (0xB1, 0xB2, 0xB3)]
NAMES = {symbol_id: f"S{symbol_id}USDT" for symbol_id in range(1, 11)}
UNPRICED, STALE = {3, 7}, {2, 5, 9}
# Most accounts hold nothing in a market without a price.
_SYMBOLS = [*NAMES, *sorted(set(NAMES) - UNPRICED) * 4]


@cache
def generated() -> tuple[EthWorld, dict[str, AccountRow]]:
    """Ten symbols, 200 sub-accounts of 60 owners, made by two MultiAccounts, with three hedgers."""
    random = Random(60)
    owners = [f"0x{0x0E000000 + number:040x}" for number in range(60)]
    accounts = [f"0x{0xACC0000 + number:040x}" for number in range(200)]
    # Each owner has at least one.
    owned = {account: owners[at] if at < 60 else random.choice(owners) for at, account in enumerate(accounts)}
    made_by = {account: random.choice((MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT)) for account in accounts}
    world = EthWorld([], {}, {}, _generated_marks(), {one: (owned[one], made_by[one]) for one in accounts})
    for account in accounts:
        world.party_a[account] = [random.randrange(10**24) for _ in range(9)]
        for hedger in random.sample(HEDGERS, random.randrange(4)):
            world.party_b[hedger, account] = [random.randrange(10**24) for _ in range(9)]
        for _ in range(random.randrange(7)):
            world.quotes.append(_generated_quote(random, len(world.quotes) + 1, account))
    rows = {account: _row_of(world, account) for account in accounts}
    return world, rows


def _generated_marks() -> dict[int, int]:
    random = Random(7)
    return {symbol_id: random.randrange(1, 10**22) for symbol_id in NAMES if symbol_id not in UNPRICED}


def _generated_quote(random: Random, quote_id: int, account: str) -> EthQuote:
    status, quantity = random.choice((0, 1, 2, 4, 4, 4, 5, 6)), random.randrange(1, 10**21)
    return EthQuote(
        quote_id=quote_id,
        status=status,
        symbol=random.choice(_SYMBOLS),
        side=random.randrange(2),
        party_a=account,
        party_b=ZERO if status == 0 else random.choice(HEDGERS),
        whitelist=tuple(random.sample(HEDGERS, random.randrange(3))),
        quantity=quantity,
        closed=random.randrange(quantity) if status >= 4 and random.random() < 0.5 else 0,
        opened=random.randrange(1, 10**22) if status >= 4 else 0,
        requested=random.randrange(1, 10**22),
    )


def _row_of(world: EthWorld, account: str) -> AccountRow:
    """The account's row as it comes about where a deployment is joined by reading its views."""
    owner, multi_account = world.owners[account]
    checkpoint = Checkpoint(
        block=100,
        hash="0x" + "1" * 64,
        time_s=NOW_MS // 1_000,
        account=account,
        owner=owner,
        multi_account=multi_account,
        name="one of many",
        balances=tuple(map(str, world.party_a[account])),
        liquidated=False,
        reimbursement="0",
        party_bs=tuple(
            PartyBView(party_b, tuple(map(str, values)))
            for (party_b, party_a), values in world.party_b.items()
            if party_a == account
        ),
        quotes=tuple(_view_of(quote) for quote in world.quotes if quote.party_a == account),
    )
    return advance(None, AccountCheckpoint((4, -1), checkpoint))


def _view_of(quote: EthQuote) -> QuoteView:
    return QuoteView(
        quote_id=quote.quote_id,
        symbol_id=quote.symbol,
        position_type=quote.side,
        order_type=0,
        status=quote.status,
        party_b=quote.party_b,
        whitelist=quote.whitelist,
        requested_open_price=str(quote.requested),
        market_price="1",
        opened_price=str(quote.opened),
        initial_opened_price=str(quote.opened),
        quantity=str(quote.quantity),
        closed_amount=str(quote.closed),
        avg_closed_price="0",
        requested_close_price="0",
        quantity_to_close="0",
        locked=("0", "0", "0", "0"),
        initial_locked=("0", "0", "0", "0"),
        trading_fee="0",
        deadline_s="0",
        parent_id=0,
        max_funding_rate="0",
    )


def generated_tables() -> FakeTables:
    world, rows = generated()
    marks = {
        NAMES[symbol_id]: (price_e18, 60_000 if symbol_id in STALE else 0)
        for symbol_id, price_e18 in world.marks.items()
    }
    return tables_of(rows, NAMES, marks)


@pytest.mark.parametrize("hedgers", [HEDGERS[:1], HEDGERS[1:2], HEDGERS[2:], HEDGERS])
async def test_figures_of_a_generated_market_with_missing_and_stale_marks(hedgers: list[str]) -> None:
    world, rows = generated()
    tables = generated_tables()
    unpriced = [one for one in rows if world.upnl(world.positions(one)) is None]

    assert 20 < len(unpriced) < 180
    await _check(world, tables, hedgers, accounts=rows, count_pending=False)
    await _check(world, tables, hedgers, accounts=unpriced[:1], count_pending=True)


async def test_an_owner_is_answered_for_each_sub_account_of_the_multi_account_and_for_no_other() -> None:
    world, _ = generated()
    answered = set()
    async with serving(generated_tables(), _settings(HEDGERS), clock_ms=lambda: NOW_MS) as client:
        for owner in sorted({owner for owner, _ in world.owners.values()}):
            for multi_account in (MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT):
                async with client.get(f"/get_balance_info/{owner}/{multi_account}") as response:
                    entries = await response.json()
                expected = {one for one, belongs in world.owners.items() if belongs == (owner, multi_account)}
                assert expected == {key.lower() for key in entries}
                for key, entry in entries.items():
                    account = key.lower()
                    assert key == entry["party_a"]["address"]
                    _same(world.money_of_a(account), entry["party_a"])
                    _same(world.money_of_b(account, set(HEDGERS)), entry["party_b"])
                answered |= expected

    assert set(world.owners) == answered
