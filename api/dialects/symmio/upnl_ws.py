"""``upnl-ws``: the address of an account comes in, its uPnL object goes out at once and then every 2 s.

Frames carry no address and clients show whatever arrives, so nothing but the newest object of the newest address is
ever sent: no acknowledgement, no error, no text heartbeat. What is due while the client does not read is skipped.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, assert_never

from api.delivery.dialect import Dialect
from api.delivery.subscription import Subscription
from api.dialects.symmio.account_answers import Account, Known
from api.dialects.symmio.frames import parse_address
from api.dialects.symmio.listening import listen
from api.http.metrics import UPNL_WS
from api.tables.standing import NoSuchAccount, NotKnown

if TYPE_CHECKING:
    from aiohttp import web

    from api.delivery.connections import Connections
    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.symmio.account_answers import Answers
    from api.dialects.symmio.whitelist import Whitelist
    from api.http.metrics import ApiMetrics

# Clients were written against a server that sends every 2 s; faster only costs, slower looks stale to them.
INTERVAL_S = 2.0
_DIALECT = Dialect(
    name=UPNL_WS,
    batches=False,
    # Larger than any message worth ignoring, small enough that a flood of them does not fill memory.
    max_message_bytes=65_536,
    # Some ten frames that the kernel did not take: the client does not read, and older frames are worth nothing to it.
    unsent_bytes=4_096,
    # The kernel would otherwise keep megabytes for a client that does not read: hours of old frames of this size.
    kernel_bytes=8_192,
)
_UNKNOWN_ADDRESS_FRAME = b"{}"


def next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """The first instant after ``now_s`` on the schedule of ``due_s``; instants that were missed are not made up for."""
    return due_s + interval_s * (math.floor((now_s - due_s) / interval_s) + 1)


class UpnlEndpoint:
    """Serves ``upnl-ws``.

    Args:
        connections: The open ones.
        hub: Sends.
        answers: Tell what may be said about an account.
        whitelist: Tells which accounts are served.
        metrics: Count what is sent and what is not.
        interval_s: From one frame to the next.
    """

    def __init__(
        self,
        connections: Connections,
        hub: Hub,
        *,
        answers: Answers,
        whitelist: Whitelist,
        metrics: ApiMetrics,
        interval_s: float,
    ) -> None:
        self._connections = connections
        self._hub = hub
        self._answers = answers
        self._whitelist = whitelist
        self._metrics = metrics
        self._interval_s = interval_s
        self._cold: set[_Upnl] = set()

    async def wake_when_warm(self) -> None:
        """Answer those who asked before the tables were read, as soon as they are."""
        await self._answers.wait_warm()
        cold, self._cold = self._cold, set()
        for upnl in cold:
            upnl.begin()

    async def serve(self, request: web.Request, deployment: str) -> web.StreamResponse:
        """Serve one socket until the client or the server goes away."""
        async with self._connections.accepted(request, _DIALECT) as outbox:
            upnl = _Upnl(
                outbox,
                self._hub,
                answers=self._answers,
                whitelist=self._whitelist,
                metrics=self._metrics,
                interval_s=self._interval_s,
            )
            try:
                await listen(outbox.connection, self._metrics, partial(self._ask, upnl, deployment))
            finally:
                self._cold.discard(upnl)
                upnl.end()
            return outbox.connection.response

    def _ask(self, upnl: _Upnl, deployment: str, text: str) -> str | None:
        address = parse_address(text)
        if address is None:
            return "not_an_address"
        upnl.ask(Account(deployment, address))
        if self._answers.is_warm:
            upnl.begin()
        else:
            self._cold.add(upnl)
        return None


class _Upnl(Subscription):
    """The account that a client asked for last, and the schedule of its frames."""

    __slots__ = ("_account", "_answers", "_asked_s", "_hub", "_interval_s", "_metrics", "_whitelist")

    def __init__(
        self,
        outbox: Outbox,
        hub: Hub,
        *,
        answers: Answers,
        whitelist: Whitelist,
        metrics: ApiMetrics,
        interval_s: float,
    ) -> None:
        super().__init__(outbox)
        self._hub = hub
        self._answers = answers
        self._whitelist = whitelist
        self._metrics = metrics
        self._interval_s = interval_s
        self._account: Account | None = None
        self._asked_s: float | None = None

    def ask(self, account: Account) -> None:
        """Show another account, or the same anew; what was due of the one before is not sent."""
        self.end()
        self._answers.watch(account)
        self._account = account
        self._asked_s = self._hub.now_s()

    def begin(self) -> None:
        """Send at once, and every interval from now on."""
        self._hub.at(self, self._hub.now_s())

    def end(self) -> None:
        """Send nothing more; the account's answer need not be kept for this client."""
        self._hub.forget(self)
        if self._account is not None:
            self._answers.unwatch(self._account)
            self._account = None

    def take(self, now_s: float) -> bytes | None:
        """The account's object of now; None where its figures are unknown. The next is due in an interval."""
        self._hub.at(self, next_due_s(self.due_s, now_s, self._interval_s))
        if self._account is None:
            return None
        match self._answers.of(self._account):
            case Known(frame=frame):
                # Asked each time: an account comes onto the list seconds after it was made.
                if not self._whitelist.allows(*self._account):
                    self._metrics.skipped_frames.labels(UPNL_WS, "not_whitelisted").inc()
                    return None
                kind = "figures"
            case NoSuchAccount():
                frame, kind = _UNKNOWN_ADDRESS_FRAME, "no_such_account"
            case NotKnown():
                self._metrics.skipped_frames.labels(UPNL_WS, "not_known").inc()
                return None
            case answer:
                assert_never(answer)
        if self._asked_s is not None:
            self._metrics.first_frame_seconds.labels(UPNL_WS).observe(now_s - self._asked_s)
            self._asked_s = None
        self._metrics.frames.labels(UPNL_WS, kind).inc()
        return frame
