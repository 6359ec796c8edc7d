"""The hub: it decides when each connection is written to.

Every subscription has a pace of its own, and every connection gets only as much as its client reads. There are no tasks
for this: a change marks subscriptions, and turns of the loop write what is due. A send takes 10 µs of processor time,
and waking a task takes as long again.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode

from api.delivery.outbox import Flushed
from api.delivery.subscription import Waiting
from streams.process.overload import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from api.delivery.outbox import Outbox
    from api.delivery.subscription import Subscription

# Times are rounded up to this. Finer ticks would make more turns of the loop, each with fewer messages.
_TICK_S = 0.01
# Writing to so many takes some 2 ms; then the loop is given to others.
_OUTBOXES_A_TURN = 100
# While the replica has more to do than it can, sockets are written to so often: what changes meanwhile is conflated.
_OVERLOADED_EVERY_S = 1.0
# How soon it is noticed that a client reads again.
_BLOCKED_AGAIN_S = 0.05


class Hub:
    """Writes to connections what their subscriptions have to send.

    Attributes:
        messages: How many messages it has written.
        conflated: How many changes came while an older one was still waiting; the client got only the newest.
        turns: How many turns of the loop wrote something.
        busy_s: How long those turns took together, in s.
        slow_closes: How many connections it closed because their clients did not read.
        on_written: Called when all that was due is written, with how long the first of it waited, in s.
        is_overloaded: Tells whether to write less often, so that more is conflated.
        writes: How long it took to write to all connections that something was due for.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: dict[Outbox, None] = {}
        self._blocked: dict[Outbox, None] = {}
        self._waiting: dict[int, dict[Subscription, None]] = {}
        self._ticks: list[int] = []
        self._turn_is_due = False
        self._due_since_s = 0.0
        self.on_written: Callable[[float], object] = lambda _waited_s: None
        self.is_overloaded: Callable[[], bool] = lambda: False
        self.writes = Waits()
        self._began_s = 0.0
        # Of the connections that something was due for at that time, those that are still to be written to.
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = 0
        self._blocked_timer: asyncio.TimerHandle | None = None
        self.messages = 0
        self.conflated = 0
        self.turns = 0
        self.busy_s = 0.0
        self.slow_closes = 0

    @property
    def blocked(self) -> int:
        """Number of connections that do not read although something waits for them."""
        return len(self._blocked)

    @property
    def control_bytes(self) -> int:
        """Bytes of answers that wait for clients that do not read."""
        return sum(outbox.control_bytes for outbox in self._blocked)

    def now_s(self) -> float:
        """The loop's clock, in s."""
        return self._loop.time()

    def say(self, outbox: Outbox, message: bytes) -> None:
        """Send an answer as soon as the client reads."""
        outbox.put(message)
        # A client that reads may have asked for more than this at once; the next turn sends the answers.
        if outbox.is_overfull and outbox.connection.is_blocked:
            self._close_slow(outbox)
        else:
            self._make_ready(outbox)

    def changed(self, subscriptions: Iterable[Subscription], *, urgent: bool = False) -> None:
        """Send the newest value of subscriptions, each when its pace allows.

        Args:
            subscriptions: Those that have a new value.
            urgent: Whether to send now, whatever their pace.
        """
        now_s = self._loop.time()
        for subscription in subscriptions:
            if subscription.waiting is not Waiting.NOT:
                self.conflated += 1
            at_s = now_s if urgent else subscription.due_s
            if at_s <= now_s:
                self._make_pending(subscription)
            elif subscription.waiting is Waiting.NOT:
                self._wait(subscription, at_s)

    def at(self, subscription: Subscription, at_s: float) -> None:
        """Send the newest value of a subscription at a given time, whether or not it changes until then.

        Args:
            subscription: Whose value.
            at_s: When, in s of the loop's clock.
        """
        subscription.due_s = at_s
        if at_s <= self._loop.time():
            self._make_pending(subscription)
        elif subscription.waiting is not Waiting.FOR_THE_SOCKET:
            self._wait(subscription, at_s)

    def forget(self, subscription: Subscription) -> None:
        """Send nothing more of a subscription."""
        self._wait_no_more(subscription)
        subscription.outbox.discard(subscription)
        subscription.waiting = Waiting.NOT

    def close(self, outbox: Outbox, code: int, reason: bytes) -> None:
        """Send the answers that wait, as far as the client reads, and close the connection.

        Args:
            outbox: Whose connection is closed; nothing else that waits there is sent.
            code: The websocket close code.
            reason: The close frame's reason, UTF-8 of at most 123 bytes.
        """
        self.leave(outbox)
        before = outbox.messages
        outbox.flush_answers()
        self.messages += outbox.messages - before
        outbox.connection.close(code, reason)

    def leave(self, outbox: Outbox) -> None:
        """Send nothing more to a connection, which is gone."""
        self._ready.pop(outbox, None)
        self._blocked.pop(outbox, None)

    def _wait(self, subscription: Subscription, at_s: float) -> None:
        self._wait_no_more(subscription)
        subscription.waiting = Waiting.FOR_ITS_TIME
        tick = subscription.tick = int(at_s / _TICK_S) + 1
        waiting = self._waiting.get(tick)
        if waiting is not None:
            waiting[subscription] = None
            return
        self._waiting[tick] = {subscription: None}
        heappush(self._ticks, tick)
        if self._timer is None or tick < self._timer_tick:
            self._set_timer()

    def _wait_no_more(self, subscription: Subscription) -> None:
        # A subscription left there would keep its connection in memory for up to a minute after its end.
        if subscription.waiting is Waiting.FOR_ITS_TIME:
            self._waiting.get(subscription.tick, {}).pop(subscription, None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ticks:
            self._timer_tick = self._ticks[0]
            self._timer = self._loop.call_at(self._timer_tick * _TICK_S, self._tick)

    def _tick(self) -> None:
        # The loop may call a timer 1 ms early; the tick that it was set for counts as reached all the same.
        now_tick = max(self._timer_tick, int(self._loop.time() / _TICK_S))
        while self._ticks and self._ticks[0] <= now_tick:
            for subscription in self._waiting.pop(heappop(self._ticks)):
                self._make_pending(subscription)
        self._set_timer()

    def _make_pending(self, subscription: Subscription) -> None:
        if subscription.waiting is not Waiting.FOR_THE_SOCKET:
            self._wait_no_more(subscription)
            subscription.waiting = Waiting.FOR_THE_SOCKET
            subscription.outbox.add(subscription)
            self._make_ready(subscription.outbox)

    def _make_ready(self, outbox: Outbox) -> None:
        if outbox in self._blocked or outbox.connection.is_closing:
            return
        self._ready[outbox] = None
        if not self._turn_is_due:
            self._turn_is_due = True
            self._due_since_s = self._loop.time()
            self._plan_turn()

    def _plan_turn(self) -> None:
        if not self._left and self.is_overloaded():
            self._loop.call_at(self._began_s + _OVERLOADED_EVERY_S, self._turn)
        else:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        began_s = self._loop.time()
        ready = self._ready
        if not self._left:
            self._began_s, self._left = began_s, len(ready)
        failed: Outbox | None = None
        try:
            for _ in range(min(len(ready), _OUTBOXES_A_TURN)):
                failed = next(iter(ready))
                del ready[failed]
                self._left -= 1
                self._flush(failed, began_s)
            failed = None
        finally:
            if failed is not None:
                # What it was to be sent is lost, so it is closed: the client comes back and gets snapshots.
                failed.connection.close(WSCloseCode.INTERNAL_ERROR)
            now_s = self._loop.time()
            self.turns += 1
            self.busy_s += now_s - began_s
            self._turn_is_due = bool(ready)
            # Where changes never end, something is always due, and a connection waits until all others were written to.
            self._left = max(0, min(self._left, len(ready)))
            if not self._left:
                self.writes.note(now_s - self._began_s)
            if ready:
                self._plan_turn()
            else:
                self.on_written(now_s - self._due_since_s)

    def _flush(self, outbox: Outbox, now_s: float) -> None:
        before = outbox.messages
        match outbox.flush(now_s):
            case Flushed.ALL:
                outbox.blocked_since_s = None
            case Flushed.SOME:
                outbox.blocked_since_s = None
                self._ready[outbox] = None
                self._left += 1
            case Flushed.BLOCKED:
                self._block(outbox, now_s)
        self.messages += outbox.messages - before

    def _block(self, outbox: Outbox, now_s: float) -> None:
        if outbox.blocked_since_s is None:
            outbox.blocked_since_s = now_s
        slow_after_s = outbox.connection.dialect.slow_after_s
        if slow_after_s is not None and now_s - outbox.blocked_since_s > slow_after_s:
            self._close_slow(outbox)
            return
        self._blocked[outbox] = None
        if self._blocked_timer is None:
            self._blocked_timer = self._loop.call_later(_BLOCKED_AGAIN_S, self._try_blocked)

    def _try_blocked(self) -> None:
        self._blocked_timer = None
        blocked, self._blocked = self._blocked, {}
        for outbox in blocked:
            self._make_ready(outbox)

    def _close_slow(self, outbox: Outbox) -> None:
        self.leave(outbox)
        if not outbox.connection.is_closing:
            self.slow_closes += 1
            outbox.connection.close(outbox.connection.dialect.slow_code, b"slow")
