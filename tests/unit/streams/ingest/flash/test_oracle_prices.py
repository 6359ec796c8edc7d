"""Prices out of the accounts of Flash's oracle: each once, in order, to the digit, with the session of its market."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from pydantic import SecretStr, ValidationError

from models.flash.flash_accounts import encode_account
from models.flash.flash_listing import quote_of_mark
from models.flash.flash_table import table_text
from models.flash.position_terms import quote_of
from models.prices import decode_tick, mark_of, used_mark
from streams.ingest.flash.oracle_frames import OracleReader
from streams.ingest.flash.oracle_prices import OracleFollower
from streams.ingest.prices.price_site import PriceSite
from streams.process.clock import SystemClock
from streams.settings import BadSettings, Settings
from streams.settings.flash.market_sessions import SessionRule, session_of
from streams.settings.flash.oracle_source import FlashOracleSource
from tests.support.eventually import eventually
from tests.support.flash import NOW_MS, NOW_S, PROGRAMME, oracle, text, the_table
from tests.support.hostile_solana import RecordingOutlet
from tidemark.demo.solana_node import SolanaChain, SolanaNode

if TYPE_CHECKING:
    from models.flash.flash_accounts import CustomOracle


def _read(reader: OracleReader, account: CustomOracle, at_ms: int = NOW_MS) -> Any:  # noqa: ANN401
    return reader.read(encode_account(account), "flash-oracle", at_ms)


def _reader(session: str | None = None) -> OracleReader:
    return OracleReader("SOL", lambda _: session)


def test_a_mark_gives_back_what_the_oracle_said_to_the_digit() -> None:
    said = oracle("148.52")._replace(conf=12_345, ema=14_700_000_001)
    (tick,) = _read(_reader("regular"), said).ticks
    mark = mark_of(tick, 5)
    assert (tick.mark, tick.event_ms, tick.oracle.session) == ("148.52000000", NOW_S * 1_000, "regular")
    assert quote_of_mark(used_mark("flash-oracle:SOL", mark, stale=False)) == quote_of(said)


@pytest.mark.parametrize("exponent", [-1, -5, -8, -18])
def test_prices_of_any_exponent_come_through(exponent: int) -> None:
    said = oracle("1")._replace(price=987_654_321, expo=exponent, ema=987_654_320, conf=1)
    (tick,) = _read(_reader(), said).ticks
    mark = mark_of(tick, 0)
    assert quote_of_mark(used_mark("x:SOL", mark, stale=False)) == quote_of(said)


def test_several_prices_of_one_second_are_ordered_within_it_and_each_is_said_once() -> None:
    reader = _reader()
    events = [
        [one.event_ms for one in _read(reader, oracle(price)).ticks]
        for price in ("100", "100", "101", "101", "102", "100", "101")
    ]
    # What comes again of the second is that of a node that is behind.
    assert events == [[NOW_MS], [], [NOW_MS + 1], [], [NOW_MS + 2], [], []]
    (later,) = _read(reader, oracle("100", publish_s=NOW_S + 1)).ticks
    assert (later.mark, later.event_ms) == ("100.00000000", NOW_MS + 1_000)
    assert _read(reader, oracle("104", publish_s=NOW_S)).ticks == []
    assert reader.again("flash-oracle", NOW_MS).ticks == []


@pytest.mark.parametrize(
    "account",
    [
        oracle("0"),
        oracle("1")._replace(expo=1),
        oracle("1")._replace(expo=-19),
        oracle("1")._replace(expo=-(2**31)),
        oracle("1")._replace(publish_time=-1),
    ],
)
def test_a_price_that_is_none_is_refused_and_the_next_one_is_read(account: CustomOracle) -> None:
    reader = _reader()
    (refused,) = _read(reader, account).refused
    assert (refused.symbol, "expected a price above 0" in str(refused.error)) == ("SOL", True)
    assert reader.read(b"x", "flash-oracle", NOW_MS).refused[0].value == b"x"
    assert len(_read(reader, oracle("2")).ticks) == 1


def test_a_price_of_the_far_future_is_refused_and_holds_back_no_later_one() -> None:
    reader = _reader()
    (refused,) = _read(reader, oracle("1")._replace(publish_time=NOW_S * 1_000)).refused
    assert "expected a time at most" in str(refused.error)
    assert len(_read(reader, oracle("2")).ticks) == 1


def test_a_new_session_is_said_though_the_price_stays() -> None:
    sessions = iter(["regular", "regular", "closed"])
    reader = OracleReader("SOL", lambda _: next(sessions))
    _read(reader, oracle("100"))
    assert reader.again("flash-oracle", NOW_MS).ticks == []
    again: Any = reader.again("flash-oracle", NOW_MS)
    (tick,) = again.ticks
    assert (tick.mark, tick.event_ms, tick.oracle.session) == ("100.00000000", NOW_MS + 1, "closed")


RULES = [
    SessionRule(symbols=("TSLA",), session="regular", begins=time(9, 30), ends=time(16)),
    SessionRule(symbols=("TSLA",), session="overNight", begins=time(20), ends=time(4), days=("sun", "mon")),
]


@pytest.mark.parametrize(
    ("at_s", "session"),
    [
        # Tuesday, 14 November 2023, 22:13:20 UTC, which is 17:13 in New York.
        (1_700_000_000, "closed"),
        (1_700_000_000 - 5 * 3_600, "regular"),
        # 00:13 on Tuesday in New York is Monday's night, and on Wednesday nobody's.
        (1_700_000_000 - 17 * 3_600, "overNight"),
        (1_700_000_000 + 7 * 3_600, "closed"),
    ],
)
def test_the_session_is_that_of_the_calendar_in_its_own_time_zone(at_s: int, session: str) -> None:
    assert session_of("TSLA", RULES, at_s * 1_000) == session
    assert session_of("SOL", RULES, at_s * 1_000) is None


def test_an_unknown_time_zone_or_a_source_that_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected a time zone"):
        SessionRule(symbols=(), session="regular", begins=time(9), ends=time(16), timezone="Nowhere")
    unasked = FlashOracleSource(rpc=(SecretStr("ws://x"),))
    with pytest.raises(BadSettings, match="at least one of http"):
        OracleFollower(PriceSite(Settings(), "o", unasked, None, None, SystemClock()))  # type: ignore[arg-type]


async def test_prices_are_read_at_the_start_and_heard_of_afterwards_whatever_their_slots_say(tmp_path: Path) -> None:
    chain, outlet = SolanaChain(NOW_S), RecordingOutlet()
    # What is read first is of a slot to which the chain has not come.
    chain.slot = 140
    for symbol, price in (("SOL", "150"), ("USDC", "1")):
        chain.put(text(f"{symbol} oracle"), PROGRAMME, encode_account(oracle(price)))
    table = tmp_path / "table.json"
    table.write_text(table_text(the_table()))
    node = SolanaNode(chain)
    await node.start()
    async with aiohttp.ClientSession() as session:
        source = FlashOracleSource(rpc=tuple(map(SecretStr, node.urls)), table=table, poll_interval_ms=600_000)
        site = PriceSite(Settings(), "flash-oracle", source, session, outlet, SystemClock())  # type: ignore[arg-type]
        follower = OracleFollower(site)
        running = asyncio.create_task(follower.run())
        await eventually(lambda: len(outlet.records) == 2 and bool(node.sockets), 60)
        # A node that has no oracle of BTC says null of it, which is no price.
        chain.slot = 1
        chain.next_slot()
        chain.put(text("SOL oracle"), PROGRAMME, encode_account(oracle("151", publish_s=NOW_S + 1)))
        await eventually(lambda: len(outlet.records) == 3, 60)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    await node.stop()
    ticks = [decode_tick(value or b"") for _, _, value in outlet.records]
    assert [(one.symbol, json.loads(outlet.records[at][2] or b"")["mark"]) for at, one in enumerate(ticks)][-1] == (
        "SOL", "151.00000000",
    )  # fmt: skip
    assert follower.heard_ms > 0


def test_a_symbol_that_the_table_does_not_list_is_refused() -> None:
    source = FlashOracleSource(rpc=(SecretStr("http://x"),), symbols=("SOL", "NOPE"))
    with pytest.raises(BadSettings, match=r"symbols, found \['NOPE'\]"):
        OracleFollower(PriceSite(Settings(), "o", source, None, None, SystemClock()))  # type: ignore[arg-type]
    missing = FlashOracleSource(rpc=(SecretStr("http://x"),), table=Path("/nowhere"))
    with pytest.raises(BadSettings, match="make one with tidemark flash refresh"):
        OracleFollower(PriceSite(Settings(), "o", missing, None, None, SystemClock()))  # type: ignore[arg-type]
