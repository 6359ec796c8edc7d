"""A replica of the api without a network: the real hub, directory and sessions, and a wire that the test holds."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

from api.access.auth import Guard
from api.access.limits import TokenBucket, TokenBuckets
from api.access.tokens import ANYONE
from api.delivery.connection import Connection
from api.delivery.hub import Hub
from api.delivery.outbox import Outbox
from api.dialects.native.directory import Directory
from api.dialects.native.protocol import hello
from api.dialects.native.session import Session
from api.dialects.native.socket import NATIVE
from api.tables.deployment_totals import Totals
from api.tables.freshness import Freshness
from api.tables.funding_board import FundingBoard
from api.tables.listing import Listings
from api.tables.market_prices import MarketPrices
from models.codec import decode_order, decode_row
from streams.replicas.heartbeat_reader import Heartbeats
from tests.support.api import FakeInterest, api_settings
from tests.support.feed import FakeTables
from tests.support.views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Mapping


def _now_ms() -> int:
    return 1_745_970_800_000


class Wire(Connection):
    """What was written and not read yet; a client that does not read blocks it."""

    def __init__(self) -> None:
        self.dialect = NATIVE
        self.is_closing = False
        self.reads = True
        self.frames: deque[bytes] = deque()
        self.close_code: int | None = None

    @property
    def is_blocked(self) -> bool:
        return not self.reads

    def write(self, payload: bytes) -> None:
        assert self.reads
        self.frames.append(payload)

    def close(self, code: int, reason: bytes = b"") -> None:  # noqa: ARG002 - the signature is the connection's
        self.is_closing, self.close_code = True, code

    def read(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        while self.frames:
            messages += json.loads(self.frames.popleft())
        return messages


class Replica:
    """One api of a deployment ``main``; rows reach it when the test lets them."""

    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch
        self.tables = FakeTables("main")
        self.hub = Hub()
        settings = api_settings("main")
        prices = MarketPrices(settings, self.tables.feeds)
        self.directory = Directory(
            epoch,
            settings.deployments,
            self.tables.feeds,
            totals=Totals(self.tables.feeds),
            funding=FundingBoard(
                settings,
                Listings(settings, self.tables.feeds, prices, _now_ms),
                _now_ms,
            ),
            hub=self.hub,
            interest=FakeInterest(),
            is_unsupported=lambda _: False,
            freshness=Freshness(settings, self.tables.feeds, prices, Heartbeats(), _now_ms),
            views=VIEWS,
        )
        self._late: deque[tuple[str, int, Mapping[str, Any]]] = deque()

    def restarted(self) -> Replica:
        """Another process in its place, which has read what this one had."""
        made = Replica(self.epoch)
        for key, row in self.tables.valuations.rows.items():
            made.tables.valuations.put(key.decode(), decode_order(row)[1], decode_row(row).body)
        made._late = self._late
        return made

    def hello(self) -> bytes:
        """The frame that a connection begins with."""
        limits = {"subscriptions": 1_024, "message_bytes": 65_536, "messages_per_s": 1_000, "messages_burst": 1_000}
        said = hello(
            connection="test", epoch=self.epoch, server_time_ns="1", heartbeat_ms=5_000, auth="open", limits=limits
        )
        return b"[%b]" % said

    def put_late(self, key: str, version: int, body: Mapping[str, Any]) -> None:
        self._late.append((key, version, body))

    def catch_up(self, rows: int | None = None) -> None:
        for _ in range(len(self._late) if rows is None else min(rows, len(self._late))):
            self.tables.valuations.put(*self._late.popleft())

    def connect(self) -> tuple[Wire, Session]:
        wire = Wire()
        session = Session(
            Outbox(wire),
            self.hub,
            self.directory,
            Guard(None, TokenBuckets(1, 1), self.hub.now_s),
            client="test",
            messages=TokenBucket(1_000_000, 1_000_000),
            epoch=self.epoch,
            principal=ANYONE,
            on_subject=lambda _: None,
        )
        return wire, session
