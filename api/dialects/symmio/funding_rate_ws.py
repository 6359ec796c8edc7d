"""``funding-rate-ws``: a client sends a list of symbols, and gets their funding at once and then every second.

A client sends an empty list to pause, when its tab is hidden. Nothing but funding is ever sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from api.delivery.dialect import Dialect
from api.delivery.subscription import Subscription
from api.dialects.symmio.listening import listen
from api.dialects.symmio.socket_names import FUNDING_RATE_WS
from api.dialects.symmio.upnl_ws import next_due_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from api.delivery.connections import Connections
    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.symmio.funding_board import FundingBoard
    from api.http.metrics import ApiMetrics
    from api.tables.feeds import Feeds

INTERVAL_S = 1.0
_DIALECT = Dialect(
    name=FUNDING_RATE_WS,
    batches=False,
    max_message_bytes=65_536,
    # The frames of some twenty symbols. A client with more than that unread does not read, and old rates are of no use.
    unsent_bytes=4_096,
    kernel_bytes=16_384,
)
_SYMBOLS_MAX = 1_000


class FundingRateEndpoint:
    """Serves ``funding-rate-ws``.

    Args:
        connections: The open ones.
        hub: Sends.
        feeds: The tables that markets are read from.
        board: The markets' funding.
        metrics: Count what is sent and what is not understood.
    """

    def __init__(
        self, connections: Connections, hub: Hub, feeds: Feeds, board: FundingBoard, metrics: ApiMetrics
    ) -> None:
        self._connections = connections
        self._hub = hub
        self._feeds = feeds
        self._board = board
        self._metrics = metrics
        self._made: dict[str, tuple[Mapping[str, Any], dict[str, bytes]]] = {}
        self._cold: set[_Rates] = set()

    async def wake_when_warm(self) -> None:
        """Answer those who asked before the tables were read, as soon as they are."""
        for feed in (self._feeds.markets, self._feeds.marks, self._feeds.instruments):
            await feed.wait_ready()
        cold, self._cold = self._cold, set()
        for rates in cold:
            rates.begin()

    async def serve(self, request: web.Request, deployment: str) -> web.StreamResponse:
        """Serve one socket until the client or the server goes away."""
        async with self._connections.accepted(request, _DIALECT) as outbox:
            rates = _Rates(outbox, self._hub, self, deployment)
            try:
                await listen(outbox.connection, self._metrics, partial(self._ask, rates))
            finally:
                self._cold.discard(rates)
                self._hub.forget(rates)
            return outbox.connection.response

    def frame(self, deployment: str, symbols: tuple[str, ...]) -> bytes:
        """Encode the funding of those of the symbols that are valid and can be read, by name."""
        views = self._views(deployment)
        self._metrics.frames.labels(FUNDING_RATE_WS, "rates").inc()
        return b"{%b}" % b",".join(views[symbol] for symbol in symbols if symbol in views)

    def _views(self, deployment: str) -> dict[str, bytes]:
        """Return each symbol's name and view as encoded for a frame, made once a second for all clients."""
        found = self._board.of(deployment)
        made_of, encoded = self._made.get(deployment, ({}, {}))
        if made_of is not found:
            encoded = {name: orjson.dumps({name: view})[1:-1] for name, view in found.items()}
            self._made[deployment] = found, encoded
        return encoded

    def _ask(self, rates: _Rates, text: str) -> str | None:
        symbols = parse_symbols(text)
        if symbols is None:
            return "not_symbols"
        rates.symbols = symbols
        if not symbols:
            self._cold.discard(rates)
            self._hub.forget(rates)
        elif self._board.is_warm:
            rates.begin()
        else:
            self._cold.add(rates)
        return None


class _Rates(Subscription):
    """The symbols that a client asked for last, and the schedule of its frames."""

    __slots__ = ("_deployment", "_endpoint", "_hub", "symbols")

    def __init__(self, outbox: Outbox, hub: Hub, endpoint: FundingRateEndpoint, deployment: str) -> None:
        super().__init__(outbox)
        self._hub = hub
        self._endpoint = endpoint
        self._deployment = deployment
        self.symbols: tuple[str, ...] = ()

    def begin(self) -> None:
        """Send a frame at once, and another one every interval from now on."""
        self._hub.at(self, self._hub.now_s())

    def take(self, now_s: float) -> bytes | None:
        """Return the rates of now, and set the next frame an interval later."""
        self._hub.at(self, next_due_s(self.due_s, now_s, INTERVAL_S))
        return self._endpoint.frame(self._deployment, self.symbols)


def parse_symbols(text: str) -> tuple[str, ...] | None:
    """Read a client's list of symbols.

    Args:
        text: ``{"symbols": ["BTCUSDT", …]}``, or the bare list.

    Returns:
        Their names, each once; None where the text is anything else.
    """
    try:
        said: Any = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    match said:
        case {"symbols": list(symbols)} | list(symbols):
            return tuple(dict.fromkeys(one for one in symbols[:_SYMBOLS_MAX] if isinstance(one, str)))
        case _:
            return None
