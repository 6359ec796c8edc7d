"""Asking Binance what time it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from streams.ingest.prices.price_frames import UNREADABLE
from streams.ingest.prices.rest_answers import FAILURES, fetch
from streams.ingest.prices.venue_clock import ANSWERED, EVERY_S, VenueClock
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    import aiohttp

    from streams.process.clock import Clock

# A request for the time has a weight of 1, and the venue grants 2,400 a minute: one every 10 s is nothing.
_RETRY_S = (1.0, 60.0)


class _Time(msgspec.Struct, rename="camel"):
    server_time: int


_time = msgspec.json.Decoder(_Time)


class BinanceClock(VenueClock):
    """Asks the venue's REST interface.

    Args:
        source: The source's name.
        rest: The URL of its REST interface.
        session: HTTP client.
        clock: Our own.
    """

    def __init__(self, source: str, rest: str, session: aiohttp.ClientSession, clock: Clock) -> None:
        super().__init__(source)
        self._url = f"{rest}/fapi/v1/time"
        self._session = session
        self._clock = clock

    async def run(self) -> None:
        """Ask until cancelled."""
        backoff = Backoff(*_RETRY_S)
        while True:
            if await self._ask() == ANSWERED:
                backoff.reset()
                await asyncio.sleep(EVERY_S)
            else:
                await asyncio.sleep(backoff.next_s())

    async def _ask(self) -> str:
        asked_ms = self._clock.now_ms()
        try:
            body = await fetch(self._session, self._url)
        except FAILURES as error:
            return self.asked(type(error).__name__)
        heard_ms = self._clock.now_ms()
        try:
            time_ms = _time.decode(body).server_time
        except UNREADABLE:
            return self.asked("unreadable")
        return self.answered(asked_ms, heard_ms, time_ms)
