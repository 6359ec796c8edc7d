"""``/v2/owner/{owner}`` and its websocket."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from aiohttp import WSCloseCode, web

from api.access.gate import principal_of
from api.delivery.dialect import Dialect
from api.dialects.flash.flash_errors import error_body, uncomputable_body
from api.dialects.flash.owner_frames import Unknown
from api.dialects.flash.owner_streams import OwnerId
from api.dialects.flash.socket_places import Full
from models.flash.solana_keys import key_of, key_text
from models.ids import account_key

if TYPE_CHECKING:
    from api.access.addresses import ClientAddresses
    from api.delivery.connections import Connections
    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.flash.owner_frames import TableFrames
    from api.dialects.flash.owner_streams import OwnerStreams
    from api.dialects.flash.socket_places import SocketPlaces
    from api.http.metrics import ApiMetrics

NAME = "flash-owner-ws"
PING_S, PONG_S = 30.0, 10.0
_DIALECT = Dialect(
    name=NAME,
    batches=False,
    # Clients have nothing to say.
    max_message_bytes=4_096,
    # A basket of all markets is some 60 KB; older frames than the newest are of no use.
    unsent_bytes=65_536,
    kernel_bytes=65_536,
    slow_after_s=30.0,
    ping_s=PING_S,
    pong_s=PONG_S,
)
_USUAL_INTERVAL_MS, _LEAST_INTERVAL_MS, _LONGEST_INTERVAL_MS = 1_000, 100, 10_000
_INTERVAL = "updateIntervalMs"
_WHOLE_NUMBER = re.compile("[+-]?[0-9]+")
_DIGITS_MAX = 20
_STATUS = {Full.OWNER: HTTPStatus.TOO_MANY_REQUESTS, Full.EVERYBODY: HTTPStatus.SERVICE_UNAVAILABLE}


class OwnerEndpoint:
    """Serves owners' baskets.

    Args:
        deployment: The deployment.
        frames: Makes baskets out of the tables.
        streams: Send them to sockets.
        places: Limit the sockets over all replicas.
        connections: The open ones of this replica.
        hub: Closes them.
        addresses: Tell where a request comes from.
        metrics: Count what is ignored.
    """

    def __init__(
        self,
        deployment: str,
        frames: TableFrames,
        streams: OwnerStreams,
        *,
        places: SocketPlaces,
        connections: Connections,
        hub: Hub,
        addresses: ClientAddresses,
        metrics: ApiMetrics,
    ) -> None:
        self._deployment = deployment
        self._frames = frames
        self._streams = streams
        self._places = places
        self._connections = connections
        self._hub = hub
        self._addresses = addresses
        self._metrics = metrics

    def key_of(self, request: web.Request) -> str | None:
        """The key of the account that a request is for; None where it names none."""
        owner = key_of(request.match_info["owner"])
        return None if owner is None else account_key(self._deployment, key_text(owner)).decode()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with a basket and figures of now."""
        snapshot = self._frames.snapshot(self._id_of(request))
        if isinstance(snapshot, Unknown):
            return error_body(HTTPStatus.SERVICE_UNAVAILABLE, snapshot.reason)
        if snapshot.first_omission is not None:
            return uncomputable_body(snapshot.first_omission)
        return web.Response(body=orjson.dumps(snapshot.body), content_type="application/json")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until the client or the server goes away."""
        of, interval_ms = self._id_of(request), interval_ms_of(request.query.get(_INTERVAL))
        if request.headers.get("Upgrade", "").lower() != "websocket":
            # No place is taken, and no record of one is written, for what is no handshake.
            raise web.HTTPBadRequest(text="expected the handshake of a websocket")
        seat = _Seat(self._hub)
        client = self._addresses.limit_key_of(request)
        # Who may not read an owner holds none of the owner's places, and is not told how many are taken.
        subject = f"{self._deployment}:{of.owner}{' hidden' if of.is_hidden else ''}"
        place = await self._places.take(subject, client, seat.lose)
        if isinstance(place, Full):
            self._metrics.refused_sockets.labels(f"flash_{place.name.lower()}").inc()
            return error_body(_STATUS[place], place.value)
        try:
            async with self._connections.accepted(request, _DIALECT) as outbox:
                if seat.sit(outbox):
                    await self._send(of, outbox, interval_ms / 1_000)
                return outbox.connection.response
        finally:
            place.release()

    async def _send(self, of: OwnerId, outbox: Outbox, interval_s: float) -> None:
        socket = self._streams.join(of, outbox, interval_s)
        connection, ignored = outbox.connection, self._metrics.ignored_messages.labels(NAME, "not_expected")
        try:
            async for _ in connection.messages():
                ignored.inc()
                if connection.messages_limit.take(self._hub.now_s()):
                    connection.close(WSCloseCode.POLICY_VIOLATION, b"too many messages")
                    return
        finally:
            self._streams.leave(socket)

    def _id_of(self, request: web.Request) -> OwnerId:
        """The owner of a request.

        Raises:
            aiohttp.web.HTTPBadRequest: It names none.
        """
        text = request.match_info["owner"]
        key = self.key_of(request)
        if key is None:
            raise web.HTTPBadRequest(text=f"invalid pubkey: expected base58 of 32 bytes, found {text[:100]!r}")
        owner = key.partition(":")[2]
        return OwnerId(owner, is_hidden=not principal_of(request).may_read(key))


class _Seat:
    """Closes a socket whose place was lost, also where that happens before it is open."""

    __slots__ = ("_hub", "_lost", "_outbox")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._outbox: Outbox | None = None
        self._lost: Full | None = None

    def sit(self, outbox: Outbox) -> bool:
        """Hold the socket that has the place; False where the place is lost, and the socket is closed."""
        self._outbox = outbox
        if self._lost is not None:
            self.lose(self._lost)
        return self._lost is None

    def lose(self, full: Full) -> None:
        """Close the socket, since its place went to others."""
        self._lost = full
        if self._outbox is not None:
            self._hub.close(self._outbox, WSCloseCode.TRY_AGAIN_LATER, full.value.encode())


def interval_ms_of(text: str | None) -> int:
    """The time from one metrics frame to the next that a client asks for, in ms, within what is allowed.

    Raises:
        aiohttp.web.HTTPBadRequest: It is no whole number.
    """
    if text is None:
        return _USUAL_INTERVAL_MS
    # Python reads more as a number than clients write: other scripts' digits, blanks and underscores.
    if _WHOLE_NUMBER.fullmatch(text) is None:
        raise web.HTTPBadRequest(text=f"expected {_INTERVAL} as a whole number of ms, found {text[:100]!r}")
    # A number of more digits is beyond every bound, and costs time to read.
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.lstrip("+"))
    asked = sign * int(digits.lstrip("0")[:_DIGITS_MAX] or "0")
    return min(max(asked, _LEAST_INTERVAL_MS), _LONGEST_INTERVAL_MS)
