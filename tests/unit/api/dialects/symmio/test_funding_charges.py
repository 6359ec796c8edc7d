"""``/v1/funding/epochs`` and ``/v1/funding/charges``, of records that the test hands out."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from api.dialects.symmio.funding_reader import FundingRecords
from models.money import E18
from models.symmio.funding_records import (
    ChargeCells,
    Epoch,
    Frozen,
    FrozenMarket,
    Missed,
    Outcome,
    Plan,
    TickRef,
    Transaction,
    encode_record,
    record_key,
)
from tests.support.api import serving
from tests.support.feed import FakeTables
from tests.support.rest import get
from tests.support.solver import NOW_MS, solver_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from models.symmio.funding_records import Record

    Client = TestClient[web.Request, web.Application]

EPOCH_S, WINDOW_S = 14_400, 420
PAYS_S = NOW_MS // 1_000 // EPOCH_S * EPOCH_S
NOW, BEFORE = Epoch(EPOCH_S, WINDOW_S, PAYS_S), Epoch(EPOCH_S, WINDOW_S, PAYS_S - EPOCH_S)
ALICE, BOB, HEDGER = ("0x" + digits * 20 for digits in ("a1", "b1", "0b"))
TICK = TickRef("binance-futures:BTCUSDT", 3, 70, PAYS_S * 1_000 - 500)
MARKET = FrozenMarket(
    mark=str(110 * E18),
    mark_key="binance-futures:BTCUSDT",
    venue_rate=str(E18 // 5_000),
    long=str(-E18 // 10_000),
    short=str(E18 * 3 // 40_000),
    mark_tick=TICK,
    rate_tick=TICK,
    interval_s=28_800,
)
SETTINGS = solver_settings(main={}, other={})


def frozen(epoch: Epoch = NOW, hedger: str = HEDGER) -> Frozen:
    markets, left_out = {1: MARKET}, {2: "its feed was silent"}
    return Frozen(
        epoch, epoch.pays_s, epoch.pays_s + WINDOW_S, epoch.pays_s, epoch.pays_s, markets, left_out, 2, party_b=hedger
    )


def plans(epoch: Epoch = NOW) -> list[Plan]:
    return [
        Plan(epoch, ALICE, ((7, 1), (3, 1), (5, 2)), HEDGER),
        Plan(epoch, BOB, ((4, 1),), HEDGER),
    ]


def sent(nonce: int, *quotes: int, epoch: Epoch = NOW, state: str = "mined") -> Transaction:
    rate = str(E18 // 10_000)
    cells = tuple(ChargeCells(quote, epoch, rate, rate if quote != 3 else str(E18)) for quote in quotes)
    return Transaction(
        "0x" + "5e" * 20,
        nonce,
        ALICE,
        cells,
        state,
        epoch.pays_s + WINDOW_S,
        "0x02",
        ("0x01", "0x02"),
        block=9 if state == "mined" else None,
        cost_wei=str(E18 // 1_000) if state == "mined" else None,
        final=state == "mined",
    )


OUTCOME = Outcome(NOW, ALICE, (3,), (), {}, {7: "cursed"}, {5: "its feed was silent"}, final=True, party_b=HEDGER)


@asynccontextmanager
async def told(*records: Record, of: str = "main") -> AsyncIterator[Client]:
    charged = FundingRecords()
    async with serving(FakeTables("main", "other"), SETTINGS, charged=charged, clock_ms=lambda: NOW_MS) as client:
        for record in records:
            charged.take(record_key(of, record), encode_record(record))
        yield client


async def items(client: Client, path: str) -> list[dict[str, Any]]:
    found = (await get(client, path)).body["items"]
    assert isinstance(found, list)
    return found


async def every_page(client: Client, path: str, limit: int) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while True:
        body = (await get(client, f"{path}?limit={limit}{cursor}")).body
        assert len(body["items"]) <= limit
        found += body["items"]
        if "next_cursor" not in body:
            return found
        cursor = f"&cursor={body['next_cursor']}"


async def test_an_epoch_shows_its_terms_their_ticks_and_what_was_left_out() -> None:
    async with told(frozen()) as client:
        (epoch,) = await items(client, "/v1/funding/epochs")
    assert ("main", f"14400:420:{PAYS_S}", HEDGER) == (epoch["deployment"], epoch["epoch"], epoch["hedger"])
    (market,) = epoch["markets"]
    assert {"market": 1, "mark": "110", "venue_rate": "0.0002", "interval_s": 28_800}.items() <= market.items()
    assert ("-0.0001", "0.000075") == (market["long_rate"], market["short_rate"])
    assert (3, 70, f"{PAYS_S * 1_000 - 500}000000") == tuple(
        market["mark_tick"][name] for name in ("partition", "offset", "event_ns")
    )
    assert [{"market": 2, "reason": "its feed was silent"}] == epoch["left_out"]


async def test_an_epoch_shows_what_charging_it_cost_as_a_share_of_what_was_charged() -> None:
    # The second one did nothing and cost as much; of the third only one of two charges is for this epoch.
    first = msgspec.structs.replace(sent(1, 3, 7), moved_e18=str(10 * E18), coin_e18=str(3_000 * E18))
    second = msgspec.structs.replace(first, nonce=2, state="reverted")
    both = sent(3, 7).charges + sent(3, 7, epoch=BEFORE).charges
    third = msgspec.structs.replace(first, nonce=3, charges=both, cost_wei=None, state="sent", final=False)
    other = msgspec.structs.replace(sent(9, 99), signer="0x" + "5f" * 20)
    async with told(frozen(), *plans(), first, second, third, other) as client:
        (epoch,) = await items(client, "/v1/funding/epochs")
    # 0.002 coins of 3,000 are 6, of 10 that were charged.
    expected = {"transactions": 3, "cost": "0.002", "charged": "10", "share_bps": 6_000, "final": False}
    assert expected == epoch["fees"]
    async with told(frozen(), *plans(), sent(1, 3, 7)) as client:
        (epoch,) = await items(client, "/v1/funding/epochs")
    assert {"transactions": 1, "cost": "0.001", "charged": "0", "final": True} == epoch["fees"]


async def test_epochs_come_newest_first_and_a_missed_one_says_why() -> None:
    missed = Missed(BEFORE, BEFORE.pays_s, BEFORE.pays_s + WINDOW_S, HEDGER, "no executor was there")
    async with told(missed, frozen()) as client:
        found = await every_page(client, "/v1/funding/epochs", 1)
        assert found == await items(client, "/v1/funding/epochs?deployment=main")
        assert [] == await items(client, "/v1/funding/epochs?deployment=other")
    assert [(str(NOW), None), (str(BEFORE), "no executor was there")] == [
        (one["epoch"], one.get("missed")) for one in found
    ]


async def test_each_quote_shows_its_outcome_its_reason_its_rate_and_its_transaction() -> None:
    async with told(frozen(), *plans(), sent(5, 3, 7, state="reverted"), sent(6, 3), OUTCOME) as client:
        found = await items(client, "/v1/funding/charges")
    assert [
        (ALICE, 3, "paid", None, "0.0001", "1", 6),
        (ALICE, 5, "missed", "its feed was silent", None, None, None),
        (ALICE, 7, "refused", "cursed", "0.0001", "0.0001", 5),
        (BOB, 4, "open", None, None, None, None),
    ] == [
        (
            one["account"].removeprefix("main:"),
            one["quote"],
            one["outcome"],
            one.get("reason"),
            one.get("rate"),
            one.get("unclipped_rate"),
            one.get("transaction", {}).get("nonce"),
        )
        for one in found
    ]
    assert ["110", None, "110", "110"] == [one.get("mark") for one in found]
    assert [True, True, True, False] == [one["final"] for one in found]
    assert ["0.001", None, None, None] == [one.get("cost") for one in found]
    transaction = found[0]["transaction"]
    assert (["0x01", "0x02"], 9, "0.001", 1) == tuple(
        transaction[name] for name in ("hashes", "block", "cost", "quotes")
    )


async def test_a_quote_costs_its_share_of_its_transaction() -> None:
    async with told(frozen(), *plans(), sent(6, 3, 7), OUTCOME) as client:
        found = await items(client, "/v1/funding/charges")
    assert [(3, "0.0005"), (7, "0.0005")] == [(one["quote"], one["cost"]) for one in found if "cost" in one]


async def test_the_newest_record_of_a_key_holds() -> None:
    later = msgspec.structs.replace(OUTCOME, paid=(3, 7), culprits={})
    async with told(frozen(), *plans(), OUTCOME, later) as client:
        found = await items(client, "/v1/funding/charges?quote_id=7")
    assert ["paid"] == [one["outcome"] for one in found]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_of_any_size_have_every_quote_once_in_order(limit: int) -> None:
    async with told(frozen(BEFORE), *plans(BEFORE), frozen(), *plans()) as client:
        found = await every_page(client, "/v1/funding/charges", limit)
    expected = [(ALICE, 3), (ALICE, 5), (ALICE, 7), (BOB, 4)]
    assert [(str(epoch), f"main:{party_a}", quote) for epoch in (NOW, BEFORE) for party_a, quote in expected] == [
        (one["epoch"], one["account"], one["quote"]) for one in found
    ]


@pytest.mark.parametrize(
    ("query", "quotes"),
    [
        (f"account=main:{ALICE}", [3, 5, 7, 3, 5, 7]),
        (f"account=main:{ALICE}&epoch={BEFORE}", [3, 5, 7]),
        ("quote_id=4", [4, 4]),
        ("outcome=missed", [5]),
        ("outcome=open", [4, 3, 5, 7, 4]),
        ("deployment=other", []),
        ("epoch=1:2:3", []),
    ],
)
async def test_filters_hold_together(query: str, quotes: list[int]) -> None:
    async with told(frozen(BEFORE), *plans(BEFORE), frozen(), *plans(), OUTCOME) as client:
        assert quotes == [one["quote"] for one in await items(client, f"/v1/funding/charges?{query}")]


@pytest.mark.parametrize("query", ["epoch=now", "outcome=lost", "quote_id=-1", "cursor=abc", "account=none"])
async def test_what_is_not_understood_is_refused(query: str) -> None:
    async with told(frozen()) as client:
        assert 400 == (await get(client, f"/v1/funding/charges?{query}")).status


async def test_a_cursor_of_the_other_list_is_refused() -> None:
    async with told(frozen(BEFORE), frozen(), *plans()) as client:
        cursor = (await get(client, "/v1/funding/epochs?limit=1")).body["next_cursor"]
        assert 400 == (await get(client, f"/v1/funding/charges?cursor={cursor}")).status


async def test_epochs_of_before_three_days_are_forgotten() -> None:
    old = Epoch(EPOCH_S, WINDOW_S, PAYS_S - 4 * 86_400)
    async with told(frozen(old), *plans(old), sent(1, 3, epoch=old), frozen(), *plans()) as client:
        assert [str(NOW)] == [one["epoch"] for one in await items(client, "/v1/funding/epochs")]
        assert {str(NOW)} == {one["epoch"] for one in await items(client, "/v1/funding/charges")}


async def test_an_old_epoch_that_is_final_only_now_is_none_of_the_last() -> None:
    old = Epoch(EPOCH_S, WINDOW_S, PAYS_S - 4 * 86_400)
    written = [frozen(), msgspec.structs.replace(frozen(old), final=True)]
    async with told(*written) as client:
        assert [str(NOW)] == [one["epoch"] for one in await items(client, "/v1/funding/epochs")]


async def test_a_record_that_cannot_be_read_leaves_the_others() -> None:
    charged = FundingRecords()
    async with serving(FakeTables("main", "other"), SETTINGS, charged=charged) as client:
        charged.take(b"main:epoch:1", b"nonsense")
        for foreign in (b"\xff", b"main:\xff", b"", b"main"):
            charged.take(foreign, encode_record(frozen()))
        charged.take(record_key("main", frozen()), encode_record(frozen()))
        charged.take(record_key("gone", frozen()), encode_record(frozen()))
        assert ["main"] == [one["deployment"] for one in await items(client, "/v1/funding/epochs")]


@pytest.mark.parametrize("path", ["/v1/funding/epochs", "/v1/funding/charges"])
async def test_before_all_is_read_it_is_not_known(path: str) -> None:
    charged = FundingRecords()
    charged.is_read = lambda: False
    async with serving(FakeTables("main", "other"), SETTINGS, charged=charged) as client:
        assert 503 == (await get(client, path)).status
