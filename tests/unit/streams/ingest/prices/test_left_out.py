"""What a venue's answer leaves out that earlier ones had is not gone at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import orjson

from models.instruments import FundingTermsFact, RulesFact, decode_fact
from streams.ingest.prices.binance.fact_poll import FUNDING_INFO_EVERY_S, InstrumentPolls
from streams.kafka import topics
from streams.settings import Settings
from tests.support.clocks import LoopClock
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from models.instruments import InstrumentFact

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
HOUR_S = 3_600


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self.content = self

    def raise_for_status(self) -> None:
        """It is an answer."""

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._body


class Venue:
    """Answers polls by what ``says`` makes of an endpoint and the time in s, and keeps the facts that are written."""

    def __init__(self, says: Callable[[str, float], Any]) -> None:
        self._says = says
        self.asked: list[tuple[str, float]] = []
        self.facts: list[tuple[float, InstrumentFact]] = []

    @asynccontextmanager
    async def get(self, url: str, **_: object) -> AsyncIterator[_Body]:
        endpoint, now_s = url.rpartition("/")[2], asyncio.get_running_loop().time()
        self.asked.append((endpoint, now_s))
        yield _Body(orjson.dumps(self._says(endpoint, now_s)))

    async def put(self, topic: str, _key: bytes, value: bytes | None) -> None:
        assert topic == topics.INSTRUMENT_FACTS
        assert value is not None
        self.facts.append((asyncio.get_running_loop().time(), decode_fact(value)))

    def hours(self, symbol: str) -> list[tuple[int, int | None]]:
        """When a symbol's funding terms changed, in minutes, and to how many hours; None is the default."""
        found: list[tuple[int, int | None]] = []
        for at_s, fact in self.facts:
            if not isinstance(fact, FundingTermsFact) or fact.symbol != symbol:
                continue
            if not found or found[-1][1] != fact.interval_hours:
                found.append((int(at_s) // 60, fact.interval_hours))
        return found


def played(says: Callable[[str, float], Any], seconds: float) -> Venue:
    venue = Venue(says)
    as_any: Any = venue

    async def play() -> None:
        polls = InstrumentPolls(Settings(), "v", "http://v/fapi/v1", as_any, as_any, clock=LoopClock(1_000))
        tasks = [asyncio.create_task(cast("Any", poll)) for poll in polls.polls()]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run_in_no_time(play())
    return venue


def saying(
    own: Callable[[float], dict[str, int]], listed: Callable[[float], tuple[str, ...]] = lambda _: SYMBOLS
) -> Callable[[str, float], Any]:
    def says(endpoint: str, now_s: float) -> Any:  # noqa: ANN401 - JSON
        match endpoint:
            case "exchangeInfo":
                rules = {"status": "TRADING", "baseAsset": "A", "quoteAsset": "B", "pricePrecision": 1}
                return {"symbols": [{"symbol": name, "quantityPrecision": 1, **rules} for name in listed(now_s)]}
            case "fundingInfo":
                terms = [{"symbol": name, "fundingIntervalHours": hours} for name, hours in own(now_s).items()]
                return [one for one in terms if one["symbol"]] + [None for one in terms if not one["symbol"]]
            case _:
                return []

    return says


def test_symbols_that_no_answer_listed_have_the_default_at_once() -> None:
    venue = played(saying(lambda _: {"BUSDT": 4}), 60.0)

    assert ([(0, None)], [(0, 4)]) == (venue.hours("AUSDT"), venue.hours("BUSDT"))
    assert 1 == sum(endpoint == "fundingInfo" for endpoint, _ in venue.asked)


def test_terms_that_answers_leave_out_for_minutes_are_kept_and_asked_for_again() -> None:
    def own(now_s: float) -> dict[str, int]:
        is_short, is_empty = 590 < now_s < 700, 1_150 < now_s < 1_400
        return {} if is_empty else {"BUSDT": 4} if is_short else {"BUSDT": 4, "CUSDT": 1}

    venue = played(saying(own), 3 * HOUR_S)

    assert [(0, 4)] == venue.hours("BUSDT")
    assert [(0, 1)] == venue.hours("CUSDT")
    assert sum(endpoint == "fundingInfo" for endpoint, _ in venue.asked) > 3 * HOUR_S / FUNDING_INFO_EVERY_S


def test_terms_that_every_answer_leaves_out_are_the_default_after_ten_minutes() -> None:
    venue = played(saying(lambda now_s: {"BUSDT": 4} | ({"CUSDT": 1} if now_s < 300 else {})), HOUR_S)

    assert [(0, 4)] == venue.hours("BUSDT")
    (first, second) = venue.hours("CUSDT")
    assert ((0, 1), None) == (first, second[1])
    assert 20 <= second[0] <= 22


def test_an_element_that_names_no_symbol_takes_terms_from_nobody_however_long_it_is_there() -> None:
    venue = played(saying(lambda now_s: {"BUSDT": 4} if now_s < 300 else {"": 4}), HOUR_S)

    assert [(0, 4)] == venue.hours("BUSDT")


def test_a_venue_that_says_at_first_that_nobody_has_own_terms_is_not_believed() -> None:
    recovered = played(saying(lambda now_s: {} if now_s < 120 else {"BUSDT": 4}), HOUR_S)
    true = played(saying(lambda _: {}), HOUR_S)

    assert [4] == [hours for _, hours in recovered.hours("BUSDT")]
    ((minute, hours),) = true.hours("BUSDT")
    assert (True, None) == (10 <= minute <= 12, hours)


def test_a_list_that_leaves_out_symbols_is_asked_for_again_within_a_minute() -> None:
    def listed(now_s: float) -> tuple[str, ...]:
        return SYMBOLS[:1] if HOUR_S <= now_s < HOUR_S + 5 else SYMBOLS

    venue = played(saying(lambda _: {"BUSDT": 4}, listed), HOUR_S + 120.0)

    newest = {fact.symbol: at_s for at_s, fact in venue.facts if isinstance(fact, RulesFact)}
    assert set(SYMBOLS) == newest.keys()
    assert 1 == len(set(newest.values()))
    assert HOUR_S + 5 <= newest["CUSDT"] < HOUR_S + 65


def test_a_symbol_that_was_delisted_costs_few_more_questions() -> None:
    venue = played(saying(lambda _: {}, lambda now_s: SYMBOLS if now_s < 60 else SYMBOLS[1:]), 6 * HOUR_S)

    assert sum(endpoint == "exchangeInfo" for endpoint, _ in venue.asked) <= 7 + 20
