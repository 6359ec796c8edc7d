"""One client's session: who the client is, what it is subscribed to, and the answers to its requests.

A session touches no socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from api.access.auth import TooManyFailures
from api.access.limits import TokenBucket
from api.access.tokens import NotAuthenticated
from api.delivery.subscription import Subscription
from api.dialects.native.channels import CHANNELS
from api.dialects.native.protocol import (
    SUBSCRIPTIONS_MAX,
    Auth,
    BadMessage,
    Channel,
    Close,
    Code,
    Ping,
    Resync,
    Subscribe,
    Unsubscribe,
    ack,
    decode_request,
    delta_head,
    error,
    snapshot_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.access.auth import Guard
    from api.access.tokens import Principal
    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.native.directory import Directory
    from api.dialects.native.protocol import HeldState, Seq
    from api.dialects.native.subjects import State, Subject

# A client under development makes mistakes; one that makes more of them does not read the answers.
_BAD_MESSAGES_MAX = 10
# Twice the burst of messages: a client that goes on after so many refusals does not read them.
_REFUSED_MAX = 40
# One mistake and one refusal is forgotten each time this has passed, so that rare ones do not add up over a day.
_FORGOTTEN_AFTER_S = 30.0
_NS_A_S = 1_000_000_000
# Replicas are some ms apart. A replica that is later than this, or whose tables were rebuilt, shows what it has.
_CATCH_UP_S = 5.0
_CATCH_UP_AGAIN_S = 0.1
# A row's term and version come first in a seq and are ordered; what may follow is not.
_ORDER_LENGTH = 2


class _Watched(NamedTuple):
    channel: Channel
    key: str


class NativeSubscription(Subscription):
    """A key of a channel, as one client sees it.

    Args:
        outbox: The connection's.
        hub: Sends.
        number: Its ``sub``, which only this connection gives.
        watched: Channel and key.
        interval_s: The shortest time between two messages, in s, at least 0.

    Attributes:
        subject: What it shows.
        held: The state that the client was sent last; None where it is to get a snapshot.
    """

    __slots__ = ("_at_least", "_catch_up_until_s", "_hub", "held", "interval_s", "number", "subject", "watched")

    def __init__(self, outbox: Outbox, hub: Hub, number: int, watched: _Watched, interval_s: float) -> None:
        super().__init__(outbox)
        self._hub = hub
        self._at_least: Seq | None = None
        self._catch_up_until_s = 0.0
        self.number = number
        self.watched = watched
        self.interval_s = interval_s
        self.held: State | None = None
        self.subject: Subject | None = None

    def take(self, now_s: float) -> bytes | None:
        """Return a snapshot, or a delta from what the client holds; None where there is nothing newer."""
        state = None if self.subject is None else self.subject.current()
        held = self.held
        if state is None or self.subject is None or self._is_behind(state, now_s):
            return None
        self.held = state
        if held is not None and held.seq == state.seq:
            return None
        self.due_s = now_s + self.interval_s
        if held is None:
            return snapshot_head(self.number) + state.tail
        return delta_head(self.number) + self.subject.delta(held, state)

    def resume(self, held: Seq) -> bool:
        """Go on from the state that a client holds, where it is still the newest one.

        Where the client's state is newer than this replica's, sending waits some seconds for this replica to catch up.

        Returns:
            Whether the client holds the newest state.
        """
        state = None if self.subject is None else self.subject.current()
        if state is not None and held == state.seq:
            self.held = state
            return True
        if len(held) >= _ORDER_LENGTH:
            self._at_least = held[:_ORDER_LENGTH]
            self._catch_up_until_s = self._hub.now_s() + _CATCH_UP_S
        return False

    def _is_behind(self, state: State, now_s: float) -> bool:
        """Whether another replica showed the client a newer row, which is about to come here too."""
        if self._at_least is None:
            return False
        if now_s < self._catch_up_until_s and state.seq[:_ORDER_LENGTH] < self._at_least:
            self._hub.at(self, now_s + _CATCH_UP_AGAIN_S)
            return True
        self._at_least = None
        return False


class Session:
    """One connection's requests, answers and subscriptions.

    Args:
        outbox: The connection's.
        hub: Sends.
        directory: Finds what can be watched.
        guard: Checks tokens.
        client: The key by which failed authentications are counted.
        messages: The connection's limit on messages.
        epoch: Number of the rebuild that is served.
        principal: Who the client is; None where it has not said.
        on_subject: Called with the token's subject, each time the client has said who it is.
    """

    __slots__ = (
        "_client",
        "_directory",
        "_epoch",
        "_guard",
        "_hub",
        "_last_number",
        "_messages",
        "_mistakes",
        "_numbers",
        "_on_subject",
        "_outbox",
        "_refusals",
        "_subscriptions",
        "heard_s",
        "principal",
    )

    def __init__(
        self,
        outbox: Outbox,
        hub: Hub,
        directory: Directory,
        guard: Guard,
        *,
        client: str,
        messages: TokenBucket,
        epoch: int,
        principal: Principal | None,
        on_subject: Callable[[str], None],
    ) -> None:
        self._outbox = outbox
        self._hub = hub
        self._directory = directory
        self._guard = guard
        self._client = client
        self._messages = messages
        self._epoch = epoch
        self.principal = principal
        self._on_subject = on_subject
        if principal is not None:
            on_subject(principal.subject)
        self._subscriptions: dict[int, NativeSubscription] = {}
        self._numbers: dict[_Watched, int] = {}
        self._last_number = 0
        self._mistakes = TokenBucket(1 / _FORGOTTEN_AFTER_S, _BAD_MESSAGES_MAX)
        self._refusals = TokenBucket(1 / _FORGOTTEN_AFTER_S, _REFUSED_MAX)
        self.heard_s = hub.now_s()

    @property
    def is_idle(self) -> bool:
        """Whether it is subscribed to nothing."""
        return not self._subscriptions

    def receive(self, text: str) -> None:
        """Do what a message asks for, and answer it."""
        now_s = self.heard_s = self._hub.now_s()
        wait_s = self._messages.take(now_s)
        if wait_s:
            self._refuse(wait_s)
            return
        try:
            request = decode_request(text)
        except BadMessage as fault:
            self.refuse_message(str(fault), fault.id)
            return
        if isinstance(request, Auth):
            self._authenticate(request)
        elif self.principal is None:
            self._say(error(request.id, Code.NOT_AUTHENTICATED, 'expected {"op":"auth",…} first'))
        else:
            self._do(request, self.principal)

    def refuse_message(self, why: str, request_id: int | None = None) -> None:
        """Answer a message that is not one of the protocol; a client that sends many of them is closed."""
        self._say(error(request_id, Code.BAD_MESSAGE, why))
        if self._mistakes.take(self._hub.now_s()):
            self._hub.close(self._outbox, Close.BAD_MESSAGES, b"bad messages")

    @property
    def expires_s(self) -> int | None:
        """When the client's token ends, in Unix s; None where it has none, or one that does not end."""
        return None if self.principal is None else self.principal.expires_s

    def end(self) -> None:
        """Give every subscription up."""
        for subscription in self._subscriptions.values():
            self._directory.leave(*subscription.watched, subscription)
            self._hub.forget(subscription)
        self._subscriptions.clear()
        self._numbers.clear()

    def _say(self, message: bytes) -> None:
        self._hub.say(self._outbox, message)

    def _refuse(self, wait_s: float) -> None:
        if self._refusals.take(self._hub.now_s()):
            self._hub.close(self._outbox, Close.TOO_MANY_MESSAGES, b"too many messages")
            return
        self._say(
            error(
                None,
                Code.TOO_MANY_MESSAGES,
                "expected fewer messages a second; one that came was not read",
                temporary=True,
                retry_after_ms=round(wait_s * 1000) + 1,
            )
        )

    def _do(self, request: Subscribe | Unsubscribe | Resync | Ping, principal: Principal) -> None:
        match request:
            case Subscribe():
                self._subscribe(request, principal)
            case Unsubscribe():
                self._unsubscribe(request)
            case Resync():
                self._resync(request)
            case Ping():
                self._say(ack(request.id, "ping"))
            case _:
                assert_never(request)

    def _authenticate(self, request: Auth) -> None:
        try:
            principal = self._guard.authenticate(request.token, self._client)
        except NotAuthenticated as fault:
            self._say(error(request.id, Code.NOT_AUTHENTICATED, str(fault)))
            return
        except TooManyFailures as fault:
            retry_after_ms = round(fault.retry_after_s * 1000) + 1
            self._say(
                error(request.id, Code.NOT_AUTHENTICATED, str(fault), temporary=True, retry_after_ms=retry_after_ms)
            )
            return
        if self.principal is not None and principal.subject != self.principal.subject:
            self._say(
                error(request.id, Code.FORBIDDEN, "expected a token of the same subject; connect anew for another")
            )
            return
        self.principal = principal
        self._on_subject(principal.subject)
        self._look_again(principal)
        said = {} if principal.expires_s is None else {"expires_ns": str(principal.expires_s * _NS_A_S)}
        self._say(ack(request.id, "auth", **said))

    def _look_again(self, principal: Principal) -> None:
        """Join subscriptions anew with another token, which may open what was hidden and hide what was open."""
        for subscription in self._subscriptions.values():
            before = subscription.subject
            self._directory.leave(*subscription.watched, subscription)
            subscription.subject = self._join(subscription, principal)
            if before is None or type(before) is not type(subscription.subject):
                subscription.held = None
                self._hub.changed([subscription], urgent=True)

    def _subscribe(self, request: Subscribe, principal: Principal) -> None:
        wanted = self._wanted(request, principal)
        if wanted is None:
            return
        interval_s = request.interval_ms / 1000
        held_of = self._held_of(request)
        subs, changed = [], []
        for watched in wanted:
            number = self._numbers.get(watched)
            if number is None:
                subscription = self._begin(watched, interval_s, principal)
            else:
                subscription = self._subscriptions[number]
                subscription.interval_s = interval_s
            held = held_of.get(watched)
            resumed = (
                number is None and held is not None and held.epoch == self._epoch and subscription.resume(held.seq)
            )
            if not resumed:
                subscription.held = None
            changed.append(subscription)
            subs.append(
                {
                    "sub": subscription.number,
                    "channel": watched.channel,
                    "key": watched.key,
                    "interval_ms": request.interval_ms,
                    "resumed": resumed,
                }
            )
        self._say(ack(request.id, "subscribe", subs=subs))
        # The current state is read when it is sent, and later changes wake the subscription, so none is missed.
        self._hub.changed(changed, urgent=True)

    def _held_of(self, request: Subscribe) -> dict[_Watched, HeldState]:
        """Return what the client holds; its spelling of a key here may be another one than among the keys."""
        channel = Channel(request.channel)
        keys = ((self._directory.canonical_key(channel, asked), held) for asked, held in request.resume.items())
        return {_Watched(channel, key): held for key, held in keys if key is not None}

    def _wanted(self, request: Subscribe, principal: Principal) -> list[_Watched] | None:
        """Return what is asked for, each once and in the client's order; None where the request was refused."""
        try:
            channel = Channel(request.channel)
        except ValueError:
            known = ", ".join(Channel)
            self._say(error(request.id, Code.BAD_CHANNEL, f"expected one of {known}, found {request.channel[:80]!r}"))
            return None
        description = CHANNELS[channel]
        wanted: dict[_Watched, None] = {}
        for asked in request.keys:
            key = self._directory.canonical_key(channel, asked)
            if key is None or (description.is_refused_unread and not description.may_read(principal, key)):
                message = f"expected a key of {channel}, as docs/websocket.md says, found {asked[:80]!r}"
                self._say(error(request.id, Code.BAD_KEY, message))
                return None
            wanted[_Watched(channel, key)] = None
        new = sum(watched not in self._numbers for watched in wanted)
        if len(self._subscriptions) + new > SUBSCRIPTIONS_MAX:
            message = f"expected at most {SUBSCRIPTIONS_MAX} subscriptions, found {len(self._subscriptions) + new}"
            self._say(error(request.id, Code.TOO_MANY_SUBSCRIPTIONS, message))
            return None
        return list(wanted)

    def _begin(self, watched: _Watched, interval_s: float, principal: Principal) -> NativeSubscription:
        self._last_number += 1
        subscription = NativeSubscription(self._outbox, self._hub, self._last_number, watched, interval_s)
        subscription.subject = self._join(subscription, principal)
        self._subscriptions[subscription.number] = subscription
        self._numbers[watched] = subscription.number
        return subscription

    def _join(self, subscription: NativeSubscription, principal: Principal) -> Subject:
        channel, key = subscription.watched
        if CHANNELS[channel].may_read(principal, key):
            return self._directory.join(channel, key, subscription)
        return self._directory.hidden(channel, key)

    def _unsubscribe(self, request: Unsubscribe) -> None:
        if not self._are_known(request.id, request.subs):
            return
        for number in dict.fromkeys(request.subs):
            subscription = self._subscriptions.pop(number)
            del self._numbers[subscription.watched]
            self._directory.leave(*subscription.watched, subscription)
            self._hub.forget(subscription)
        self._say(ack(request.id, "unsubscribe"))

    def _resync(self, request: Resync) -> None:
        if self._are_known(request.id, (request.sub,)):
            subscription = self._subscriptions[request.sub]
            subscription.held = None
            self._say(ack(request.id, "resync"))
            self._hub.changed([subscription], urgent=True)

    def _are_known(self, request_id: int, numbers: tuple[int, ...]) -> bool:
        unknown = [number for number in numbers if number not in self._subscriptions]
        if unknown:
            self._say(
                error(request_id, Code.BAD_SUBSCRIPTION, f"expected a sub of this connection, found {unknown[0]}")
            )
        return not unknown
