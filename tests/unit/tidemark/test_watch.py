from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import click
import pytest
from pydantic import SecretStr
from rich.console import Console

from api.dialects.native.protocol import Channel
from api.http.keys import CONNECTIONS
from models.freshness import SETTLE_MS
from models.money import E18
from models.prices import Mark, encode_mark
from streams.settings import AuthSettings, TokenKeySettings
from tests.support.api import api_settings, serving
from tests.support.eventually import eventually
from tests.support.feed import FakeTables, e18, unsupported_body, valuation_body
from tests.support.views import account_view
from tidemark.commands.watch import watch as watch_command
from tidemark.watch import _SHOWN, JsonLines, PlainLines, WatchRefused, watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from models.row_bodies import MarkBody
    from tidemark.watch import Output

KEY = "main:0x" + "ab" * 20
NOW_MS = 1_745_970_800_123


def tables() -> FakeTables:
    made = FakeTables("main")
    made.valuations.put(KEY, 1, valuation_body())
    return made


def mark(received_ms: int) -> MarkBody:
    return encode_mark(Mark(100 * E18, None, None, None, received_ms, received_ms, offset=5))


@asynccontextmanager
async def watching(
    made: FakeTables,
    output: Output,
    *keys: str,
    channel: str = "account",
    clock_ms: Callable[[], int] = lambda: NOW_MS,
) -> AsyncIterator[Any]:
    """The application, and ``watch`` following it."""
    async with serving(made, clock_ms=clock_ms) as client:
        url = str(client.make_url("/"))
        task = asyncio.create_task(
            watch(url, channel, keys or (KEY,), interval_ms=0, token=None, output=output), name="watch"
        )
        try:
            yield client.app
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class Screen:
    """What a person sees."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.output = PlainLines(Console(file=self._file, width=80, highlight=False), lambda: NOW_MS)

    @property
    def lines(self) -> list[str]:
        return self._file.getvalue().splitlines()

    async def shows(self, text: str) -> None:
        await eventually(lambda: any(text in line for line in self.lines))


async def test_a_line_shows_what_stands_and_another_one_each_change() -> None:
    made, screen = tables(), Screen()
    async with watching(made, screen.output):
        await screen.shows("snapshot")
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("5"), liquidatable=True))
        await screen.shows("upnl 5")

    figures = "notional 1000  equity 107.5  distance_bps 1075  open_positions 1  liquidatable"
    assert [
        "23:53:20.123 connected, epoch 1",
        f"23:53:20.123 {KEY}  status valued  upnl -12.5  {figures} false  snapshot",
        f"23:53:20.123 {KEY}  status valued  upnl 5  {figures} true",
    ] == screen.lines


async def test_json_lines_hold_the_whole_state_each_time() -> None:
    made = tables()
    said: list[str] = []

    def states() -> list[dict[str, Any]]:
        return [message for message in map(json.loads, said) if message["type"] == "state"]

    async with watching(made, JsonLines(said.append)):
        await eventually(lambda: len(states()) == 1)
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("5")))
        await eventually(lambda: len(states()) == 2)

    expected = {"type": "state", "channel": "account", "key": KEY, "epoch": 1, "seq": [1, 2]}
    assert {**expected, "data": account_view(KEY, valuation_body(upnl=e18("5")))} == states()[1]
    assert ["hello", "ack"] == [json.loads(line)["type"] for line in said[:2]]


async def test_it_says_goodbye_and_goes_on_where_it_was_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.delivery.connections.random.randrange", lambda _: 100)
    made, screen = tables(), Screen()
    async with watching(made, screen.output) as app:
        await screen.shows("snapshot")
        await app[CONNECTIONS].drain()
        await screen.shows("disconnected")
        app[CONNECTIONS].draining = False
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("5")))
        await screen.shows("upnl 5")

    said = [line.partition(" ")[2] for line in screen.lines]
    assert [
        "connected, epoch 1",
        "goodbye: restart, connecting again in 0.1 s",
        "disconnected: closed with 1012; connecting again",
        "connected, epoch 1",
    ] == [line for line in said if not line.startswith(KEY)]


async def test_it_says_that_what_it_shows_may_be_old_and_when_it_no_longer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.dialects.native.pulse.HEARTBEAT_S", 0.02)
    monkeypatch.setattr("api.dialects.native.pulse._SHARED_FOR_S", 0.0)
    made, screen, now_ms = tables(), Screen(), NOW_MS
    async with watching(made, screen.output, clock_ms=lambda: now_ms):
        await screen.shows("snapshot")
        made.marks.put("binance-futures:BTCUSDT", 1, mark(1_745_970_700_000))
        made.valuations.answered_ms = 1
        await screen.shows("stale: no word of broker; prices of binance-futures are silent")
        made.deployments.put("main", 2, unsupported_body())
        await screen.shows("deployment main is unsupported")
        made.follow("main")
        made.marks.put("binance-futures:BTCUSDT", 1, mark(1_745_970_800_000))
        made.valuations.answered_ms = 10**15
        await screen.shows("stale: no word of broker; prices of binance-futures are stale")
        now_ms += SETTLE_MS
        made.marks.put("binance-futures:BTCUSDT", 1, mark(now_ms))
        await screen.shows("fresh again")

    assert len([line for line in screen.lines if "stale" in line]) <= 5


async def test_it_says_that_something_was_lost_and_shows_all_of_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made, screen = tables(), Screen()
    async with watching(made, screen.output) as app:
        await screen.shows("snapshot")
        (outbox,) = app[CONNECTIONS]._open
        with monkeypatch.context() as patched:
            written: list[bytes] = []
            patched.setattr(type(outbox.connection), "write", lambda _, payload: written.append(payload))
            made.valuations.put(KEY, 2, valuation_body(upnl=e18("5")))
            await eventually(lambda: bool(written))
        made.valuations.put(KEY, 3, valuation_body(upnl=e18("6")))
        await screen.shows("upnl 6")

    assert 1 == len([line for line in screen.lines if "gap: something was lost" in line])
    assert screen.lines[-1].endswith("snapshot")


@pytest.mark.parametrize(
    ("channel", "key", "said"),
    [
        ("marks", "a:BTCUSDT", "mark 100"),
        ("totals", "main", "upnl -12.5"),
        ("positions", KEY, "positions 1"),
        ("alerts", KEY, "snapshot"),
    ],
)
async def test_other_channels_show_what_they_are_about(channel: str, key: str, said: str) -> None:
    made, screen = tables(), Screen()
    now_ms = 1_745_970_777_000
    made.marks.put("a:BTCUSDT", 1, mark(now_ms))
    sums = {"positions": 1, "unpriced": 0, "as_of_ms": now_ms, "upnl": e18("12.5"), "notional": e18("1000")}
    made.subtotals.put(f"hedger:main:0x{'b' * 40}:0", 1, sums)
    async with watching(made, screen.output, key, channel=channel):
        await screen.shows(said)


def test_the_command_offers_every_channel_and_each_has_its_line() -> None:
    (channel,) = (option for option in watch_command.params if option.name == "channel")

    assert isinstance(channel.type, click.Choice)
    assert set(Channel) == set(channel.type.choices) == set(_SHOWN)


async def test_a_key_that_is_refused_ends_it_with_what_is_expected() -> None:
    async with serving(tables()) as client:
        with pytest.raises(WatchRefused, match="bad_key: expected a key of account"):
            await watch(
                str(client.make_url("/")), "account", ["main:0x12"], interval_ms=0, token=None, output=Screen().output
            )


async def test_where_a_token_is_wanted_it_says_how_to_give_one() -> None:
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr("s" * 40))})
    async with serving(tables(), api_settings("main").model_copy(update={"auth": auth})) as client:
        for token in (None, "no token"):
            with pytest.raises(WatchRefused, match=r"not_authenticated: .*--token or as TIDEMARK_TOKEN"):
                await watch(
                    str(client.make_url("/")), "account", [KEY], interval_ms=0, token=token, output=Screen().output
                )


async def test_where_nobody_answers_it_says_what_to_do_until_somebody_did() -> None:
    screen = Screen()
    watching_nobody = watch("http://127.0.0.1:1", "account", [KEY], interval_ms=0, token=None, output=screen.output)
    task = asyncio.create_task(watching_nobody)
    await screen.shows("connecting again; is an api there? Start `tidemark up`, or give another --url")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_the_command_prints_until_it_is_interrupted_and_ends_well() -> None:
    made = tables()
    async with serving(made) as client:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidemark.cli", "watch", KEY, "--json", "--url", str(client.make_url("/")),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        while json.loads(await process.stdout.readline())["type"] != "state":
            pass
        process.send_signal(signal.SIGINT)
        assert 0 == await asyncio.wait_for(process.wait(), 40)
