"""By how much a venue's clock is ahead of ours."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from math import isnan
from typing import TYPE_CHECKING, cast

import aiohttp
import pytest
from prometheus_client import REGISTRY

from streams.ingest.prices.binance.binance_clock import BinanceClock
from streams.ingest.prices.venue_clock import EVERY_S
from tests.support.clocks import LoopClock
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BEGAN_MS = 1_745_970_800_000


class Answer:
    def __init__(self, body: bytes) -> None:
        self.content = self
        self._body = body

    def raise_for_status(self) -> None:
        if not self._body:
            raise aiohttp.ClientResponseError(cast("aiohttp.RequestInfo", None), (), status=418)

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._body


class Venue:
    """Says its time as it is told, each answer after a round; what is no number is the whole body."""

    def __init__(self, said: Sequence[int | bytes], round_s: float) -> None:
        self._said = list(said)
        self._round_s = round_s
        self.questions = 0

    @asynccontextmanager
    async def get(self, url: str, **_: object) -> AsyncIterator[Answer]:
        assert "http://venue/fapi/v1/time" == url
        said = self._said[min(self.questions, len(self._said) - 1)]
        self.questions += 1
        await asyncio.sleep(self._round_s / 2)
        time_ms = BEGAN_MS + round(asyncio.get_running_loop().time() * 1_000)
        body = said if isinstance(said, bytes) else b'{"serverTime":%d}' % (time_ms + said)
        await asyncio.sleep(self._round_s / 2)
        yield Answer(body)


def after(said: Sequence[int | bytes], seconds: float, round_s: float = 0.2) -> tuple[int, int]:
    """What is measured after some seconds, and how often the venue was asked."""

    async def ask() -> tuple[int, int]:
        venue = Venue(said, round_s)
        clock = BinanceClock("venue", "http://venue", cast("aiohttp.ClientSession", venue), LoopClock(BEGAN_MS))
        assert 0 == clock.ahead_ms
        task = asyncio.create_task(clock.run())
        await asyncio.sleep(seconds)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        return clock.ahead_ms, venue.questions

    return run_in_no_time(ask(), 1e-6)


@pytest.mark.parametrize("ahead_ms", [0, 15_000, -15_000, 120_000])
@pytest.mark.parametrize("round_s", [0.0, 0.2, 1.9])
def test_it_is_known_after_the_first_answer_to_half_of_what_that_took(ahead_ms: int, round_s: float) -> None:
    measured_ms, questions = after([ahead_ms], 3, round_s)

    assert abs(measured_ms - ahead_ms) <= 1
    assert 1 == questions


def test_two_wrong_answers_of_five_change_nothing() -> None:
    for wrong in ([900_000, -900_000], [900_000, 900_000]):
        assert abs(after([7_000, 7_000, 7_000, *wrong, 7_000], 8 * EVERY_S)[0] - 7_000) <= 1
        assert abs(after([7_000, 7_000, 7_000, *wrong], 4 * EVERY_S + 2)[0] - 7_000) <= 1


def test_a_clock_that_was_set_is_followed_within_half_a_minute() -> None:
    assert abs(after([0, 0, 0, 0, 0, 30_000], 4 * EVERY_S + 35)[0] - 30_000) <= 1


@pytest.mark.parametrize(
    "said", [b"", b"<html>", b"{}", b'{"serverTime":null}', b'{"serverTime":"1"}', b"[]", b'{"serverTime":1e400}', b"7"]
)
def test_what_is_no_time_is_none_and_is_asked_again_soon(said: bytes) -> None:
    assert 0 == after([said], 30)[0]
    measured_ms, questions = after([said, said, 4_000], 30)

    assert abs(measured_ms - 4_000) <= 1
    assert questions >= 3


@pytest.mark.parametrize(("said", "round_s"), [(5_000, 2.5), (3_600_100, 0.2), (-3_600_100, 0.2), (10**15, 0.2)])
def test_a_slow_answer_and_one_that_is_no_clocks_are_not_believed(said: int, round_s: float) -> None:
    assert 0 == after([said], 60, round_s)[0]


def test_the_last_that_was_known_holds_while_the_venue_does_not_answer() -> None:
    assert abs(after([4_000, b""], 600)[0] - 4_000) <= 1


def test_a_venue_that_does_not_say_its_time_is_logged_once_and_asked_once_a_minute_at_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, questions = after([b""], 3_600)

    assert 1 == len(caplog.messages)
    assert 60 <= questions < 200


def test_it_is_not_a_number_on_the_metrics_page_before_it_is_known() -> None:
    labels = {"source": "venue"}

    def shown() -> float:
        value = REGISTRY.get_sample_value("tidemark_price_clock_ahead_seconds", labels)
        assert value is not None
        return value

    after([b""], 5)
    assert isnan(shown())
    after([-4_000], 5)
    assert abs(shown() + 4.0) < 0.01
