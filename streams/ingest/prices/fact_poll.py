"""What a venue says of its symbols, asked for again and again, to ``instrument-facts``."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Counter

from models.ids import mark_key
from models.instruments import RulesFact, encode_fact
from streams.ingest.prices.binance import BadFrame
from streams.ingest.prices.binance_facts import read_exchange_info, read_funding_info, read_tickers
from streams.ingest.prices.rest_answers import FAILURES, fetch
from streams.kafka.deadletter import dead_letter, encode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, INSTRUMENT_FACTS, topic_name
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import aiohttp

    from models.errors import TidemarkError
    from models.instruments import InstrumentFact
    from streams.ingest.outlet import Outlet
    from streams.ingest.prices.binance_facts import Facts
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

_POLLS = Counter("tidemark_instrument_polls_total", "REST polls of what a venue says of its symbols.",
                 ("source", "endpoint", "outcome"))  # fmt: skip
_FACTS = Counter("tidemark_instrument_facts_total", "Facts written to instrument-facts.", ("source",))

EXCHANGE_INFO_EVERY_S = 3_600.0
"""Ticks and lots change some times a month, and are announced; the answer is the venue's largest, of 1 MB."""

TICKER_EVERY_S = 10.0
"""All symbols weigh 40 of the 2,400 that the venue grants a minute: every 10 s is a tenth of it."""

FUNDING_INFO_EVERY_S = 600.0
"""An interval changes from one funding to the next, an hour later at the soonest: ten minutes see it in time."""

# A venue that is away is asked once a minute; one that failed once, within seconds.
_RETRY_S = (1.0, 60.0)
# What fundingInfo does not list has the default terms, so it says more when all symbols are known; where exchangeInfo
# fails for so long, it is asked of those that it lists.
_SYMBOLS_WAIT_S = 30.0


class _Endpoint(NamedTuple):
    name: str
    path: str
    every_s: float
    read: Callable[[bytes, str, int], Facts]


class InstrumentPolls:
    """Asks for each of the three answers at its own pace; one that fails holds no other up.

    Args:
        settings: Name the topics.
        source: What the venue is called.
        rest: Where its REST interface is.
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
        self._letters_topic = topic_name(settings, DEAD_LETTERS)
        self._symbols: set[str] = set()
        self._symbols_known = asyncio.Event()

    def polls(self) -> list[Coroutine[None, None, None]]:
        """What is to be run side by side until it is cancelled; each raises NotAcknowledged where the broker does."""
        rules = _Endpoint("exchangeInfo", "/fapi/v1/exchangeInfo", EXCHANGE_INFO_EVERY_S, read_exchange_info)
        tickers = _Endpoint("ticker/24hr", "/fapi/v1/ticker/24hr", TICKER_EVERY_S, read_tickers)
        return [self._poll(rules), self._poll(tickers), self._poll_funding()]

    async def _poll_funding(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_SYMBOLS_WAIT_S):
                await self._symbols_known.wait()
        await self._poll(
            _Endpoint(
                "fundingInfo",
                "/fapi/v1/fundingInfo",
                FUNDING_INFO_EVERY_S,
                lambda body, source, received_ms: read_funding_info(body, source, received_ms, self._symbols),
            )
        )

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
            facts = endpoint.read(body, self._source, self._clock.now_ms())
        except BadFrame as error:
            await self._refuse(body, error)
            return self._failed(endpoint, error)
        for refused in facts.refused:
            await self._refuse(refused.value, refused.error)
        for fact in facts.facts:
            await self._write(fact)
        if self._symbols:
            self._symbols_known.set()
        _POLLS.labels(self._source, endpoint.name, "answered").inc()
        return True

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

    async def _refuse(self, value: bytes, error: TidemarkError) -> None:
        letter = dead_letter(self._source, value, error, at_ms=self._clock.now_ms())
        await self._outlet.put(self._letters_topic, self._source.encode(), encode_dead_letter(letter))
