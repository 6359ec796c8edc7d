"""How a port is listened on: connections are bounded in number and in time, and bodies are handed on as they came.

aiohttp bounds neither the number of connections nor the time that a request takes to come. Its protocol is therefore
extended here, mostly in what it shows to everybody: its constructor, the callbacks of its transport, ``set_parser``,
``pause_reading``, ``resume_reading``, ``finish_response``, ``handle_error`` and ``log_exception``, and the runner's
``_make_server``, which each runner has to have.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from api.access.addresses import ClientAddresses
from api.access.limits import TokenBucket
from api.http.descriptors import affordable_connections
from api.http.door import ConnectionMetrics, Door, TimeLimits
from api.http.error_bodies import error_response
from api.http.keys import METRICS, SETTINGS
from api.http.log_lines import shown
from api.http.responses import hide_versions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.web_protocol import RequestHandler


logger = logging.getLogger(__name__)

# Connections of the admin port, which are among the descriptors that are kept.
ADMIN_CONNECTIONS = 32
# After an answer, what is left of a request's body is read for so long, so that the client gets to read the answer.
_LINGER_S = 1.0
# What a websocket may send, in a second and at once: the largest message, a list of 1,000 accounts, is smaller. All
# that comes is parsed, also frames that are no messages, and those that come while a websocket is being closed.
_SOCKET_BYTES_PER_S = 65_536


class BoundedConnection(web.RequestHandler):
    """One connection of a client.

    Args:
        server: What it belongs to.
        door: Lets it in.

    Attributes:
        late_s: When the connection is late, in s of the loop's clock; None while it is a websocket.
        stage: What it would be late with: ``head``, ``request`` or ``idle``.
    """

    __slots__ = ("_door", "_is_full", "_is_held", "_own_transport", "_socket_bytes", "late_s", "stage")

    def __init__(self, server: web.Server, door: Door) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None for no log at all
            auto_decompress=False,
            keepalive_timeout=door.times.idle_s,
            lingering_time=_LINGER_S,
        )
        self._door = door
        self._own_transport: asyncio.Transport | None = None
        self._socket_bytes: TokenBucket | None = None
        # Why nothing is read: aiohttp has enough messages, or the client has sent too much.
        self._is_full = self._is_held = False
        self.late_s: float | None = None
        self.stage = "head"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the connection where there is a place for it, else cut it."""
        # asyncio and uvloop give a server no other kind, and uvloop's is none by its class.
        own_transport = cast("asyncio.Transport", transport)
        peer = own_transport.get_extra_info("peername")
        if not self._door.enter(self, peer[0] if peer else None):
            own_transport.abort()
            return
        self._own_transport = own_transport
        super().connection_made(transport)
        self._expect("head", self._door.times.head_s)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        self._door.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give a request's head its time from its first byte on, and read a websocket no faster than it may send."""
        if self._socket_bytes is not None:
            wait_s = self._socket_bytes.spend(len(data), self._loop.time())
            if wait_s:
                self._read_later(wait_s)
        elif self.stage == "idle" and data:
            self._expect("head", self._door.times.head_s)
        super().data_received(data)

    def begin(self) -> None:
        """Give a request whose head has come its time."""
        self._door.wake(self)
        self._expect("request", self._door.times.request_s)

    def set_parser(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - what aiohttp hands over, unchanged
        """Become a websocket, whose dialect bounds it from now on."""
        self.late_s = None
        self._socket_bytes = TokenBucket(_SOCKET_BYTES_PER_S, _SOCKET_BYTES_PER_S)
        super().set_parser(*args, **named)

    async def finish_response(self, *args: Any) -> tuple[web.StreamResponse, bool]:  # noqa: ANN401 - unchanged
        """Let the connection rest once the answer is handed over."""
        finished = await super().finish_response(*args)
        self._door.rest(self)
        self._expect("idle", self._door.times.idle_s)
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what cannot be understood as a request in JSON, with one line in the log.

        Args:
            request: What came, as far as it was understood.
            status: The status of the answer.
            exc: What failed; None where nothing was raised.
            message: What was wrong with the request, by aiohttp's own words.

        Raises:
            ConnectionError: The client has gone.
        """
        if isinstance(exc, ConnectionError) and self.transport is None:
            # The client went in the middle of its request, and nobody is there to be answered.
            raise exc
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request failed status=%d peer=%s", status, request.remote, exc_info=exc)
            answer = error_response(HTTPStatus(status), "the server failed at this request, and has noted why")
        else:
            found = shown(" ".join((message or HTTPStatus(status).phrase).split()))
            logger.info("request refused status=%d peer=%s cause=%s", status, request.remote, found)
            answer = error_response(HTTPStatus(status), f"expected an HTTP request, found a fault: {found}")
        if request.writer.output_size > 0:
            # The answer has begun, so no other one can be sent; aiohttp closes the connection on this.
            raise ConnectionError
        answer.force_close()
        # No application answers this, so none of its signal handlers is called.
        hide_versions(answer)
        return answer

    def log_exception(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - what aiohttp hands over, unchanged
        """Note a fault that aiohttp found beside the handlers: one line where it is the client's."""
        fault = named.get("exc_info")
        if isinstance(fault, HttpProcessingError | web.RequestPayloadError | ConnectionError):
            logger.info("request refused peer=%s cause=%s", self.peername, shown(repr(fault)))
        else:
            super().log_exception(*args, **named)

    def cut(self) -> None:
        """End the connection at once, without waiting for the client."""
        if self._own_transport is not None:
            self._own_transport.abort()

    def pause_reading(self) -> None:
        """Read nothing while aiohttp has enough messages that nobody has taken."""
        self._is_full = True
        super().pause_reading()

    def resume_reading(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - what aiohttp hands over, unchanged
        """Read on when these have been taken, unless the client has sent too much."""
        self._is_full = False
        super().resume_reading(*args, **named)
        if self._is_held:
            self._hold()

    def _read_later(self, wait_s: float) -> None:
        if not self._is_held:
            self._is_held = True
            self._loop.call_later(wait_s, self._read_on)
        self._hold()

    def _hold(self) -> None:
        transport = self._own_transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def _read_on(self) -> None:
        self._is_held = False
        transport = self._own_transport
        if transport is not None and not transport.is_closing() and not self._is_full:
            transport.resume_reading()

    def _expect(self, stage: str, within_s: float) -> None:
        self.stage = stage
        self.late_s = self._loop.time() + within_s


class _BoundedServer(web.Server):
    """Makes bounded connections."""

    def __init__(self, made: web.Server, door: Door) -> None:
        super().__init__(self._handle, request_factory=made.request_factory)
        self._answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = made.request_handler
        self._door = door

    def __call__(self) -> RequestHandler:
        return BoundedConnection(self, self._door)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        if isinstance(connection, BoundedConnection):
            connection.begin()
        return await self._answer(request)


class BoundedRunner(web.AppRunner):
    """Runs an application whose connections come through a door.

    Args:
        app: The application.
        door: Lets connections in, and ends those that take too long.
        shutdown_timeout: For how long open requests are waited for at the end, in s.
    """

    def __init__(self, app: web.Application, door: Door, *, shutdown_timeout: float) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._door = door

    async def cleanup(self) -> None:
        """End the application, and then look for late connections no longer."""
        await super().cleanup()
        self._door.close()

    async def _make_server(self) -> web.Server:
        self._door.open()
        return _BoundedServer(await super()._make_server(), self._door)


def public_door(app: web.Application) -> Door:
    """Make the door of the public port, for an application that has its settings and metrics."""
    limits = app[SETTINGS].api.limits
    return _door(app, "public", affordable_connections(limits.connections), limits.connections_per_address)


def admin_door(app: web.Application) -> Door:
    """Make the door of the admin port, whose places the public port's clients cannot take."""
    return _door(app, "admin", ADMIN_CONNECTIONS, ADMIN_CONNECTIONS)


def _door(app: web.Application, port: str, most: int, most_of_address: int) -> Door:
    settings = app[SETTINGS].api
    limits, metrics = settings.limits, app[METRICS]
    return Door(
        port,
        most=most,
        most_of_address=most_of_address,
        times=TimeLimits(limits.head_s, limits.request_s, limits.idle_s),
        addresses=ClientAddresses(settings.trusted_proxies),
        metrics=ConnectionMetrics(metrics.open_connections, metrics.refused_connections, metrics.cut_connections),
    )
