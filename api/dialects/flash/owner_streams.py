"""What the sockets of each owner are sent: calculated once for all of them, at the pace of the fastest.

A stream begins with an owner's first socket and ends some seconds after the last one has gone, since clients that lose
a connection come back at once.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from api.delivery.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox

GRACE_S = 5.0
"""For how long an owner's work goes on after the last socket has gone, in s."""

# However often a basket changes, it is not calculated more often than the fastest client is sent metrics.
_REST_S = 0.1
_NONE_SENT = object()


class OwnerId(NamedTuple):
    """Whose sockets share a stream. What a client may not read is shown to it as of an owner who has no basket."""

    owner: str
    is_hidden: bool


class BasketFrame(NamedTuple):
    """A whole basket as it is sent.

    Attributes:
        frame: The message.
        token: Equal for two frames that differ in figures alone, so that who was sent one needs no other.
        is_whole: Whether no market had to be left out.
    """

    frame: bytes
    token: object
    is_whole: bool


class OwnerFrames(Protocol):
    """Makes the frames of owners, as of now."""

    def basket(self, of: OwnerId) -> BasketFrame | None:
        """The whole basket; None while nothing is known of it, which is not to be shown as a basket of nothing."""

    def metrics(self, of: OwnerId) -> bytes | None:
        """The figures of all positions; None where there is no basket, or nothing is known of it."""


class OwnerSocket(Subscription):
    """One socket of an owner. It is sent the newest basket, and after it the newest metrics; older ones are left out.

    Args:
        outbox: Its connection's.
        stream: Its owner's.
        interval_s: From one metrics frame to the next, as its client wants it.
    """

    __slots__ = ("_tick_sent", "_token_sent", "interval_s", "stream")

    def __init__(self, outbox: Outbox, stream: OwnerStream, interval_s: float) -> None:
        super().__init__(outbox)
        self.stream = stream
        self.interval_s = interval_s
        self._token_sent: object = _NONE_SENT
        self._tick_sent = 0

    def take(self, now_s: float) -> bytes | None:  # noqa: ARG002 - frames are of the stream's time
        """The newest basket if it was not sent yet, else the metrics of this interval."""
        stream = self.stream
        basket = stream.basket
        if basket is None:
            return None
        if basket.token != self._token_sent:
            # Metrics that are there already are no newer than the figures in it.
            self._token_sent, self._tick_sent = basket.token, stream.tick
            return basket.frame
        if stream.tick == self._tick_sent:
            return None
        self._tick_sent = stream.tick
        return stream.metrics


class OwnerStream:
    """The sockets of one owner, and their newest frames.

    Args:
        of: Whose.
        frames: Makes frames.
        hub: Sends them.
        on_late: Called with how late each frame of metrics was calculated, in s.

    Attributes:
        basket: The newest basket, None before the first and while nothing is known of it.
        metrics: The newest metrics of this basket, None before the first.
        tick: How many frames of metrics were made; each is sent, also where it says what the one before said.
    """

    def __init__(self, of: OwnerId, frames: OwnerFrames, hub: Hub, on_late: Callable[[float], object]) -> None:
        self.of = of
        self.basket: BasketFrame | None = None
        self.metrics: bytes | None = None
        self.tick = 0
        self._frames = frames
        self._hub = hub
        self._on_late = on_late
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[OwnerSocket, None] = {}
        self._due_s = math.inf
        self._basket_made_s = -math.inf
        self._basket_timer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it has no socket."""
        return not self._sockets

    @property
    def interval_s(self) -> float:
        """From one metrics frame to the next: the least that one of its sockets wants."""
        return min((socket.interval_s for socket in self._sockets), default=math.inf)

    def add(self, socket: OwnerSocket) -> None:
        """Send to one more socket: the basket at once, with figures of now, where anything is known of it."""
        self._sockets[socket] = None
        self.show_basket()
        self._hub.changed((socket,), urgent=True)
        self._tick_within(socket.interval_s)

    def remove(self, socket: OwnerSocket) -> None:
        """Send no more to a socket."""
        self._hub.forget(socket)
        self._sockets.pop(socket, None)

    def show_basket(self) -> None:
        """Send the basket anew, since it changed; not more often than it may be calculated."""
        if self._basket_timer is not None:
            return
        rest_s = self._basket_made_s + _REST_S - self._loop.time()
        if rest_s > 0:
            self._basket_timer = self._loop.call_later(rest_s, self._make_basket)
        else:
            self._make_basket()

    def end(self) -> None:
        """Calculate no more."""
        for timer in (self._timer, self._basket_timer):
            if timer is not None:
                timer.cancel()

    def _make_basket(self) -> None:
        self._basket_timer = None
        self._basket_made_s = self._loop.time()
        made, before = self._frames.basket(self.of), self.basket
        self.basket = made
        if made is None:
            # Who joins now would take them for what is so; the others know by its token which basket they were sent.
            self.metrics = None
        elif before is None or before.token != made.token:
            # Metrics of before it name positions that it may not have.
            self.metrics = None
            self._hub.changed(self._sockets, urgent=True)

    def _tick_within(self, interval_s: float) -> None:
        due_s = self._loop.time() + interval_s
        if due_s < self._due_s:
            if self._timer is not None:
                self._timer.cancel()
            self._due_s = due_s
            self._timer = self._loop.call_at(due_s, self._tick)

    def _tick(self) -> None:
        began_s, due_s, interval_s = self._loop.time(), self._due_s, self.interval_s
        self._timer, self._due_s = None, math.inf
        if self.is_empty:
            # Nobody hears it; who comes back within the grace begins anew.
            return
        try:
            if self._make_metrics():
                self._on_late(began_s - due_s)
        finally:
            # Instants that were missed are not made up for.
            missed = max(0, math.floor((self._loop.time() - due_s) / interval_s))
            self._due_s = due_s + interval_s * (missed + 1)
            self._timer = self._loop.call_at(self._due_s, self._tick)

    def _make_metrics(self) -> bool:
        """Make a frame of metrics; False where there is none to be sent."""
        if self._basket_timer is None and (self.basket is None or not self.basket.is_whole):
            # At once: a rest would keep these metrics back, at the fastest pace all of them.
            self._make_basket()
        if self.basket is None or self._basket_timer is not None:
            return False
        made = self._frames.metrics(self.of)
        if made is None:
            return False
        self.metrics = made
        self.tick += 1
        self._hub.changed(self._sockets, urgent=True)
        return True


class OwnerStreams:
    """The streams of all owners who are shown to somebody.

    Args:
        frames: Makes frames.
        hub: Sends them.
        watch: Called with an owner when its work begins.
        unwatch: Called with an owner when its work ends.
        on_late: Called with how late each frame of metrics was calculated, in s.
    """

    def __init__(
        self,
        frames: OwnerFrames,
        hub: Hub,
        *,
        watch: Callable[[str], None],
        unwatch: Callable[[str], None],
        on_late: Callable[[float], object],
    ) -> None:
        self._frames = frames
        self._hub = hub
        self._watch = watch
        self._unwatch = unwatch
        self._on_late = on_late
        self._streams: dict[OwnerId, OwnerStream] = {}
        self._ending: dict[OwnerId, asyncio.TimerHandle] = {}

    @property
    def owners(self) -> Collection[str]:
        """The owners whose baskets are worked on."""
        return [of.owner for of in self._streams if not of.is_hidden]

    def join(self, of: OwnerId, outbox: Outbox, interval_s: float) -> OwnerSocket:
        """Send an owner's frames to a socket until it leaves.

        Args:
            of: Whose.
            outbox: The socket's.
            interval_s: From one metrics frame to the next, at the most.
        """
        ending = self._ending.pop(of, None)
        if ending is not None:
            ending.cancel()
        stream = self._streams.get(of)
        if stream is None:
            stream = self._streams[of] = OwnerStream(of, self._frames, self._hub, self._on_late)
            if not of.is_hidden:
                self._watch(of.owner)
        socket = OwnerSocket(outbox, stream, interval_s)
        stream.add(socket)
        return socket

    def leave(self, socket: OwnerSocket) -> None:
        """Send a socket no more; its owner's work ends soon, unless somebody else is shown it."""
        stream = socket.stream
        stream.remove(socket)
        if stream.is_empty:
            loop = asyncio.get_running_loop()
            self._ending[stream.of] = loop.call_later(GRACE_S, self._end, stream.of)

    def basket_changed(self, owner: str) -> None:
        """Show an owner's basket anew to whoever is shown it."""
        stream = self._streams.get(OwnerId(owner, is_hidden=False))
        if stream is not None:
            stream.show_basket()

    def show_all(self) -> None:
        """Show every basket, since what is read of them has come."""
        for stream in list(self._streams.values()):
            stream.show_basket()

    def _end(self, of: OwnerId) -> None:
        del self._ending[of]
        self._streams.pop(of).end()
        if not of.is_hidden:
            self._unwatch(of.owner)
