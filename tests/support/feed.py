"""A Feed without Kafka, and rows of the tables the api reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from api.tables.feeds import Feeds
from models.codec import encode_row
from models.deployments import DeploymentState, Gap, encode_deployment
from models.money import parse_e18
from models.watermarks import DeploymentWatermark, encode_watermark
from streams.settings import TopicSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from msgspec import Struct

    from models.row_bodies import DeploymentBody


HEAD_TIME_S = 1_745_970_700


class FakeFeed:
    """Rows put by the test; ready when the test says so."""

    def __init__(self, *, ready: bool = True) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.lag_records = 0
        self.newest_ms = 0
        self.answered_ms = 10**15
        self._listeners: list[Callable[[Sequence[bytes]], None]] = []
        self._row_listeners: list[Callable[[bytes, bytes], None]] = []
        self._ready = asyncio.Event()
        if ready:
            self._ready.set()

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        await self._ready.wait()

    def become_ready(self) -> None:
        self._ready.set()

    def listen(self, on_rows: Callable[[Sequence[bytes]], None]) -> None:
        self._listeners.append(on_rows)

    def listen_rows(self, on_row: Callable[[bytes, bytes], None]) -> None:
        self._row_listeners.append(on_row)

    def put(self, key: str, version: int, body: Mapping[str, Any] | Struct) -> None:
        self.rows[key.encode()] = encode_row(1, version, body)
        for on_row in self._row_listeners:
            on_row(key.encode(), self.rows[key.encode()])
        for on_rows in self._listeners:
            on_rows([key.encode()])

    def put_rows(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Put encoded rows, as they come of one answer to a fetch."""
        for key, row in rows:
            self.rows[key] = row
            for on_row in self._row_listeners:
                on_row(key, row)
        for on_rows in self._listeners:
            on_rows([key for key, _ in rows])

    def remove(self, key: str) -> None:
        """Take the row away, as its Kafka tombstone does."""
        del self.rows[key.encode()]
        for on_rows in self._listeners:
            on_rows([key.encode()])


class FakeTables:
    """The api's tables. ``deployments`` says of each deployment that it is followed, folded and supported."""

    def __init__(self, *deployments: str, ready: bool = True) -> None:
        self.valuations = FakeFeed(ready=ready)
        self.deployments = FakeFeed(ready=ready)
        self.marks = FakeFeed(ready=ready)
        self.watermarks = FakeFeed(ready=ready)
        self.markets = FakeFeed(ready=ready)
        self.subtotals = FakeFeed(ready=ready)
        self.instruments = FakeFeed(ready=ready)
        self.alerts = FakeFeed(ready=ready)
        self.position_states = FakeFeed(ready=ready)
        self.references = FakeFeed(ready=ready)
        self.statements = FakeFeed(ready=ready)
        for name in deployments:
            self.follow(name)

    def follow(self, deployment: str) -> None:
        """Make the deployment one that every partition has folded to its head."""
        self.deployments.put(deployment, 1, deployment_body())
        for partition in range(TopicSettings().partitions):
            self.fold(deployment, partition, head=120)

    def fold(self, deployment: str, partition: int, *, head: int) -> None:
        """Let one partition have folded up to ``head``."""
        body = encode_watermark(DeploymentWatermark(applied=(40, -1), head=head))
        self.watermarks.put(f"{deployment}:{partition}", 1, body)

    @property
    def feeds(self) -> Feeds:
        return Feeds(*self.all_feeds)

    def become_ready(self) -> None:
        for feed in self.all_feeds:
            feed.become_ready()

    @property
    def all_feeds(self) -> tuple[FakeFeed, ...]:
        return (
            self.valuations,
            self.deployments,
            self.marks,
            self.watermarks,
            self.markets,
            self.subtotals,
            self.instruments,
            self.alerts,
            self.position_states,
            self.references,
            self.statements,
        )


def e18(text: str) -> str:
    """Money as rows hold it: the decimal text of a 1e18-scaled integer."""
    return str(parse_e18(text))


def deployment_body(*gaps: Gap) -> DeploymentBody:
    state = DeploymentState(position=(41, -1), head=120, head_time_s=HEAD_TIME_S, final=56, begun_at=3, gaps=gaps)
    return encode_deployment(state)


def unsupported_body() -> DeploymentBody:
    """A deployment that is unsupported since block 110."""
    return deployment_body(Gap(since=(38, 0), block=110, reason="DiamondCut in block 110"))


def valuation_body(**changes: object) -> dict[str, Any]:
    """A valued account with one long position; ``changes`` replace fields."""
    return {
        "account_order": [1, 7],
        "position": [40, 2],
        "block": 118,
        "time_s": 1_745_970_600,
        "status": "valued",
        "stale": 0,
        "unpriced": 0,
        "upnl": e18("-12.5"),
        "upnl_capped": e18("-12.5"),
        "notional": e18("1000"),
        "notional_opened": e18("1012.5"),
        "equity": e18("107.5"),
        "available_balance": e18("98.5"),
        "available_for_quote": e18("7.5"),
        "allocated": e18("120"),
        "locked": [e18("6"), e18("3"), e18("91"), e18("0.25")],
        "pending": [e18("1"), e18("2"), e18("4"), e18("8")],
        "liquidating": False,
        "liquidatable": False,
        "distance_bps": 1_075,
        "as_of_ms": 1_745_970_777_999,
        "positions": [
            {
                "quote": 1,
                "symbol": 1,
                "side": "long",
                "party_b": "0x" + "b" * 40,
                "quantity": e18("10"),
                "opened_price": e18("101.25"),
                "mark": e18("100"),
                "mark_key": "binance-futures:BTCUSDT",
                "mark_offset": 5,
                "upnl": e18("-12.5"),
                "notional": e18("1000"),
                "stale": False,
            }
        ],
        "pending_quotes": [],
        "party_b": {},
        "owner": "0x" + "0" * 40,
        "multi_account": None,
        "name": None,
        "last_complete": None,
        **changes,
    }


def empty_account_body(**changes: object) -> dict[str, Any]:
    """A known account without positions: no marks, so its time is the block's."""
    return valuation_body(
        **{
            "upnl": "0",
            "upnl_capped": "0",
            "notional": "0",
            "notional_opened": "0",
            "equity": e18("120"),
            "available_balance": e18("120"),
            "available_for_quote": e18("120"),
            "locked": ["0"] * 4,
            "pending": ["0"] * 4,
            "distance_bps": None,
            "as_of_ms": 1_745_970_600_000,
            "positions": [],
            **changes,
        }
    )


def no_account_body() -> dict[str, Any]:
    """An account whose only blocks were rolled back."""
    return valuation_body(
        status="nobody",
        upnl=None,
        upnl_capped=None,
        notional=None,
        notional_opened=None,
        equity=None,
        available_balance=None,
        available_for_quote=None,
        allocated=None,
        locked=None,
        pending=None,
        liquidatable=None,
        distance_bps=None,
        as_of_ms=None,
        positions=[],
    )


def unpriced_body(*, last_complete: dict[str, Any] | None) -> dict[str, Any]:
    """An account one position of which has no price."""
    return valuation_body(
        status="unpriced",
        unpriced=1,
        upnl=None,
        upnl_capped=None,
        notional=None,
        equity=None,
        available_balance=None,
        available_for_quote=None,
        liquidatable=None,
        distance_bps=None,
        last_complete=last_complete,
    )


def last_complete(**changes: object) -> dict[str, Any]:
    return {
        "upnl": e18("3.000000000000000001"),
        "notional": e18("900"),
        "available_balance": e18("114"),
        "allocated": e18("120"),
        "locked": [e18("6"), e18("3"), e18("91"), "0"],
        "pending": ["0"] * 4,
        "as_of_ms": 1_745_970_000_500,
        **changes,
    }


def large_body(version: int, positions: int = 30) -> dict[str, Any]:
    """An account all of whose positions differ from version to version."""
    (position,) = valuation_body()["positions"]
    changing = [{**position, "quote": number, "upnl": e18(f"{version}.{number}")} for number in range(positions)]
    return valuation_body(upnl=e18(str(version)), positions=changing)
