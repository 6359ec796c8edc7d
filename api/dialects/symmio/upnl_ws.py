"""``upnl-ws``: the address of an account comes in, its uPnL object goes out at once and then every 2 s.

Frames carry no address and clients show whatever arrives, so nothing but the newest object of the newest address is
ever sent: no acknowledgement, no error, no text heartbeat. What is due while the client does not read is skipped.
"""

from __future__ import annotations

import asyncio
import math
import socket as os_socket
from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web

from api.dialects.symmio.answers import Account, Answers, Known, NoSuchAccount, NotKnown
from api.dialects.symmio.frames import parse_address
from api.keys import ANSWERS, METRICS, SOCKETS, UPNL_INTERVAL_S
from api.metrics import UPNL_WS
from api.sockets import CLOSE_TIMEOUT_S

if TYPE_CHECKING:
    from api.metrics import ApiMetrics

# Clients were written against a server that sends every 2 s; faster only costs, slower looks stale to them.
INTERVAL_S = 2.0
# A client that vanished without a word is noticed after 1.5 of these.
_PING_S = 20.0
# Larger than any message worth ignoring, small enough that a flood of them does not fill memory.
_MAX_MESSAGE_BYTES = 65_536
# Some ten frames that the kernel did not take: the client does not read, and older frames are worth nothing to it.
_UNSENT_LIMIT_BYTES = 4_096
# The kernel would otherwise keep megabytes for a client that does not read: hours of old frames of this size.
_KERNEL_BUFFER_BYTES = 8_192
_UNKNOWN_ADDRESS_FRAME = b"{}"


def next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """The first instant after ``now_s`` on the schedule of ``due_s``; instants that were missed are not made up for."""
    return due_s + interval_s * (math.floor((now_s - due_s) / interval_s) + 1)


async def serve(request: web.Request, deployment: str) -> web.WebSocketResponse:
    """Serve one socket until the client or the server goes away."""
    socket = web.WebSocketResponse(
        heartbeat=_PING_S, timeout=CLOSE_TIMEOUT_S, max_msg_size=_MAX_MESSAGE_BYTES, compress=False
    )
    await socket.prepare(request)
    _bound_kernel_buffer(socket)
    sockets, metrics = request.app[SOCKETS], request.app[METRICS]
    session = _Session(request, socket, deployment)
    with sockets.opened(socket), metrics.connections.labels(UPNL_WS).track_inprogress():
        if sockets.draining:
            await socket.close(code=WSCloseCode.GOING_AWAY)
            return socket
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(session.send_on_schedule())
                await session.read_addresses()
                sending.cancel()
        finally:
            session.forget_account()
    return socket


def _bound_kernel_buffer(socket: web.WebSocketResponse) -> None:
    connection = socket.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(os_socket.SOL_SOCKET, os_socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)


class _Session:
    """One client: the account it asked for last, and the schedule of its frames."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, deployment: str) -> None:
        self._socket = socket
        self._transport = request.transport
        self._deployment = deployment
        self._answers: Answers = request.app[ANSWERS]
        self._metrics: ApiMetrics = request.app[METRICS]
        self._interval_s = request.app[UPNL_INTERVAL_S]
        self._clock_s = asyncio.get_running_loop().time
        self._account: Account | None = None
        self._asked = asyncio.Event()
        self._unanswered_since_s: float | None = None

    async def read_addresses(self) -> None:
        """Take every address the client sends, until it goes away."""
        async for message in self._socket:
            match message.type:
                case WSMsgType.TEXT:
                    address = parse_address(message.data)
                    if address is None:
                        self._ignored("not_an_address")
                    else:
                        self._ask(Account(self._deployment, address))
                case WSMsgType.ERROR:
                    too_large = getattr(message.data, "code", None) == WSCloseCode.MESSAGE_TOO_BIG
                    self._ignored("too_large" if too_large else "broken_frame")
                case _:
                    self._ignored("not_text")

    async def send_on_schedule(self) -> None:
        """Send the account's object when it is asked for, and then on schedule."""
        due_s: float | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await self._asked.wait()
            if self._asked.is_set():
                await self._answers.wait_warm()
                self._asked.clear()
                due_s = self._clock_s()
            if due_s is None or self._account is None:
                continue
            try:
                await self._send(self._account)
            except ClientConnectionResetError:
                return
            due_s = next_due_s(due_s, self._clock_s(), self._interval_s)

    def forget_account(self) -> None:
        """Give up the account; its answer need not be kept for this client."""
        if self._account is not None:
            self._answers.unwatch(self._account)
            self._account = None

    def _ask(self, account: Account) -> None:
        self.forget_account()
        self._answers.watch(account)
        self._account = account
        self._unanswered_since_s = self._clock_s()
        self._asked.set()

    async def _send(self, account: Account) -> None:
        match self._answers.of(account):
            case Known(frame=frame):
                kind = "figures"
            case NoSuchAccount():
                frame, kind = _UNKNOWN_ADDRESS_FRAME, "no_such_account"
            case NotKnown():
                self._metrics.skipped_frames.labels(UPNL_WS, "not_known").inc()
                return
            case answer:
                assert_never(answer)
        if self._transport is None or self._transport.get_write_buffer_size() > _UNSENT_LIMIT_BYTES:
            self._metrics.skipped_frames.labels(UPNL_WS, "slow_reader").inc()
            return
        if self._unanswered_since_s is not None:
            waited_s = self._clock_s() - self._unanswered_since_s
            self._metrics.first_frame_seconds.labels(UPNL_WS).observe(waited_s)
            self._unanswered_since_s = None
        self._metrics.frames.labels(UPNL_WS, kind).inc()
        # Nothing is awaited between the choice of the frame and its write, so an older account's cannot slip in.
        await self._socket.send_frame(frame, WSMsgType.TEXT)

    def _ignored(self, reason: str) -> None:
        self._metrics.ignored_messages.labels(UPNL_WS, reason).inc()
