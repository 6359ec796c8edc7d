"""``upnl-ws``: a client sends the address of an account, and gets its uPnL object at once and then every 2 s.

Frames carry no address and clients show whatever arrives. So nothing is ever sent but the newest object of the address
that the client sent last: no acknowledgement, no error, no text heartbeat. Frames that are due while the client does
not read are left out.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, assert_never

from api.access.gate import principal_of
from api.delivery.dialect import Dialect
from api.delivery.subscription import Subscription
from api.dialects.symmio.account_answers import Account, Known
from api.dialects.symmio.frames import parse_address
from api.dialects.symmio.listening import listen
from api.dialects.symmio.socket_names import UPNL_WS
from api.tables.standing import NoSuchAccount, NotKnown
from models.ids import account_key

if TYPE_CHECKING:
    from aiohttp import web

    from api.access.tokens import Principal
    from api.delivery.connections import Connections
    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.symmio.account_answers import Answers
    from api.dialects.symmio.whitelist import Whitelist
    from api.http.metrics import ApiMetrics

# Clients were written for a server that sends every 2 s: faster frames gain nothing, and slower ones look stale.
INTERVAL_S = 2.0
_DIALECT = Dialect(
    name=UPNL_WS,
    batches=False,
    # Any message worth reading is smaller, and a flood of messages of this size does not fill memory.
    max_message_bytes=65_536,
    # Some ten frames. A client with more than that unread does not read, and old frames are of no use to it.
    unsent_bytes=4_096,
    # The kernel's default would keep megabytes for a client that does not read, which are hours of old frames.
    kernel_bytes=8_192,
)
_UNKNOWN_ADDRESS_FRAME = b"{}"


def next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """Find the next instant of a schedule; instants that were missed are not made up for.

    Args:
        due_s: Any instant of the schedule, in s.
        now_s: The time now, in s of the same clock.
        interval_s: Time between two instants, in s, above 0.

    Returns:
        The first instant after ``now_s``, in s.
    """
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
                principal=principal_of(request),
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

    __slots__ = (
        "_account",
        "_answers",
        "_asked_s",
        "_hub",
        "_interval_s",
        "_is_hidden",
        "_metrics",
        "_principal",
        "_whitelist",
    )

    def __init__(
        self,
        outbox: Outbox,
        hub: Hub,
        *,
        principal: Principal,
        answers: Answers,
        whitelist: Whitelist,
        metrics: ApiMetrics,
        interval_s: float,
    ) -> None:
        super().__init__(outbox)
        self._hub = hub
        self._principal = principal
        self._answers = answers
        self._whitelist = whitelist
        self._metrics = metrics
        self._interval_s = interval_s
        self._account: Account | None = None
        self._is_hidden = False
        self._asked_s: float | None = None

    def ask(self, account: Account) -> None:
        """Show another account, or the same one anew; a frame that was due of the account before is not sent."""
        self.end()
        self._is_hidden = not self._principal.may_read(account_key(*account).decode())
        # Nobody is served an account that is hidden, so the workers are not told that somebody is.
        if not self._is_hidden:
            self._answers.watch(account)
        self._account = account
        self._asked_s = self._hub.now_s()

    def begin(self) -> None:
        """Send a frame at once, and another one every interval from now on."""
        self._hub.at(self, self._hub.now_s())

    def end(self) -> None:
        """Send nothing more, and let the account's answer go."""
        self._hub.forget(self)
        if self._account is not None and not self._is_hidden:
            self._answers.unwatch(self._account)
        self._account = None

    def take(self, now_s: float) -> bytes | None:
        """Return the account's object of now, None where it is not known, and set the next frame an interval later."""
        self._hub.at(self, next_due_s(self.due_s, now_s, self._interval_s))
        if self._account is None:
            return None
        match self._answers.missing(self._account.deployment) if self._is_hidden else self._answers.of(self._account):
            case Known(frame=frame):
                # The whitelist is asked each time: an account may come onto it seconds after it was made.
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
