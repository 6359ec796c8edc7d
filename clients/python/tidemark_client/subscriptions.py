"""What is subscribed to, and what is held of it, which outlives connections."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tidemark_client.actions import Held

# In keys of these channels the case of a deployment and of an EVM address does not matter; of other accounts it does.
_OF_ACCOUNTS = frozenset({"account", "valuations", "positions", "position-states", "alerts"})
_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")

Name = tuple[str, str]
"""What tells subscriptions apart: the channel, and the key in one spelling."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One key of one channel.

    Attributes:
        channel: The channel.
        key: The key, as it was asked for, and once it was acknowledged as the server spells it.
        name: What tells it from others.
        interval_ms: The shortest time between two messages, in ms.
        held: What stands of it; None before the first snapshot.
        sub: Its number on this connection; None where it was not acknowledged.
        is_asked: Whether it was asked for on this connection.
        is_wanted: Whether it is to go on.
        is_refused: Whether the server refuses it on this connection.
        resync_id: The request that asked for all of it again, until it comes.
    """

    channel: str
    key: str
    interval_ms: int
    held: Held | None = None
    sub: int | None = None
    is_asked: bool = False
    is_wanted: bool = True
    is_refused: bool = False
    resync_id: int | None = None
    name: Name = field(init=False)

    def __post_init__(self) -> None:
        self.name = name_of(self.channel, self.key)

    @property
    def is_being_asked(self) -> bool:
        """Whether the server has not answered yet."""
        return self.is_asked and self.sub is None and not self.is_refused


def name_of(channel: str, key: str) -> Name:
    """Return the name of a key in whatever spelling."""
    if channel not in _OF_ACCOUNTS:
        return channel, key
    deployment, colon, account = key.partition(":")
    return channel, deployment.lower() + colon + (account.lower() if _ADDRESS.fullmatch(account) else account)


class Subscriptions:
    """All of them, those to be asked for, and the numbers that they have on this connection."""

    def __init__(self) -> None:
        self._all: dict[Name, Subscription] = {}
        self._to_ask: dict[Name, Subscription] = {}
        self._of_sub: dict[int, Subscription] = {}
        self._left: set[int] = set()

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._all.values())

    def get(self, channel: str, key: str) -> Subscription | None:
        """Return the subscription of a key in whatever spelling."""
        return self._all.get(name_of(channel, key))

    def of_sub(self, sub: int) -> Subscription | None:
        """Return the subscription with a number of this connection."""
        return self._of_sub.get(sub)

    def was_left(self, sub: int) -> bool:
        """Whether the number was unsubscribed on this connection: what still comes of it is nobody's."""
        return sub in self._left

    def want(self, channel: str, key: str, interval_ms: int) -> bool:
        """Want a key, and return whether that has to be said to the server.

        Args:
            channel: The channel's name.
            key: A key of it.
            interval_ms: The shortest time between two messages, 0 to 60,000 ms.
        """
        name = name_of(channel, key)
        known = self._all.setdefault(name, Subscription(channel, key, interval_ms))
        is_said = known.is_asked and not known.is_refused and known.interval_ms == interval_ms
        known.interval_ms, known.is_wanted, known.is_refused = interval_ms, True, False
        if not is_said:
            self._to_ask[name] = known
        return not is_said

    def unwant(self, channel: str, key: str) -> None:
        """Give a key up."""
        known = self._all.get(name_of(channel, key))
        if known is not None:
            known.is_wanted = False
            self._to_ask.pop(known.name, None)

    def take_to_ask(self, most: int) -> Iterator[list[Subscription]]:
        """Take those that are to be asked for, as groups of one channel and interval, of ``most`` keys at the most."""
        groups: dict[tuple[str, int], list[Subscription]] = {}
        for subscription in self._to_ask.values():
            groups.setdefault((subscription.channel, subscription.interval_ms), []).append(subscription)
        self._to_ask.clear()
        for group in groups.values():
            yield from (group[start : start + most] for start in range(0, len(group), most))

    def take_unwanted(self) -> list[Subscription]:
        """Forget those that were given up and are not being asked for, and return them."""
        ends = [
            one for one in self if not one.is_wanted and (one.sub is not None or one.is_refused or not one.is_asked)
        ]
        for subscription in ends:
            del self._all[subscription.name]
            if subscription.sub is not None:
                del self._of_sub[subscription.sub]
                self._left.add(subscription.sub)
        return ends

    def acknowledge(self, asked: list[Subscription], said: list[tuple[str, str, int]]) -> None:
        """Take in the numbers that subscriptions have on this connection, and the usual spelling of their keys.

        Args:
            asked: Those of the request, in its order.
            said: Channel, key and number of each, as the server says them: in the same order, each once.
        """
        for place, (channel, key, sub) in enumerate(said):
            subscription = self.get(channel, key)
            if subscription is not None:
                subscription.key = key
            elif len(asked) == len(said):
                # Its venue spells it by a rule of its own, which only the server knows.
                subscription = asked[place]
            if subscription is None:
                self._left.add(sub)
            else:
                subscription.sub = sub
                self._of_sub[sub] = subscription

    def disconnect(self) -> None:
        """Forget what ends with a connection; what is held and wanted is asked for on the next one."""
        self._all = {name: one for name, one in self._all.items() if one.is_wanted}
        for subscription in self:
            subscription.sub = subscription.resync_id = None
            subscription.is_asked = subscription.is_refused = False
        self._to_ask = dict(self._all)
        self._of_sub.clear()
        self._left.clear()


def keys_of(subscriptions: Iterable[Subscription]) -> list[str]:
    """Return the keys as they are asked for."""
    return [subscription.key for subscription in subscriptions]
