"""``/v1/ws`` from the handshake to the close; no other file of this dialect touches a socket."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from api.access.connection_leases import USER_CONNECTIONS, UserPlace
from api.access.gate import known_principal_of
from api.access.limits import TokenBucket
from api.access.origins import is_origin_allowed
from api.delivery.dialect import Dialect
from api.dialects.native.protocol import (
    MESSAGE_MAX_BYTES,
    SUBPROTOCOL,
    SUBSCRIPTIONS_MAX,
    Close,
    Code,
    error,
    goodbye,
    hello,
)
from api.dialects.native.pulse import HEARTBEAT_S, Heartbeat
from api.dialects.native.session import Session
from models.instants import ns_text
from models.leases import Limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.access.addresses import ClientAddresses
    from api.access.auth import Guard
    from api.delivery.connections import Connections
    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.native.directory import Directory
    from api.dialects.native.pulse import Pulse
    from streams.replicas.lease_holder import Leases
    from streams.settings import Settings

NATIVE = Dialect(
    name="v1-ws",
    batches=True,
    max_message_bytes=MESSAGE_MAX_BYTES,
    # Two whole frames. With less, a client on a slow line waits between frames; more is memory for one that is gone.
    unsent_bytes=131_072,
    # Through this a client 100 ms away can read 640 kB/s, which is some hundred accounts at full pace.
    kernel_bytes=65_536,
    slow_after_s=10.0,
    slow_code=Close.SLOW,
    goodbye=goodbye,
    subprotocols=(SUBPROTOCOL,),
    ends_with_token=False,
)
# Long enough for a person's network, and short enough that sockets without a user do not add up.
_AUTHENTICATE_WITHIN_S = 10.0
# A connection without subscriptions costs 20 KiB and a heartbeat every 5 s.
_IDLE_MAX_S = 300.0
# After this a client is sent away, so that it may reach a replica that was added since. The spread keeps clients
# that came together from leaving together.
_LIFE_S = 86_400.0
_LIFE_SPREAD = 0.2
_RETRY_AFTER_S = 1
_NO_HANDSHAKE = "expected a websocket handshake"


class NativeEndpoint:
    """Serves ``/v1/ws``.

    Args:
        settings: Limits, origins, epoch.
        leases: Count a user's connections over all replicas.
        connections: The open websockets.
        hub: Sends.
        directory: Finds what can be watched.
        pulse: Makes heartbeats.
        guard: Checks tokens.
        addresses: Tell where a request comes from.
        clock_ms: The time that is told to clients, in Unix ms: that of the replay where there is one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        leases: Leases,
        connections: Connections,
        hub: Hub,
        directory: Directory,
        pulse: Pulse,
        guard: Guard,
        addresses: ClientAddresses,
        clock_ms: Callable[[], int],
    ) -> None:
        limits = settings.api.limits
        self._settings = settings
        self._leases = leases
        self._of_user = Limit(USER_CONNECTIONS, limits.connections_per_user)
        self._connections = connections
        self._hub = hub
        self._directory = directory
        self._pulse = pulse
        self._guard = guard
        self._addresses = addresses
        self._clock_ms = clock_ms
        self._attempts = TokenBucket(limits.connection_attempts_per_s, limits.connection_attempts_per_s)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until the client or the server goes away."""
        self._expect_welcome(request)
        async with self._connections.accepted(request, NATIVE) as outbox:
            await self._talk(request, outbox, self._addresses.limit_key_of(request))
            return outbox.connection.response

    def _expect_welcome(self, request: web.Request) -> None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise web.HTTPUpgradeRequired(headers={"Upgrade": "websocket"}, text=_NO_HANDSHAKE)
        origin = request.headers.get("Origin")
        if not is_origin_allowed(origin, request.host, self._settings.api.allowed_origins):
            raise web.HTTPForbidden(text=f"expected an origin that may open websockets here, found {origin!r:.200}")
        wait_s = self._attempts.take(self._hub.now_s())
        if wait_s or self._connections.draining:
            raise _busy("expected fewer connections at a time" if wait_s else "the server goes away")

    async def _talk(self, request: web.Request, outbox: Outbox, client: str) -> None:
        limits = self._settings.api.limits
        place = UserPlace(
            self._leases,
            self._of_user,
            lambda: outbox.connection.close(Close.TOO_MANY_CONNECTIONS, b"too many connections"),
        )
        session = Session(
            outbox,
            self._hub,
            self._directory,
            self._guard,
            client=client,
            messages=TokenBucket(limits.messages_per_s, limits.messages_burst),
            epoch=self._settings.epoch,
            principal=known_principal_of(request),
            on_subject=place.take,
        )
        self._hub.say(outbox, self._hello(session))
        heartbeat = Heartbeat(outbox, self._hub, self._pulse, self._check(session, outbox))
        heartbeat.start()
        try:
            async for message in outbox.connection.messages():
                match message.type:
                    case WSMsgType.TEXT:
                        session.receive(message.data)
                    case WSMsgType.ERROR:
                        # aiohttp has closed it already: the message was too large, or not a valid frame.
                        pass
                    case _:
                        session.refuse_message(f"expected a text frame, found one of type {message.type.name}")
        finally:
            session.end()
            place.leave()
            self._hub.forget(heartbeat)

    def _hello(self, session: Session) -> bytes:
        limits = self._settings.api.limits
        asked = "required" if session.principal is None else "open" if self._guard.is_open else "done"
        return hello(
            connection=uuid.uuid4().hex,
            epoch=self._settings.epoch,
            server_time_ns=ns_text(self._clock_ms()),
            heartbeat_ms=round(HEARTBEAT_S * 1000),
            auth=asked,
            limits={
                "subscriptions": SUBSCRIPTIONS_MAX,
                "message_bytes": MESSAGE_MAX_BYTES,
                "messages_per_s": limits.messages_per_s,
                "messages_burst": limits.messages_burst,
            },
        )

    def _check(self, session: Session, outbox: Outbox) -> Callable[[float], None]:
        """Make the function that each heartbeat calls to end connections, so that these need no timers of their own."""
        began_s = self._hub.now_s()
        life_s = _LIFE_S * random.uniform(1 - _LIFE_SPREAD, 1)  # noqa: S311 - spreads load
        connection = outbox.connection

        def check(now_s: float) -> None:
            expires_s = session.expires_s
            if expires_s is not None and self._connections.left_s(expires_s) <= 0:
                self._hub.say(outbox, error(None, Code.NOT_AUTHENTICATED, "the token expired"))
                self._close_soon(outbox, Close.NOT_AUTHENTICATED, b"token expired")
            elif session.principal is None and now_s - began_s >= _AUTHENTICATE_WITHIN_S:
                connection.close(Close.NOT_AUTHENTICATED, b"not authenticated in time")
            elif session.is_idle and now_s - session.heard_s > _IDLE_MAX_S:
                connection.close(Close.IDLE, b"idle")
            elif now_s - began_s > life_s:
                self._connections.say_goodbye(outbox, "rebalance")
                self._close_soon(outbox, NATIVE.restart_code, b"rebalance")

        return check

    @staticmethod
    def _close_soon(outbox: Outbox, code: int, reason: bytes) -> None:
        # The message that was just queued leaves together with the heartbeat that is being written.
        asyncio.get_running_loop().call_later(0.1, outbox.connection.close, code, reason)


def _busy(why: str) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(headers={"Retry-After": str(_RETRY_AFTER_S)}, text=why)
