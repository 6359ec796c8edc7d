"""Whatever a client sends to ``/v1/ws``: it is answered or closed with a code, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiohttp import WSCloseCode
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.dialects.native.protocol import MESSAGE_MAX_BYTES, Channel, Close
from api.http.keys import CONNECTIONS
from streams.settings import ApiLimitSettings, ApiSettings
from tests.support.api import api_settings, serving
from tests.support.eventually import eventually
from tests.support.faults import nothing_fails
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.native import NativeServer
from tests.support.plain_socket import BINARY, CLOSE, CONTINUATION, FIN, HANDSHAKE, PING, PONG, TEXT, Frame, handshake
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from tests.support.native import Line

KEY = "main:0x" + "ab" * 20
MARK = "binance-futures:BTCUSDT"
PLENTY = ApiSettings(
    drain_s=0.05,
    limits=ApiLimitSettings(
        messages_per_s=1_000_000,
        messages_burst=1_000_000,
        connection_attempts_per_s=1_000_000,
        requests_per_s=1_000_000,
        requests_burst=1_000_000,
    ),
)

# JSON that is at the edge of what a number, a text or a nest of anything may be, or beyond.
EDGES = (
    "0", "-0", "-1", "1.0", "1e2", "1e400", "-1e400", "NaN", "Infinity", "9007199254740992", "18446744073709551616",
    "9" * 400, "9" * 5_000, "01", "+1", "0x10", "null", "true", '""', '"\\u0000"', '"\\ud800"', '"\\udc00"',
    '"\\ud800\\u0041"', '"\\ud83d\\ude00"', '"\\x"', '"é\u2028"', '"' + "a" * 30_000 + '"', "[" * 3_000,
    "[" * 3_000 + "]" * 3_000, '{"a":' * 3_000 + "1" + "}" * 3_000, "[[[[1]]]]", "{}", "[]", '{"a":1,"a":2}',
    f'["{KEY}"]', f'["{MARK}"]', "[1,2]", f'{{"{KEY}":{{"epoch":1,"seq":[1,1]}}}}',
    f'{{"{KEY}":{{"epoch":1,"seq":[{"9" * 60},1]}}}}', f'{{"{KEY}":null}}', f'["{KEY}","{KEY}"]',
)  # fmt: skip
OPS = ("auth", "subscribe", "unsubscribe", "resync", "ping")
CHANNELS = (*Channel, "")
FIELDS = ("op", "id", "channel", "keys", "interval_ms", "resume", "subs", "sub", "token")

a_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
a_value = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from((*OPS, *CHANNELS, KEY, MARK, "main")).map(json.dumps),
    st.integers(-2, 4).map(str),
    a_json.map(json.dumps),
)
VALID: tuple[dict[str, Any], ...] = (
    {"op": "ping", "id": 1},
    {"op": "auth", "id": 1, "token": "x"},
    {"op": "subscribe", "id": 1, "channel": "account", "keys": [KEY], "interval_ms": 0},
    {"op": "subscribe", "id": 2, "channel": "marks", "keys": [MARK], "resume": {MARK: {"epoch": 1, "seq": [1, 1]}}},
    {"op": "unsubscribe", "id": 3, "subs": [1]},
    {"op": "resync", "id": 4, "sub": 1},
)


def encode(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"


@st.composite
def nearly_valid(draw: st.DrawFn) -> str:
    """A request one or two of whose fields are replaced, missing, repeated or of another kind."""
    valid = draw(st.sampled_from(VALID))
    pairs = [(name, json.dumps(value)) for name, value in valid.items()]
    for _ in range(draw(st.integers(0, 2))):
        match draw(st.sampled_from(("replace", "remove", "add", "shuffle"))):
            case "replace" if pairs:
                at = draw(st.integers(0, len(pairs) - 1))
                pairs[at] = pairs[at][0], draw(a_value)
            case "remove" if pairs:
                del pairs[draw(st.integers(0, len(pairs) - 1))]
            case "add":
                pairs.append((draw(st.sampled_from(FIELDS) | st.text(max_size=5)), draw(a_value)))
            case _:
                pairs = draw(st.permutations(pairs))
    text = encode(pairs)
    return text if draw(st.integers(0, 9)) else text[: draw(st.integers(0, len(text)))]


a_text = st.one_of(nearly_valid(), nearly_valid(), a_json.map(json.dumps), st.text(), st.sampled_from(EDGES))
a_frame = a_text | st.binary(max_size=64)


def tables() -> FakeTables:
    made = FakeTables("main")
    made.valuations.put(KEY, 1, valuation_body())
    return made


def is_answer(message: dict[str, Any]) -> bool:
    return message["type"] in {"ack", "error"}


async def answered(line: Line, frame: str | bytes) -> None:
    """Send a frame: it is answered, the one too many before the close."""
    line.say(frame)
    raw: list[bytes] = []
    for _ in range(6):
        await asyncio.sleep(0)
        raw += line.frames
        line.frames.clear()
    assert not any(b"Traceback" in part or b'File \\"' in part for part in raw)
    messages = [message for part in raw for message in json.loads(part)]
    assert 1 == sum(map(is_answer, messages)), (frame, messages)
    assert line.close_code in {None, Close.BAD_MESSAGES}


@pytest.mark.parametrize("valid", VALID, ids=lambda valid: valid["op"])
def test_every_field_may_hold_anything(valid: dict[str, Any]) -> None:
    async def run() -> None:
        server = NativeServer(api_settings("main", api=PLENTY), tables())
        for name in (*valid, "unknown"):
            for edge in EDGES:
                others = [(other, json.dumps(value)) for other, value in valid.items() if other != name]
                async with server.client() as line:
                    await line.heard()
                    await answered(line, encode([*others, (name, edge)]))
                    await answered(line, encode([(name, edge), *others, (name, edge)]))

    with nothing_fails():
        run_in_no_time(run())


@given(frames=st.lists(a_frame, min_size=1, max_size=14))
@example(frames=["x"] * 14)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_frame_is_answered_or_the_connection_closed_with_a_code_and_others_go_on(
    frames: list[str | bytes],
) -> None:
    async def run() -> None:
        made = tables()
        server = NativeServer(api_settings("main", api=PLENTY), made)
        async with server.client() as line, server.client() as other:
            other.ask("subscribe", channel="valuations", keys=[KEY], interval_ms=0)
            await line.heard()
            await other.heard()
            for frame in frames:
                if line.close_code is None:
                    await answered(line, frame)
            if line.close_code is None:
                pinged = line.ask("ping")
                assert {"type": "ack", "id": pinged, "op": "ping"} in await line.heard()
            made.valuations.put(KEY, 2, valuation_body(upnl=e18("1")))
            (delta,) = await other.heard()
            assert {"upnl": "1"} == delta["data"]
            assert other.close_code is None
        assert set() == server.interest.watched

    with nothing_fails():
        run_in_no_time(run())


PING_LAST = Frame(FIN | TEXT, b'{"op":"ping","id":777}')
# What RFC 6455 has for clients that break it, and our own.
CODES = {
    WSCloseCode.OK,
    WSCloseCode.PROTOCOL_ERROR,
    WSCloseCode.INVALID_TEXT,
    WSCloseCode.MESSAGE_TOO_BIG,
    Close.BAD_MESSAGES,
}
a_payload = st.one_of(st.binary(max_size=130), a_text.map(lambda text: text.encode(errors="surrogatepass")))
a_wire_frame = st.builds(
    Frame,
    st.one_of(
        st.sampled_from([FIN | TEXT, FIN | BINARY, FIN | PING, FIN | PONG, TEXT, BINARY, CONTINUATION, FIN]),
        st.sampled_from([PING, PONG, CLOSE, FIN | CLOSE]),
        st.integers(0, 255),
    ),
    a_payload,
    st.integers(0, 9).map(bool),
)
BY_HAND: tuple[list[Frame], ...] = (
    [Frame(TEXT, b'{"op":"pi'), Frame(FIN | PING, b"between"), Frame(FIN, b'ng","id":1}')],
    [Frame(PING, b"a control frame"), Frame(FIN, b"in two")],
    [Frame(FIN | PING, b"x" * 126)],
    [Frame(FIN | TEXT, b"\xff\xfe")],
    [Frame(TEXT, b'"\xe2\x82'), Frame(FIN, b'\xac"')],
    [Frame(FIN | TEXT, b'{"op":"ping","id":1}', is_masked=False)],
    [Frame(FIN | TEXT, b'{"op":"ping","id":' + b"1" * 1_000_000 + b"}")],
    [Frame(FIN | TEXT, b'{"op":"ping","id":"' + b"x" * (MESSAGE_MAX_BYTES - 40) + b'"}')],
    [Frame(TEXT, b"x" * 40_000), Frame(CONTINUATION, b"x" * 40_000), Frame(FIN, b"x")],
    [Frame(FIN | CLOSE, b"\x03")],
    [Frame(FIN | CLOSE, b"\x03\xe8\xff")],
    [Frame(FIN | CLOSE, (1005).to_bytes(2))],
    [Frame(0x70 | FIN | TEXT, b"{}")],
    [Frame(FIN | TEXT, b""), Frame(FIN | BINARY, b""), Frame(FIN | CONTINUATION, b"")],
)


class Talked(NamedTuple):
    """What the server said: text frames, and the code it closed with."""

    texts: list[bytes]
    close_code: int | None


async def talk(client: TestClient[web.Request, web.Application], sent: bytes, *, ends: bool) -> Talked:
    """Shake hands, send bytes, and read until a ping is answered or the server closes; ``ends``: send no more."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(handshake("/v1/ws"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        writer.write(sent)
        if ends:
            writer.write_eof()
        async with asyncio.timeout(20):
            return await _read(reader)
    finally:
        writer.close()


@pytest.mark.parametrize("path", ["/v1/ws", "/upnl-ws"])
async def test_a_handshake_that_is_none_is_refused_and_whatever_else_stands_in_it_does_no_harm(path: str) -> None:
    odd = ("", "é" * 16, "x", "\x80" * 24, "a,b;c=d", "9" * 4_000, "dGhlIHNhbXBsZSBub25jZQ==")
    names = [*HANDSHAKE, "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Origin", "X-Forwarded-For"]
    statuses = set()
    with nothing_fails():
        async with serving(tables(), api_settings("main", api=PLENTY)) as client:
            for name in names:
                for value in odd:
                    reader, writer = await asyncio.open_connection(client.host, client.port)
                    writer.write(handshake(path, **{name: value}))
                    statuses.add((await reader.readline()).split()[1])
                    writer.close()

    assert {b"101", b"400"} <= statuses <= {b"101", b"400", b"426"}


async def _read(reader: asyncio.StreamReader) -> Talked:
    texts: list[bytes] = []
    while True:
        try:
            first, size = await reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
            payload = await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return Talked(texts, None)
        if first == FIN | CLOSE:
            return Talked(texts, int.from_bytes(payload[:2]))
        if first == FIN | TEXT:
            texts.append(payload)
            if b'"id":777' in payload:
                return Talked(texts, None)
        else:
            assert FIN | PONG == first


def test_whatever_bytes_come_over_a_socket_it_is_answered_or_closed_and_a_fresh_one_is_served() -> None:
    with asyncio.Runner() as runner, nothing_fails():
        serving_now = serving(tables(), api_settings("main", api=PLENTY))
        client = runner.run(serving_now.__aenter__())

        async def look(sent: bytes, *, ends: bool) -> Talked:
            talked = await talk(client, sent, ends=ends)
            assert not any(b"Traceback" in text for text in talked.texts)
            assert all(isinstance(json.loads(text), list) for text in talked.texts)
            fresh = await talk(client, PING_LAST.encode(), ends=False)
            assert any(b'"id":777' in text for text in fresh.texts)
            return talked

        @given(frames=st.lists(a_wire_frame, min_size=1, max_size=5))
        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        def whole_frames(frames: list[Frame]) -> None:
            sent = b"".join(frame.encode() for frame in (*frames, PING_LAST))
            talked = runner.run(look(sent, ends=False))
            is_answered = any(b'"id":777' in text for text in talked.texts)
            assert is_answered or talked.close_code in CODES, talked

        @given(sent=st.binary(max_size=200))
        @settings(max_examples=40, deadline=None)
        def any_bytes(sent: bytes) -> None:
            talked = runner.run(look(sent, ends=True))
            assert talked.close_code in {None, *CODES}, talked

        for frames in BY_HAND:
            whole_frames = example(frames=frames)(whole_frames)
        whole_frames()
        any_bytes()
        runner.run(eventually(lambda: not client.app[CONNECTIONS]._open))
        runner.run(serving_now.__aexit__(None, None, None))
