"""``position-state-ws3`` and ``position-state-ws``: a client sends a list of accounts, and gets their new states.

Each frame is one bare position state. Nothing else is ever sent, since clients take any frame for a state.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from api.access.gate import principal_of
from api.delivery.dialect import Dialect
from api.delivery.subscription import Subscription
from api.dialects.symmio.frames import parse_address
from api.dialects.symmio.listening import listen
from api.dialects.symmio.socket_names import POSITION_STATE_WS
from models.body_reader import NOT_DECODED
from models.codec import ORDER_BYTES
from models.engine.tables import POSITION_STATES
from models.errors import BadRow
from models.ids import account_key, split_key
from models.position_states import EMPTY, body_of_row
from models.symmio.notification_views import notification_frame
from models.symmio.position_states import pushed_since
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

    from api.access.tokens import Principal
    from api.delivery.connections import Connections
    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.symmio.whitelist import Whitelist
    from api.http.metrics import ApiMetrics
    from api.tables.feeds import RowFeed

_DIALECT = Dialect(
    name=POSITION_STATE_WS,
    batches=False,
    # The longest list, 1,000 addresses, has 45 kB.
    max_message_bytes=65_536,
    # Some hundred frames. Unlike figures, a state is not outdated by the next one, so more of them may wait.
    unsent_bytes=65_536,
    kernel_bytes=65_536,
)
_ACCOUNTS_MAX = 1_000


# A list may name a thousand accounts. Reading only the count takes a fifth of the time of reading a full row.
class _Counted(msgspec.Struct, gc=False):
    count: int


_decode_counted = msgspec.json.Decoder(_Counted).decode


class PositionStateEndpoint:
    """Serves both sockets.

    States that were there before an account was asked for, or before the table was read, are not sent.

    Args:
        connections: The open ones.
        hub: Sends.
        feed: The table ``position-states``.
        whitelist: Tells which accounts are served.
        metrics: Count what is sent and what is not understood.
    """

    def __init__(
        self, connections: Connections, hub: Hub, feed: RowFeed, whitelist: Whitelist, metrics: ApiMetrics
    ) -> None:
        self._connections = connections
        self._hub = hub
        self._feed = feed
        self._whitelist = whitelist
        self._metrics = metrics
        self._watching: dict[bytes, dict[_News, None]] = {}
        self._read: tuple[bytes, Mapping[str, Any]] = b"", EMPTY
        feed.listen(self._changed)

    async def serve(self, request: web.Request, deployment: str) -> web.StreamResponse:
        """Serve one socket until the client or the server goes away."""
        async with self._connections.accepted(request, _DIALECT) as outbox:
            asked: dict[bytes, _News] = {}
            try:
                await listen(
                    outbox.connection,
                    self._metrics,
                    partial(self._ask, outbox, deployment, principal_of(request), asked),
                )
            finally:
                self._leave(asked, list(asked))
            return outbox.connection.response

    def next_frame(self, news: _News) -> bytes | None:
        """Return the oldest state that the client has not got; the next one follows as soon as the client reads."""
        body = self._body(news.key)
        if body is None:
            return None
        states = [] if news.seen is None else pushed_since(body, news.seen)
        if states and not self._whitelist.allows(*split_key(news.key)):
            if not self._whitelist.is_warm:
                # It may be on the list, which is still being read: its next state brings these along.
                return None
            self._metrics.skipped_frames.labels(POSITION_STATE_WS, "not_whitelisted").inc(len(states))
            states = []
        if not states:
            news.seen = body["count"]
            return None
        state, *more = states
        news.seen = state["seq"]
        if more:
            self._hub.changed((news,))
        try:
            frame = orjson.dumps(notification_frame(news.key.decode(), state))
        except BadRow:
            self._metrics.skipped_frames.labels(POSITION_STATE_WS, "not_known").inc()
            return None
        self._metrics.frames.labels(POSITION_STATE_WS, "state").inc()
        return frame

    def _ask(
        self, outbox: Outbox, deployment: str, principal: Principal, asked: dict[bytes, _News], text: str
    ) -> str | None:
        """Replace the client's list of accounts; of an account that is in both lists no state is lost.

        An account that the client may not read is left out: it looks like one of which there is no news.
        """
        addresses = parse_addresses(text)
        if addresses is None:
            return "not_addresses"
        keys = {account_key(deployment, address) for address in addresses}
        keys = {key for key in keys if principal.may_read(key.decode())}
        self._leave(asked, [key for key in asked if key not in keys])
        for key in keys - asked.keys():
            news = asked[key] = _News(outbox, self, key, self._count(key))
            self._watching.setdefault(key, {})[news] = None
        return None

    def _leave(self, asked: dict[bytes, _News], keys: Sequence[bytes]) -> None:
        for key in keys:
            news = asked.pop(key)
            self._hub.forget(news)
            watching = self._watching[key]
            del watching[news]
            if not watching:
                del self._watching[key]

    def _changed(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            watching = self._watching.get(key)
            if watching is None:
                continue
            if self._feed.is_ready:
                self._hub.changed(watching)
                continue
            count = self._count(key)
            for news in watching:
                news.seen = count

    def _count(self, key: bytes) -> int | None:
        row = self._feed.rows.get(key)
        if row is None:
            return 0
        try:
            return _decode_counted(memoryview(row)[ORDER_BYTES:]).count
        except NOT_DECODED:
            self._metrics.skipped_frames.labels(POSITION_STATE_WS, "not_known").inc()
            return None

    def _body(self, key: bytes) -> Mapping[str, Any] | None:
        """Return the body of an account's row; an empty one where it has no row, None where its row cannot be read."""
        row = self._feed.rows.get(key)
        if row is None:
            return EMPTY
        # The last row read is kept: its states are sent one after another, and to one client after another.
        if self._read[0] is not row:
            try:
                self._read = row, body_of_row(row)
            except BadRow as error:
                note_unreadable(POSITION_STATES, key, row, error)
                self._metrics.skipped_frames.labels(POSITION_STATE_WS, "not_known").inc()
                return None
        return self._read[1]


class _News(Subscription):
    """The states of one account that one client has not got: those numbered above ``seen``.

    ``seen`` is None while it is not known, because the account's row cannot be read.
    """

    __slots__ = ("_endpoint", "key", "seen")

    def __init__(self, outbox: Outbox, endpoint: PositionStateEndpoint, key: bytes, seen: int | None) -> None:
        super().__init__(outbox)
        self._endpoint = endpoint
        self.key = key
        self.seen = seen

    def take(self, now_s: float) -> bytes | None:  # noqa: ARG002 - news is sent as it comes
        """Return the next state."""
        return self._endpoint.next_frame(self)


def parse_addresses(text: str) -> list[str] | None:
    """Read a client's list of accounts.

    Args:
        text: ``{"address": ["0x…", …]}``, one address instead of a list, or the bare list.

    Returns:
        The addresses in lower case, without those that are none; None where the text is anything else.
    """
    try:
        said = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    match said:
        case {"address": list(addresses)} | list(addresses):
            found = [parse_address(one) for one in addresses[:_ACCOUNTS_MAX] if isinstance(one, str)]
        case {"address": str(address)}:
            found = [parse_address(address)]
        case _:
            return None
    return [address for address in found if address is not None]
