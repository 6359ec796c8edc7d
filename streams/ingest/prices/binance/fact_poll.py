"""Polls of a venue's REST interface for facts of its symbols, which go to ``instrument-facts``."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Counter

from models.ids import mark_key
from models.instruments import FundingTermsFact, RulesFact, encode_fact
from streams.ingest.prices.binance.binance_facts import read_exchange_info, read_funding_info, read_tickers
from streams.ingest.prices.binance.left_out import LeftOut
from streams.ingest.prices.price_frames import BadFrame
from streams.ingest.prices.refusals import Refusals
from streams.ingest.prices.rest_answers import FAILURES, fetch
from streams.kafka.topics import INSTRUMENT_FACTS, topic_name
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    import aiohttp

    from models.instruments import InstrumentFact
    from streams.ingest.outlet import Outlet
    from streams.ingest.prices.binance.binance_facts import Facts
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

_POLLS = Counter("tidemark_instrument_polls_total", "REST polls of what a venue says of its symbols.",
                 ("source", "endpoint", "outcome"))  # fmt: skip
_FACTS = Counter("tidemark_instrument_facts_total", "Facts written to instrument-facts.", ("source",))

EXCHANGE_INFO_EVERY_S = 3_600.0
"""Ticks and lots change some times a month, and changes are announced. The answer is the venue's largest, 1 MB."""

TICKER_EVERY_S = 10.0
"""A request for all symbols has a weight of 40, and the venue grants 2,400 a minute: one every 10 s is a tenth of
that."""

FUNDING_INFO_EVERY_S = 600.0
"""A funding interval changes only at a funding, and the next one is an hour away or more: ten minutes are soon
enough."""

# A venue that failed once is asked again within seconds, one that keeps failing once a minute.
_RETRY_S = (1.0, 60.0)
# A symbol that fundingInfo does not list has the default terms, so its poll waits until exchangeInfo has listed
# them all. If that fails for so long, fundingInfo is used for the symbols that it lists, and is asked for again when
# exchangeInfo names others.
_SYMBOLS_WAIT_S = 30.0
# Funding terms that an answer leaves out are given up when no other one has them for as long as a poll's own pace. The
# venue is asked again meanwhile, as if it had failed.
_TERMS_MISSING_S = FUNDING_INFO_EVERY_S
# A symbol that a list leaves out counts as delisted at once: a list that was cut is to be put right soon.
_SYMBOLS_MISSING_S = 60.0


class _Said(NamedTuple):
    """An answer's facts, and the symbols that it leaves out perhaps wrongly."""

    facts: Facts
    doubtful: Collection[str] = ()


class _Endpoint(NamedTuple):
    name: str
    path: str
    every_s: float
    read: Callable[[bytes, str, int], _Said]


class InstrumentPolls:
    """Polls each of three endpoints at its own pace; one that fails does not delay the others.

    Args:
        settings: Name the topics.
        source: The source's name.
        rest: The URL of its REST interface.
        session: HTTP client.
        outlet: The way to Kafka.
        clock: Tells when an answer was received.
    """

    def __init__(
        self,
        settings: Settings,
        source: str,
        rest: str,
        session: aiohttp.ClientSession,
        outlet: Outlet,
        *,
        clock: Clock,
    ) -> None:
        self._source = source
        self._rest = rest
        self._session = session
        self._outlet = outlet
        self._clock = clock
        self._facts_topic = topic_name(settings, INSTRUMENT_FACTS)
        self._refusals = Refusals(settings, source, outlet, clock)
        self._symbols: set[str] = set()
        clock_s = asyncio.get_running_loop().time
        self._listed = LeftOut(_SYMBOLS_MISSING_S, clock_s)
        self._own_terms = LeftOut(_TERMS_MISSING_S, clock_s)
        self._new_symbols = asyncio.Event()

    def polls(self) -> list[Coroutine[None, None, None]]:
        """Make the coroutines to run at the same time until cancelled.

        Each raises NotAcknowledged where the broker does not take a record.
        """
        rules = _Endpoint("exchangeInfo", "/fapi/v1/exchangeInfo", EXCHANGE_INFO_EVERY_S, self._read_rules)
        tickers = _Endpoint("ticker/24hr", "/fapi/v1/ticker/24hr", TICKER_EVERY_S, _read_tickers)
        return [self._poll(rules), self._poll(tickers), self._poll_funding()]

    async def _poll_funding(self) -> None:
        await self._wait_for_new_symbols(_SYMBOLS_WAIT_S)
        endpoint = _Endpoint("fundingInfo", "/fapi/v1/fundingInfo", FUNDING_INFO_EVERY_S, self._read_funding)
        backoff = Backoff(*_RETRY_S)
        while True:
            self._new_symbols.clear()
            if await self._ask(endpoint):
                backoff.reset()
                await self._wait_for_new_symbols(endpoint.every_s)
            else:
                await asyncio.sleep(backoff.next_s())

    async def _wait_for_new_symbols(self, at_most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._new_symbols.wait()

    def _read_rules(self, body: bytes, source: str, received_ms: int) -> _Said:
        found = read_exchange_info(body, source, received_ms)
        return _Said(found, self._listed.doubtful({one.symbol for one in (*found.facts, *found.refused)}))

    def _read_funding(self, body: bytes, source: str, received_ms: int) -> _Said:
        found = read_funding_info(body, source, received_ms, self._symbols, self._own_terms.known)
        own = {fact.symbol for fact in found.facts if isinstance(fact, FundingTermsFact) and fact.interval_hours}
        unread = {refused.symbol for refused in found.refused}
        # An element that names no symbol may be of any.
        listed = own | unread - {""} | (self._own_terms.known if "" in unread else set())
        doubtful = self._own_terms.doubtful(listed, self._symbols)
        kept = [fact for fact in found.facts if fact.symbol not in doubtful]
        return _Said(found._replace(facts=kept), doubtful)

    async def _poll(self, endpoint: _Endpoint) -> None:
        backoff = Backoff(*_RETRY_S)
        while True:
            if await self._ask(endpoint):
                backoff.reset()
                await asyncio.sleep(endpoint.every_s)
            else:
                await asyncio.sleep(backoff.next_s())

    async def _ask(self, endpoint: _Endpoint) -> bool:
        try:
            body = await fetch(self._session, f"{self._rest}{endpoint.path}")
        except FAILURES as error:
            return self._failed(endpoint, error)
        try:
            facts, doubtful = endpoint.read(body, self._source, self._clock.now_ms())
        except BadFrame as error:
            await self._refusals.refuse(endpoint.name, body, error)
            return self._failed(endpoint, error)
        for refused in facts.refused:
            await self._refusals.refuse_element(endpoint.name, refused)
        known = len(self._symbols)
        for fact in facts.facts:
            await self._write(fact)
        if len(self._symbols) > known:
            self._new_symbols.set()
        _POLLS.labels(self._source, endpoint.name, "doubtful" if doubtful else "answered").inc()
        if doubtful:
            _log.warning(
                "answer leaves symbols out that it had, asked again source=%s endpoint=%s symbols=%d such as=%s",
                self._source,
                endpoint.name,
                len(doubtful),
                min(doubtful),
            )
        return not doubtful

    def _failed(self, endpoint: _Endpoint, error: Exception) -> bool:
        cause = type(error).__name__
        _POLLS.labels(self._source, endpoint.name, cause).inc()
        _log.warning("instrument poll failed source=%s endpoint=%s cause=%s", self._source, endpoint.name, cause)
        return False

    async def _write(self, fact: InstrumentFact) -> None:
        if isinstance(fact, RulesFact):
            self._symbols.add(fact.symbol)
        await self._outlet.put(self._facts_topic, mark_key(fact.source, fact.symbol), encode_fact(fact))
        _FACTS.labels(self._source).inc()


def _read_tickers(body: bytes, source: str, received_ms: int) -> _Said:
    return _Said(read_tickers(body, source, received_ms))
