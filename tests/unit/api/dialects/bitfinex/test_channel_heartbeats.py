"""Heartbeats of channels that have nothing to say, on a clock that stands while anything works."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from api.delivery.hub import Hub
from api.delivery.outbox import Outbox
from api.dialects.bitfinex.account_channel import AccountChannel
from api.dialects.bitfinex.api_keys import ApiKey
from api.dialects.bitfinex.heard_frames import SNAPSHOTS, Frame, Hearing
from api.dialects.bitfinex.numbered_frames import NumberedFrames
from api.dialects.bitfinex.socket_endpoint import DIALECT
from tests.support.replica import Wire
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from api.dialects.bitfinex.account_book import Listener
    from api.dialects.bitfinex.calc_requests import Calculation


class QuietBook:
    """An account that has nothing, of which something happens when the test says so."""

    accounts: Collection[bytes] = ()
    listener: Listener

    def begin(self, listener: Listener) -> Sequence[Frame]:
        self.listener = listener
        return self.snapshots()

    def snapshots(self) -> Sequence[Frame]:
        return [Frame(type_, []) for type_ in SNAPSHOTS]

    def calculate(self, calculation: Calculation) -> Frame | None:  # noqa: ARG002 - as books are asked
        return None

    def end(self) -> None:
        pass


def read(wire: Wire) -> list[Any]:
    frames = [json.loads(frame) for frame in wire.frames]
    wire.frames.clear()
    return frames


def test_an_account_that_is_silent_has_a_heartbeat_every_15_seconds_counted_from_its_last_frame() -> None:
    async def scene() -> None:
        wire, book = Wire(), QuietBook()
        wire.dialect = DIALECT
        hub = Hub()
        channel = AccountChannel(
            Outbox(wire),
            hub,
            NumberedFrames(lambda: 0),
            book=book,
            hearing=Hearing(ApiKey("s", "u", ("desk:a",)), ()),
            says_unknown=False,
        )
        channel.begin()
        await asyncio.sleep(14.9)
        assert list(SNAPSHOTS) == [frame[1] for frame in read(wire)]
        await asyncio.sleep(0.2)
        assert [[0, "hb"]] == read(wire)
        await asyncio.sleep(5)
        book.listener.on_frames([Frame("bu", [1.0, 2.0])])
        await asyncio.sleep(14.9)
        assert [[0, "bu", [1, 2]]] == read(wire)
        await asyncio.sleep(30.3)
        assert [[0, "hb"]] * 3 == read(wire)
        channel.end()
        await asyncio.sleep(60)
        assert [] == read(wire)

    run_in_no_time(scene(), 0.001)
