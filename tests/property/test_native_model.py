"""The published clients of ``/v1/ws``, Python and TypeScript, against two replicas that are killed and late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codec import decode_order, decode_row
from tests.support.feed import e18, valuation_body
from tests.support.published_cores import LANGUAGES, published_cores
from tests.support.replica import Replica, Wire
from tests.support.views import account_view, figures_view
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api.dialects.native.session import Session
    from tests.support.published_cores import PublishedCore

KEYS = [f"main:0x{number:040x}" for number in range(2)]
VIEWS = {"account": account_view, "valuations": figures_view}

# A minute and a half, in which a client that waits for an answer in vain has come back twice.
MOST_TURNS = 450

# An update touches one part of an account, so that what one delta carried no later one says again.
PARTS = ("upnl", "equity", "notional", "quotes")
a_client, a_replica, a_key = st.integers(0, 1), st.integers(0, 1), st.integers(0, 1)
updates = st.tuples(st.just("update"), a_key, st.sampled_from(PARTS), st.integers(1, 4))
steps = st.lists(
    st.one_of(
        updates,
        updates,
        st.tuples(st.just("catch up"), a_replica, st.integers(1, 6)),
        st.tuples(st.just("catch up"), a_replica, st.integers(1, 6)),
        st.tuples(st.just("read"), a_client),
        st.tuples(st.just("stop reading"), a_client),
        st.tuples(st.just("lose a frame"), a_client),
        st.tuples(st.just("lose news"), a_client, a_key, st.sampled_from(PARTS), st.integers(1, 4)),
        st.tuples(st.just("disconnect"), a_client),
        st.tuples(st.just("connect"), a_client, a_replica),
        st.tuples(st.just("kill"), a_replica),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.05, 0.2, 16.0])),
    ),
    min_size=12,
    max_size=60,
)


@pytest.fixture(scope="module", params=LANGUAGES)
def new_client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], PublishedCore]]:
    with published_cores(request.param, tmp_path_factory.mktemp("client")) as make:
        yield make


def now_s() -> float:
    return asyncio.get_running_loop().time()


class Reader:
    """What holds a client's socket: it connects to the replica that it is sent to whenever the client wants to."""

    def __init__(self, client: PublishedCore, replicas: list[Replica], number: int, interval_ms: int) -> None:
        self.client = client
        self.replicas = replicas
        self.number = number
        self.lost = 0
        self.gaps = 0
        self.connected: tuple[Wire, Session] | None = None
        for channel in VIEWS:
            client.subscribe(now_s(), channel, KEYS, interval_ms)
        self.do(client.start(now_s()))

    def do(self, actions: list[dict[str, Any]]) -> None:
        for action in actions:
            match action["do"]:
                case "connect":
                    self.connected = self.replicas[self.number].connect()
                    self.do(self.client.receive(now_s(), self.replicas[self.number].hello().decode()))
                case "send":
                    assert self.connected is not None
                    self.connected[1].receive(action["text"])
                case "disconnect":
                    self.hang_up()
                case "gap":
                    self.gaps += 1
                case _:
                    pass

    def hang_up(self) -> None:
        if self.connected is not None:
            self.connected[1].end()
            self.connected = None

    def disconnect(self) -> None:
        if self.connected is not None:
            self.hang_up()
            self.do(self.client.lost(now_s(), "killed"))

    def connect(self, number: int) -> None:
        self.number = number
        self.disconnect()
        self.do(self.client.retry(now_s()))

    def pause(self, *, reads: bool) -> None:
        if self.connected is not None:
            self.connected[0].reads = reads

    def lose_a_frame(self) -> None:
        if self.connected is not None and self.connected[0].frames:
            self.connected[0].frames.popleft()
            self.lost += 1

    def read(self) -> bool:
        """Take in what has come; whether there was anything."""
        was_any = False
        while self.connected is not None and self.connected[0].frames:
            was_any = True
            self.do(self.client.receive(now_s(), self.connected[0].frames.popleft().decode()))
        return was_any

    def tick(self) -> None:
        self.do(self.client.tick(now_s()))


class World:
    """Two replicas that hear the same rows at different times, and two clients."""

    def __init__(self, new_client: Callable[[], PublishedCore], intervals_ms: tuple[int, int]) -> None:
        self.replicas = [Replica(), Replica()]
        self.readers = [
            Reader(new_client(), self.replicas, number, interval_ms) for number, interval_ms in enumerate(intervals_ms)
        ]
        self.versions = dict.fromkeys(KEYS, 0)
        self.parts: dict[str, dict[str, int]] = {key: {} for key in KEYS}

    async def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("update", number, part, value):
                self.update(KEYS[number], part, value)
            case ("catch up", number, rows):
                self.replicas[number].catch_up(rows)
            case ("read", number):
                self.readers[number].pause(reads=True)
                await self.run()
                self.readers[number].read()
            case ("stop reading", number):
                self.readers[number].pause(reads=False)
            case ("lose a frame", number):
                self.readers[number].lose_a_frame()
            case ("lose news", number, key, part, value):
                await self.lose_news(self.readers[number], KEYS[key], part, value)
            case ("disconnect", number):
                self.readers[number].disconnect()
            case ("connect", number, replica):
                self.readers[number].connect(replica)
            case ("kill", number):
                self.kill(number)
            case ("wait", seconds):
                await asyncio.sleep(seconds)
            case _:
                raise AssertionError(step)
        await self.run()
        for reader in self.readers:
            reader.tick()
        await self.run()

    async def lose_news(self, reader: Reader, key: str, part: str, value: int) -> None:
        """Let a client take in all there is, and lose the one frame that says what changed then."""
        reader.pause(reads=True)
        for replica in self.replicas:
            replica.catch_up()
        await asyncio.sleep(0.2)
        reader.read()
        self.update(key, part, value)
        for replica in self.replicas:
            replica.catch_up()
        await asyncio.sleep(0.2)
        reader.lose_a_frame()

    def kill(self, number: int) -> None:
        """End a replica with its connections; another process takes its place."""
        for reader in self.readers:
            if reader.number == number:
                reader.disconnect()
        self.replicas[number] = self.replicas[number].restarted()

    async def run(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    def update(self, key: str, part: str, value: int) -> None:
        self.versions[key] += 1
        parts = self.parts[key]
        parts[part] = value
        (position,) = valuation_body()["positions"]
        money = {name: e18(str(parts[name])) for name in ("upnl", "equity", "notional") if name in parts}
        positions = [{**position, "quote": number} for number in range(parts.get("quotes", 0))]
        body = valuation_body(**money, positions=positions, block=parts.get("block", 1))
        for replica in self.replicas:
            replica.put_late(key, self.versions[key], body)

    async def settle(self) -> None:
        """Let what is due go out, and the clients answer it, until nothing more comes."""
        quiet = 0
        for _ in range(MOST_TURNS):
            await asyncio.sleep(0.2)
            came = [reader.read() for reader in self.readers]
            for reader in self.readers:
                reader.tick()
            is_quiet = not any(came) and all(reader.client.is_settled for reader in self.readers)
            quiet = quiet + 1 if is_quiet else 0
            if quiet == 2:
                return
        pytest.fail("expected clients that have all that they asked for, found some that wait for ever")


@given(steps=steps, intervals_ms=st.tuples(st.sampled_from([0, 100]), st.sampled_from([0, 100])), last=a_replica)
@settings(max_examples=300, deadline=None)
def test_the_clients_model_ends_as_the_servers_rows_and_no_gap_goes_unnoticed(
    new_client: Callable[[], PublishedCore], steps: list[tuple[Any, ...]], intervals_ms: tuple[int, int], last: int
) -> None:
    async def run() -> None:
        world = World(new_client, intervals_ms)
        for step in steps:
            await world.do(step)
        for reader in world.readers:
            if reader.connected is None:
                reader.connect(last)
            reader.pause(reads=True)
        # A frame that was lost shows with the next one; the second update finds the interval of the first running.
        for block in (2, 3):
            for key in KEYS:
                world.update(key, "block", block)
            for replica in world.replicas:
                replica.catch_up()
            await world.run()
        await world.settle()

        rows = world.replicas[0].tables.valuations.rows
        for reader in world.readers:
            for key in KEYS:
                row = rows[key.encode()]
                for channel, view in VIEWS.items():
                    state = 1, list(decode_order(row)), view(key, decode_row(row).body)
                    assert state == reader.client.held(channel, key)
            assert not reader.gaps or reader.lost

    run_in_no_time(run())


@pytest.mark.parametrize("delay_s", [0, 0.001, 0.05])
def test_rows_that_come_between_subscribing_and_the_snapshot_are_in_it_or_follow_it(
    new_client: Callable[[], PublishedCore], delay_s: float
) -> None:
    async def run() -> None:
        world = World(new_client, (0, 0))
        (replica, _), (reader, _) = world.replicas, world.readers
        world.update(KEYS[0], "upnl", 1)
        replica.catch_up()
        reader.connect(0)
        for upnl in range(2, 30):
            world.update(KEYS[0], "upnl", upnl)
            replica.catch_up()
            await asyncio.sleep(delay_s)
        await world.settle()

        held = reader.client.held("account", KEYS[0])
        assert held is not None
        assert "29" == held[2]["upnl"]
        assert 0 == reader.gaps

    run_in_no_time(run())
