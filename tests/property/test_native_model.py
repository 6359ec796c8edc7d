from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.dialects.native.client import Model
from models.codec import decode_order, decode_row
from models.views import account_view, figures_view
from tests.support.feed import e18, valuation_body
from tests.support.replica import Replica, Wire
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from api.dialects.native.session import Session

KEYS = [f"main:0x{number:040x}" for number in range(2)]
VIEWS = {"account": account_view, "valuations": figures_view}

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
        st.tuples(st.just("disconnect"), a_client),
        st.tuples(st.just("connect"), a_client, a_replica),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.05, 0.2])),
    ),
    min_size=5,
    max_size=60,
)


class Reader:
    """A client: its model, and a connection to one of the replicas, which it takes up anew as it needs to."""

    def __init__(self, interval_ms: int) -> None:
        self.model = Model()
        self.lost = 0
        self.interval_ms = interval_ms
        self.connected: tuple[Replica, Wire, Session] | None = None

    def disconnect(self) -> None:
        if self.connected is not None:
            self.connected[2].end()
            self.connected = None
        self.model.disconnected()

    def connect(self, replica: Replica) -> None:
        self.disconnect()
        self.connected = (replica, *replica.connect())
        for channel in VIEWS:
            self.send(self.model.subscribe(channel, KEYS, self.interval_ms))

    def send(self, request: dict[str, Any]) -> None:
        assert self.connected is not None
        self.connected[2].receive(json.dumps(request))

    def pause(self, *, reads: bool) -> None:
        if self.connected is not None:
            self.connected[1].reads = reads

    def lose_a_frame(self) -> None:
        if self.connected is not None and self.connected[1].frames:
            self.connected[1].frames.popleft()
            self.lost += 1

    def read(self) -> bool:
        """Take in what has come; whether there was anything."""
        if self.connected is None:
            return False
        replica, wire, _ = self.connected
        messages = wire.read()
        for message in messages:
            # A sub whose ack was lost is nobody's: a client that hears of one connects anew.
            if "sub" in message and not self.model.knows(message["sub"]):
                self.connect(replica)
                break
            answer = self.model.take(message)
            if answer is not None:
                self.send(answer)
        return bool(messages)


class World:
    """Two replicas that hear the same rows at different times, and two clients."""

    def __init__(self, intervals_ms: tuple[int, int]) -> None:
        self.replicas = [Replica(), Replica()]
        self.readers = [Reader(interval_ms) for interval_ms in intervals_ms]
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
            case ("disconnect", number):
                self.readers[number].disconnect()
            case ("connect", number, replica):
                self.readers[number].connect(self.replicas[replica])
            case ("wait", seconds):
                await asyncio.sleep(seconds)
            case _:
                raise AssertionError(step)
        await self.run()

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
        while quiet < 2:
            await asyncio.sleep(0.2)
            came = [reader.read() for reader in self.readers]
            quiet = 0 if any(came) else quiet + 1


@given(steps=steps, intervals_ms=st.tuples(st.sampled_from([0, 100]), st.sampled_from([0, 100])), last=a_replica)
@settings(max_examples=300, deadline=None)
def test_the_clients_model_ends_as_the_servers_rows_and_no_gap_goes_unnoticed(
    steps: list[tuple[Any, ...]], intervals_ms: tuple[int, int], last: int
) -> None:
    async def run() -> None:
        world = World(intervals_ms)
        for step in [("connect", 0, 0), ("connect", 1, 1), *steps]:
            await world.do(step)
        for reader in world.readers:
            if reader.connected is None:
                reader.connect(world.replicas[last])
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
                    held = reader.model.held[channel, key]
                    assert (view(key, decode_row(row).body), list(decode_order(row))) == (held.data, held.seq)
            assert not reader.model.gaps or reader.lost

    run_in_no_time(run())


@pytest.mark.parametrize("delay_s", [0, 0.001, 0.05])
def test_rows_that_come_between_subscribing_and_the_snapshot_are_in_it_or_follow_it(delay_s: float) -> None:
    async def run() -> None:
        world = World((0, 0))
        (replica, _), (reader, _) = world.replicas, world.readers
        world.update(KEYS[0], "upnl", 1)
        replica.catch_up()
        reader.connect(replica)
        for upnl in range(2, 30):
            world.update(KEYS[0], "upnl", upnl)
            replica.catch_up()
            await asyncio.sleep(delay_s)
        await world.settle()

        assert "29" == reader.model.held["account", KEYS[0]].data["upnl"]
        assert 0 == reader.model.gaps

    run_in_no_time(run())
