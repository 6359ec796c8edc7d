"""The protocol ``tidemark.v1.json`` as a client speaks it (docs/websocket.md), without a socket and without a clock.

Whoever holds the socket hands in what happened and when, and does what comes back: see ``actions``. Whenever ``wake_s``
is over it calls ``tick``. Times are in s of any clock that only rises.
"""

from __future__ import annotations

import json
import math
import random
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, assert_never

from tidemark_client.actions import Changed, Connect, Disconnect, Gap, Heard, Held, Refused, Send, Status
from tidemark_client.pace import Allowance, BackOff
from tidemark_client.patch import patched
from tidemark_client.subscriptions import Subscription, Subscriptions, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tidemark_client.actions import Action, Message

SUBPROTOCOL = "tidemark.v1.json"
INTERVAL_MS = 100
"""The shortest time between two messages of a key, where nothing else is said."""

NOT_AUTHENTICATED = 4401
"""The close code for a token that is missing, refused or expired."""

OPENING_S = 10.0
"""How long a socket may take to open, and the server to say hello."""

# A socket that a network silently dropped never closes by itself.
_HEARTBEATS_MISSED = 3
# The server answers at once. What it takes longer for was lost, and a new connection finds out what stands.
_ANSWER_S = 15.0
# What is asked for in the same moment goes together.
_GATHER_S = 0.1
# The server takes 64 KiB a message; a key is some 60 bytes, and what is resumed of it some 100 more.
_KEYS_A_MESSAGE = 250
# A token is replaced this long before it expires, or half of its time where that is less.
_RENEW_S = 30.0
_RENEW_AGAIN_S = 5.0
# These say what to change: coming back with the same messages or the same token would end the same.
_FINAL_CODES = frozenset({1002, 1007, 1008, 1009, 4400, NOT_AUTHENTICATED, 4403})
_CROWDED_CODES = frozenset({4409, 4429})
_NS_A_S = 1_000_000_000


class _Due(Enum):
    """What happens when its time comes."""

    CONNECT = auto()
    SILENCE = auto()
    GATHER = auto()
    DRAIN = auto()
    LEAVE = auto()
    RENEW = auto()


@dataclass(slots=True, eq=False)
class _Request:
    id: int
    op: str
    text: str
    subscriptions: list[Subscription] = field(default_factory=list)
    sent_s: float = math.inf
    is_answered: bool = False


class Core:
    """A client's side of the protocol.

    Args:
        token: Gives the newest token; None where there is none. It is called whenever one is needed.
        spread: Gives numbers from 0 to 1, which keep clients from coming back all at once.

    Attributes:
        hello: The server's first message on this connection; None before it came.
    """

    def __init__(
        self, *, token: Callable[[], str | None] = lambda: None, spread: Callable[[], float] = random.random
    ) -> None:
        self._token = token
        self._token_sent: str | None = None
        self._subscriptions = Subscriptions()
        self._back_off = BackOff(spread)
        self._due: dict[_Due, float] = {}
        self._actions: list[Action] = []
        self._requests: dict[int, _Request] = {}
        self._queue: deque[_Request] = deque()
        self._allowance = Allowance(1, 1, 0.0)
        self._last_id = 0
        self._is_connected = False
        self._is_live = False
        self._greeted_s = 0.0
        self._reconnect_s = 0.0
        self.hello: Message | None = None

    @property
    def wake_s(self) -> float:
        """When ``tick`` is to be called at the latest; infinite where nothing is waited for."""
        answers_s = min((request.sent_s for request in self._requests.values()), default=math.inf) + _ANSWER_S
        return min(answers_s, *self._due.values(), math.inf)

    @property
    def is_settled(self) -> bool:
        """Whether it is connected, and all that was asked for is answered."""
        return self._is_live and not self._requests and not {_Due.GATHER, _Due.DRAIN} & self._due.keys()

    def held(self, channel: str, key: str) -> Held | None:
        """Return what stands of a key that is subscribed to, in whatever spelling; None before it came."""
        subscription = self._subscriptions.get(channel, key)
        return None if subscription is None else subscription.held

    def start(self, now_s: float) -> list[Action]:
        """Connect, and stay connected until ``stop``; also after the connection ended for good."""
        if not self._is_connected:
            self._connect(now_s)
        return self._taken()

    def stop(self) -> list[Action]:
        """Disconnect for good."""
        self._leave()
        self._actions.append(Status("ended", "stopped"))
        return self._taken()

    def retry(self, now_s: float) -> list[Action]:
        """Try at once what is being waited for, because the network is back or somebody asks."""
        if _Due.CONNECT in self._due:
            self._connect(now_s)
        return self._taken()

    def subscribe(self, now_s: float, channel: str, keys: Iterable[str], interval_ms: int = INTERVAL_MS) -> None:
        """Want keys of a channel from now on; the same key once more changes its interval.

        Args:
            now_s: The time.
            channel: The channel's name.
            keys: Keys of it.
            interval_ms: The shortest time between two messages of a key, 0 to 60,000 ms; 0: each change as it comes.
        """
        for key in keys:
            if self._subscriptions.want(channel, key, interval_ms):
                self._gather(now_s)

    def unsubscribe(self, now_s: float, channel: str, keys: Iterable[str]) -> None:
        """Want keys of a channel no longer.

        Args:
            now_s: The time.
            channel: The channel's name.
            keys: Keys of it, in whatever spelling.
        """
        for key in keys:
            self._subscriptions.unwant(channel, key)
        self._gather(now_s)

    def receive(self, now_s: float, text: str) -> list[Action]:
        """Take in a text frame; one that is not of the protocol ends the connection, and not the client."""
        try:
            messages = json.loads(text)
        except ValueError:
            messages = None
        if not isinstance(messages, list):
            self._lose(now_s, f"expected a frame that is an array of messages, found {text[:40]!r}")
            return self._taken()
        for message in messages:
            if not self._is_connected:
                break
            self._expect_word(now_s)
            self._take(now_s, message)
        return self._taken()

    def lost(
        self, now_s: float, reason: str, *, code: int | None = None, retry_after_s: float | None = None
    ) -> list[Action]:
        """Take in that the socket closed or could not be opened, and wait before the next attempt.

        Args:
            now_s: The time.
            reason: Why.
            code: The close code; None where there was none.
            retry_after_s: How long the server wants us to wait, in s, at least 0; None where it did not say.
        """
        self._is_connected = False
        self._lose(now_s, reason, code, retry_after_s)
        return self._taken()

    def tick(self, now_s: float) -> list[Action]:
        """Do what is due by now."""
        for due in [due for due, at_s in self._due.items() if at_s <= now_s]:
            if self._due.pop(due, None) is not None:
                self._do_due(now_s, due)
        if any(request.sent_s + _ANSWER_S <= now_s for request in self._requests.values()):
            self._lose(now_s, f"a request was not answered within {_ANSWER_S:.0f} s")
        return self._taken()

    def _taken(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _do_due(self, now_s: float, due: _Due) -> None:
        match due:
            case _Due.CONNECT | _Due.LEAVE:
                self._connect(now_s)
            case _Due.SILENCE:
                self._lose(now_s, "no word from the server")
            case _Due.GATHER:
                self._ask(now_s)
            case _Due.DRAIN:
                self._drain(now_s)
            case _Due.RENEW:
                self._renew(now_s)
            case _:
                assert_never(due)

    def _connect(self, now_s: float) -> None:
        self._leave()
        self._reconnect_s = 0.0
        self._is_connected = True
        self._actions += [Status("connecting"), Connect()]
        self._expect_word(now_s)

    def _leave(self) -> None:
        if self._is_connected:
            self._actions.append(Disconnect())
        self._is_connected = self._is_live = False
        self._due.clear()
        self._queue.clear()
        self._requests.clear()
        self._subscriptions.disconnect()
        self.hello = None

    def _lose(self, now_s: float, reason: str, code: int | None = None, retry_after_s: float | None = None) -> None:
        reconnect_in_s = self._reconnect_s - now_s
        self._leave()
        is_token_new = code == NOT_AUTHENTICATED and self._token() not in {None, self._token_sent}
        if code in _FINAL_CODES and not is_token_new:
            self._actions.append(Status("ended", reason, code))
            return
        wait_s = self._back_off.next_s(is_crowded=code in _CROWDED_CODES)
        if retry_after_s is not None:
            wait_s = max(wait_s, retry_after_s)
        if reconnect_in_s > 0:
            wait_s = reconnect_in_s
        self._reconnect_s = 0.0
        self._due[_Due.CONNECT] = now_s + wait_s
        self._actions.append(Status("waiting", reason, code, wait_s))

    def _expect_word(self, now_s: float) -> None:
        silence_s = OPENING_S if self.hello is None else self.hello["heartbeat_ms"] / 1000 * _HEARTBEATS_MISSED
        self._due[_Due.SILENCE] = now_s + silence_s

    def _take(self, now_s: float, message: Message) -> None:
        self._actions.append(Heard(message))
        match message["type"]:
            case "hello":
                self._greet(now_s, message)
            case "ack":
                self._acknowledged(now_s, message)
            case "error":
                self._failed(now_s, message)
            case "snapshot" | "delta":
                self._state(now_s, message)
            case "goodbye":
                self._reconnect_s = self._due[_Due.LEAVE] = now_s + message["reconnect_in_ms"] / 1000
            case _:
                pass

    def _greet(self, now_s: float, hello: Message) -> None:
        limits = hello["limits"]
        self.hello, self._greeted_s = hello, now_s
        self._allowance = Allowance(limits["messages_per_s"], limits["messages_burst"], now_s)
        self._expect_word(now_s)
        if hello["auth"] != "required":
            self._live(now_s)
        elif not self._authenticate(now_s):
            self._lose(now_s, "the server wants a token", NOT_AUTHENTICATED)

    def _authenticate(self, now_s: float) -> bool:
        token = self._token()
        if token is None:
            return False
        self._token_sent = token
        self._request(now_s, "auth", token=token)
        return True

    def _live(self, now_s: float) -> None:
        self._is_live = True
        self._back_off.reset()
        self._actions.append(Status("live"))
        self._ask(now_s)

    def _renew(self, now_s: float) -> None:
        """Send another token before the one in use expires, as soon as there is another."""
        if self._token() == self._token_sent or not self._authenticate(now_s):
            self._due[_Due.RENEW] = now_s + _RENEW_AGAIN_S

    def _acknowledged(self, now_s: float, ack: Message) -> None:
        request = self._requests.get(ack["id"])
        if request is not None and ack["op"] == "resync":
            request.is_answered = True  # It is done when the snapshot comes.
            return
        self._requests.pop(ack["id"], None)
        match ack["op"]:
            case "auth":
                self._authenticated(now_s, ack)
            case "subscribe":
                asked = [] if request is None else request.subscriptions
                said = [(sub["channel"], sub["key"], sub["sub"]) for sub in ack["subs"]]
                self._subscriptions.acknowledge(asked, said)
                if not all(subscription.is_wanted for subscription in asked):
                    self._gather(now_s)
            case _:
                pass

    def _authenticated(self, now_s: float, ack: Message) -> None:
        if "expires_ns" in ack and self.hello is not None:
            server_s = int(self.hello["server_time_ns"]) / _NS_A_S + now_s - self._greeted_s
            left_s = int(ack["expires_ns"]) / _NS_A_S - server_s
            self._due[_Due.RENEW] = now_s + max(left_s - _RENEW_S, left_s / 2)
        if not self._is_live:
            self._live(now_s)

    def _failed(self, now_s: float, error: Message) -> None:
        retry_s = error["retry_after_ms"] / 1000 if "retry_after_ms" in error else None
        request = self._requests.get(error["id"]) if "id" in error else self._oldest_unanswered()
        if request is None or ("id" not in error and not error["temporary"]):
            return
        if request.op == "auth" and not self._is_live:
            self._lose(now_s, error["message"], None if error["temporary"] else NOT_AUTHENTICATED, retry_s)
            return
        del self._requests[request.id]
        if error["temporary"]:
            self._allowance.stop_until(now_s + (_GATHER_S if retry_s is None else retry_s))
            self._queue_up(now_s, request)
        else:
            self._refused(now_s, request, error)

    def _oldest_unanswered(self) -> _Request | None:
        """Return the request that an error without an id answers: the server answers in the order of asking."""
        sent = (one for one in self._requests.values() if one.sent_s < math.inf and not one.is_answered)
        return next(sent, None)

    def _refused(self, now_s: float, request: _Request, error: Message) -> None:
        subscriptions = request.subscriptions
        match request.op:
            case "subscribe" if error["code"] == "bad_key" and len(subscriptions) > 1:
                # Nothing of a request is done where one key is bad: halves tell the bad one from the others.
                half = len(subscriptions) // 2
                self._subscribe(now_s, subscriptions[:half])
                self._subscribe(now_s, subscriptions[half:])
            case "subscribe":
                for subscription in subscriptions:
                    subscription.is_refused = True
                self._actions.append(Refused(subscriptions[0].channel, keys_of(subscriptions), error))
            case "auth":
                self._due[_Due.RENEW] = now_s + _RENEW_AGAIN_S
            case "resync":
                self._lose(now_s, f"the server refused to send a state again: {error['message']}")
            case _:
                pass

    def _state(self, now_s: float, message: Message) -> None:
        subscription = self._subscriptions.of_sub(message["sub"])
        if subscription is None:
            if not self._subscriptions.was_left(message["sub"]):
                self._lose(now_s, "a state came of a subscription that was not acknowledged")
        elif message["type"] == "snapshot":
            if subscription.resync_id is not None:
                self._requests.pop(subscription.resync_id, None)
                subscription.resync_id = None
            self._hold(subscription, Held(message["epoch"], message["seq"], message["data"]), None)
        elif subscription.resync_id is None:
            self._patch(now_s, subscription, message)

    def _patch(self, now_s: float, subscription: Subscription, delta: Message) -> None:
        held = subscription.held
        is_same_epoch = held is not None and self.hello is not None and held.epoch == self.hello["epoch"]
        if held is not None and is_same_epoch and held.seq == delta["prev"]:
            self._hold(subscription, Held(held.epoch, delta["seq"], patched(held.data, delta["data"])), delta["data"])
            return
        subscription.resync_id = self._request(now_s, "resync", sub=delta["sub"])
        self._actions.append(Gap(subscription.channel, subscription.key))

    def _hold(self, subscription: Subscription, held: Held, patch: dict[str, Any] | None) -> None:
        subscription.held = held
        if subscription.is_wanted:
            self._actions.append(Changed(subscription.channel, subscription.key, held, patch))

    def _gather(self, now_s: float) -> None:
        if self._is_live:
            self._due.setdefault(_Due.GATHER, now_s + _GATHER_S)

    def _ask(self, now_s: float) -> None:
        """Say together what was asked for since the last time."""
        self._due.pop(_Due.GATHER, None)
        unwanted = self._subscriptions.take_unwanted()
        for subscription in unwanted:
            self._requests.pop(subscription.resync_id or 0, None)
        numbers = [subscription.sub for subscription in unwanted if subscription.sub is not None]
        if numbers:
            self._request(now_s, "unsubscribe", subs=numbers)
        for group in self._subscriptions.take_to_ask(_KEYS_A_MESSAGE):
            self._subscribe(now_s, group)

    def _subscribe(self, now_s: float, group: list[Subscription]) -> None:
        for subscription in group:
            subscription.is_asked = True
        resume = {
            one.key: {"epoch": one.held.epoch, "seq": one.held.seq}
            for one in group
            if one.sub is None and one.held is not None
        }
        said = {"channel": group[0].channel, "keys": keys_of(group), "interval_ms": group[0].interval_ms}
        self._request(now_s, "subscribe", group, **said, resume=resume)

    def _request(self, now_s: float, op: str, subscriptions: list[Subscription] | None = None, **said: object) -> int:
        self._last_id += 1
        text = json.dumps({"op": op, "id": self._last_id, **said}, separators=(",", ":"))
        self._queue_up(now_s, _Request(self._last_id, op, text, subscriptions or []))
        return self._last_id

    def _queue_up(self, now_s: float, request: _Request) -> None:
        request.sent_s = math.inf
        self._requests[request.id] = request
        self._queue.append(request)
        self._drain(now_s)

    def _drain(self, now_s: float) -> None:
        """Send what waits, no faster than the server takes it."""
        self._due.pop(_Due.DRAIN, None)
        while self._queue:
            wait_s = self._allowance.take(now_s)
            if wait_s:
                self._due[_Due.DRAIN] = now_s + wait_s
                return
            request = self._queue.popleft()
            request.sent_s = now_s
            self._actions.append(Send(request.text))
