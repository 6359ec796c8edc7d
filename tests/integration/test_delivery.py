"""The serving core over real sockets: going away, clients that do not read, and joins without a gap."""

from __future__ import annotations

import asyncio
import json
import random
import resource
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from api.delivery.connection import Connection
from api.dialects.native.session import Session
from api.dialects.native.socket import NATIVE
from api.http.keys import CONNECTIONS, HUB
from models.codec import decode_order, decode_row
from streams.settings import ApiLimitSettings, ApiSettings, Settings
from tests.support.api import ADDRESS, api_settings, metric, serving, serving_admin
from tests.support.eventually import eventually
from tests.support.feed import FakeTables, large_body, valuation_body
from tests.support.plain_socket import FIN, TEXT, Frame, plain_socket
from tests.support.server import answers
from tests.support.views import account_view
from tests.support.virtual_loop import run_in_no_time
from tidemark_client import Core, Gap, Heard
from tidemark_client.actions import Send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from tests.support.plain_socket import PlainSocket
    from tidemark_client.actions import Action

    Api = TestClient[web.Request, web.Application]

NATIVES, LEGACY = 1_900, 100
DRAIN_S = 2.0
HINTS_WITHIN_MS = 5_000
PLENTY = ApiLimitSettings(
    messages_per_s=1_000_000,
    messages_burst=1_000_000,
    connections_per_address=10_000,
    connection_attempts_per_s=1_000_000,
    requests_per_s=1_000_000,
    requests_burst=1_000_000,
)


@pytest.fixture
def many_files() -> Iterator[None]:
    """A descriptor for each end of some thousand sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8_192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def settings_of(drain_s: float = 0.05) -> Settings:
    return api_settings("main", api=ApiSettings(drain_s=drain_s, limits=PLENTY))


def key_of(number: int) -> str:
    return f"main:0x{number:040x}"


class Reader:
    """The published client's core over a plain socket, and what else it was told; it connects when the test says so."""

    def __init__(self) -> None:
        self.core = Core()
        self.gaps = 0
        self.goodbyes: list[int] = []
        self._clock_s = asyncio.get_running_loop().time
        self._early: list[bytes] | None = []
        self.socket: PlainSocket

    async def connect(self, client: Api, *, receive_bytes: int | None = None) -> None:
        assert client.port is not None
        self.core.lost(self._clock_s(), "the test connects anew")
        self.core.retry(self._clock_s())
        early = self._early = []
        self.socket = await plain_socket(client.host, client.port, "/v1/ws", self._on_text, receive_bytes=receive_bytes)
        self._early = None
        for text in early:
            self._on_text(text)

    def subscribe(self, keys: list[str], interval_ms: int = 0, channel: str = "account") -> None:
        now_s = self._clock_s()
        self.core.subscribe(now_s, channel, keys, interval_ms)
        # What is wanted is gathered for a moment, which is skipped here.
        self._do(self.core.tick(now_s + 1))

    def send(self, request: dict[str, Any]) -> None:
        self.socket.send(json.dumps(request))

    def knows(self, sub: int) -> bool:
        """Whether the subscription was acknowledged on this connection."""
        return self.core._subscriptions.of_sub(sub) is not None

    def is_equal_to(self, tables: FakeTables, keys: list[str]) -> bool:
        """Whether the client holds what the rows say."""
        for key in keys:
            held, row = self.core.held("account", key), tables.valuations.rows[key.encode()]
            if held is None or held.seq != [*decode_order(row)]:
                return False
            assert account_view(key, decode_row(row).body) == held.data
        return True

    def _on_text(self, text: bytes) -> None:
        if self._early is not None:
            self._early.append(text)
        else:
            self._do(self.core.receive(self._clock_s(), text.decode()))

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(text):
                    self.socket.send(text)
                case Gap():
                    self.gaps += 1
                case Heard({"type": "goodbye", "reconnect_in_ms": hint_ms}):
                    self.goodbyes.append(hint_ms)
                case _:
                    pass


def shares(values: list[float], start: float, end: float) -> list[float]:
    """Which part of the values lies in each fifth of a range."""
    fifths = [0] * 5
    for value in values:
        assert start <= value <= end
        fifths[min(4, int(5 * (value - start) / (end - start)))] += 1
    return [count / len(values) for count in fifths]


async def in_groups(connecting: list[Any], size: int = 100) -> None:
    for start in range(0, len(connecting), size):
        await asyncio.gather(*connecting[start : start + size])


def test_two_thousand_sockets_are_told_and_closed_over_the_window(many_files: None) -> None:
    async def scene() -> None:
        clock_s = asyncio.get_running_loop().time
        tables = FakeTables("main")
        tables.valuations.put(key_of(0), 1, valuation_body())
        async with serving(tables, settings_of(DRAIN_S)) as client, serving_admin(client.app) as admin:
            readers = [Reader() for _ in range(NATIVES)]
            await in_groups([reader.connect(client) for reader in readers])
            legacy: list[PlainSocket] = []
            frames: list[bytes] = []

            async def connect_legacy() -> None:
                assert client.port is not None
                legacy.append(await plain_socket(client.host, client.port, "/upnl-ws", frames.append))

            await in_groups([connect_legacy() for _ in range(LEGACY)])
            for socket in legacy:
                socket.send(ADDRESS)
            sockets = [*(reader.socket for reader in readers), *legacy]
            assert NATIVES == await metric(admin, 'tidemark_api_connections{endpoint="v1-ws"}')
            assert await answers(admin.session, str(admin.make_url("/readyz")), 200)

            began_s = clock_s()
            draining = asyncio.create_task(client.app[CONNECTIONS].drain())
            await asyncio.sleep(0)
            assert await answers(admin.session, str(admin.make_url("/readyz")), 503)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect("/v1/ws")
            await draining
            took_s = clock_s() - began_s
            await eventually(lambda: all(socket.is_lost for socket in sockets))

        assert 503 == refused.value.status
        assert [1] * NATIVES == [len(reader.goodbyes) for reader in readers]
        assert {b"{}"} >= set(frames)
        assert {1012} == {socket.close_code for socket in sockets}
        assert [] == [frame for socket in sockets for frame in socket.too_late]
        assert DRAIN_S <= took_s < DRAIN_S + 0.1
        # Of 1,900, a fifth is 380 ± 17: these bounds are five times that away.
        hints = shares([reader.goodbyes[0] for reader in readers], 0, HINTS_WITHIN_MS)
        assert all(0.15 < share < 0.25 for share in hints), hints
        closed_s = sorted(socket.closed_s - began_s for socket in sockets if socket.closed_s is not None)
        # They come one after another over the window, each in its turn.
        late_s = [at_s - DRAIN_S * (turn + 1) / len(closed_s) for turn, at_s in enumerate(closed_s)]
        assert all(0 <= one_s < 0.1 for one_s in late_s)

    run_in_no_time(scene(), 0.0001)


class Writer:
    """Puts new versions of rows until it is told to stop."""

    def __init__(self, tables: FakeTables, keys: list[str], pause_s: Callable[[], float]) -> None:
        self._tables = tables
        self._keys = keys
        self._pause_s = pause_s
        self.version = 0

    def write(self, key: str) -> None:
        self.version += 1
        self._tables.valuations.put(key, self.version, large_body(self.version))

    async def run(self) -> None:
        while True:
            for key in self._keys:
                self.write(key)
            await asyncio.sleep(self._pause_s())


@asynccontextmanager
async def writing(writer: Writer) -> AsyncIterator[None]:
    task = asyncio.create_task(writer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_clients_that_do_not_read_cost_little_and_are_closed_and_the_others_get_everything(
    many_files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_after_s = 1.5
    monkeypatch.setattr("api.dialects.native.socket.NATIVE", replace(NATIVE, slow_after_s=slow_after_s))

    async def scene() -> None:
        clock_s = asyncio.get_running_loop().time
        tables = FakeTables("main")
        keys = [key_of(number) for number in range(3)]
        writer = Writer(tables, keys, lambda: 0.02)
        for key in keys:
            writer.write(key)
        async with serving(tables, settings_of()) as client, serving_admin(client.app) as admin:
            hub, connections = client.app[HUB], client.app[CONNECTIONS]
            reading, pausing = [Reader() for _ in range(150)], [Reader() for _ in range(10)]
            deaf = [Reader() for _ in range(40)]
            await in_groups([reader.connect(client) for reader in (*reading, *pausing)])
            await in_groups([reader.connect(client, receive_bytes=4_096) for reader in deaf])
            for reader in (*reading, *pausing):
                reader.subscribe(keys, interval_ms=100)
            for reader in deaf:
                reader.subscribe(keys)
            for reader in (*pausing, *deaf):
                reader.socket.transport.pause_reading()

            async with writing(writer):
                await eventually(lambda: hub.blocked >= len(deaf), timeout_s=30)
                blocked_s = clock_s()
                for reader in pausing:
                    reader.socket.transport.resume_reading()
                resident_bytes = resident()
                largest_unsent = largest_control = largest_pending = 0
                while not hub.slow_closes:
                    opened = list(connections._open)
                    largest_unsent = max(largest_unsent, *(outbox.connection.unsent_bytes for outbox in opened))
                    largest_pending = max(largest_pending, *(len(outbox._pending) for outbox in opened))
                    largest_control = max(largest_control, round(await metric(admin, "tidemark_api_outbox_bytes")))
                    await asyncio.sleep(0.02)
                first_close_s = clock_s() - blocked_s
                grown_bytes = resident() - resident_bytes
                await eventually(lambda: hub.slow_closes == len(deaf), timeout_s=30)
            await eventually(
                lambda: all(reader.is_equal_to(tables, keys) for reader in (*reading, *pausing)), timeout_s=30
            )
            await eventually(lambda: len(connections._open) == len(reading) + len(pausing))
            assert len(deaf) == await metric(admin, "tidemark_api_slow_closes_total")
            for reader in deaf:
                reader.socket.transport.resume_reading()
            await eventually(lambda: all(reader.socket.is_lost for reader in deaf))

            assert {0} == {reader.gaps for reader in (*reading, *pausing)}
            assert {None} == {reader.socket.close_code for reader in (*reading, *pausing)}

        assert grown_bytes < 16_000_000
        # Not all were blocked at the same moment.
        assert slow_after_s - 0.2 < first_close_s < slow_after_s + 0.2
        # Two frames, and the frame that was being written, with the message that filled it.
        assert largest_unsent < 131_072 + 65_536 + 20_000
        assert largest_pending <= len(keys) + 1
        assert largest_control < 4_096

    run_in_no_time(scene(), 0.0001)


async def test_snapshots_and_changes_join_without_a_gap_however_they_are_delayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(5)
    # A frame that was due waits, now and then, for the client to read again.
    monkeypatch.setattr(Connection, "is_blocked", property(lambda _: chance.random() < 0.3))
    tables = FakeTables("main")
    keys = [key_of(number) for number in range(12)]
    writer = Writer(tables, keys[:-2], lambda: chance.uniform(0, 0.004))
    for key in keys[2:]:
        writer.write(key)
    async with serving(tables, settings_of()) as client:
        readers = [Reader() for _ in range(6)]
        for reader in readers:
            await reader.connect(client)

        async def come_and_go(reader: Reader) -> None:
            for _ in range(40):
                some = chance.sample(keys, chance.randint(1, len(keys)))
                reader.subscribe(some, chance.choice([0, 5, 20]))
                await asyncio.sleep(chance.uniform(0, 0.02))
                match chance.choice(["go on", "resync", "connect anew"]):
                    case "resync" if reader.knows(1):
                        reader.send({"op": "resync", "id": 10_000, "sub": 1})
                    case "connect anew":
                        reader.socket.transport.abort()
                        await reader.connect(client)
                    case _:
                        pass
            reader.subscribe(keys)

        async with writing(writer):
            await asyncio.gather(*map(come_and_go, readers))
        for key in keys:
            writer.write(key)
        await eventually(lambda: all(reader.is_equal_to(tables, keys) for reader in readers))

    assert [0] * len(readers) == [reader.gaps for reader in readers]


async def test_nothing_follows_the_close_frame_of_one_that_breaks_the_protocol() -> None:
    tables = FakeTables("main")
    writer = Writer(tables, [key_of(0)], lambda: 0)
    writer.write(key_of(0))
    async with serving(tables, settings_of()) as client:
        reader = Reader()
        await reader.connect(client)
        reader.subscribe([key_of(0)])
        await eventually(lambda: reader.is_equal_to(tables, [key_of(0)]))
        reader.socket.answers_close = False
        async with writing(writer):
            reader.socket.transport.write(Frame(0x70 | FIN | TEXT, b"{}").encode())
            await eventually(lambda: reader.socket.is_lost)

    assert 1002 == reader.socket.close_code
    assert [] == reader.socket.too_late


async def test_a_fault_of_ours_ends_one_connection_with_a_code_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_session: Session, _text: str) -> None:
        msg = "a fault of the test"
        raise ZeroDivisionError(msg)

    tables = FakeTables("main")
    tables.valuations.put(key_of(0), 1, valuation_body())
    async with serving(tables, settings_of()) as client:
        faulty, other = Reader(), Reader()
        await faulty.connect(client)
        await other.connect(client)
        with monkeypatch.context() as patched:
            patched.setattr(Session, "receive", fail)
            faulty.send({"op": "ping", "id": 1})
            await eventually(lambda: faulty.socket.is_lost)
        other.subscribe([key_of(0)])
        await eventually(lambda: other.is_equal_to(tables, [key_of(0)]))

    assert 1011 == faulty.socket.close_code
    assert [] == faulty.socket.too_late
