"""Which subjects are watched here, found by channel and key, and by the rows they are made of."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, assert_never

from api.dialects.native.protocol import Channel
from api.dialects.native.subjects import AccountSubject, HiddenSubject, MadeSubject, RowSubject, Subject, flags_of
from models.errors import BadRow
from models.symmio.alert_views import alerts_view
from models.symmio.funding import next_funding_view
from models.symmio.state_views import position_states_view
from models.views import absent_account, account_view, figures_view, mark_view, positions_view
from streams.kafka.topics import ALERTS, INSTRUMENTS, MARKS, POSITION_STATES, SUBTOTALS, VALUATIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from api.delivery.hub import Hub
    from api.delivery.interest_writer import InterestSink
    from api.delivery.subscription import Subscription
    from api.dialects.native.subjects import RowView
    from api.tables.deployment_totals import Totals
    from api.tables.feeds import Feeds
    from api.tables.funding_board import FundingBoard
    from models.views import View

_ACCOUNT_KEY = re.compile(r"[a-z0-9][a-z0-9-]*:0x[0-9a-f]{40}")
_FUNDING_KEY = re.compile(r"[a-z0-9][a-z0-9-]*:[^\s\x00-\x1f]{1,60}")
_MARK_KEY = re.compile(r"[a-z0-9][a-z0-9-]*:[^\s\x00-\x1f]{1,60}")

_TABLES = {
    Channel.ACCOUNT: VALUATIONS,
    Channel.VALUATIONS: VALUATIONS,
    Channel.POSITIONS: VALUATIONS,
    Channel.MARKS: MARKS,
    Channel.TOTALS: SUBTOTALS,
    Channel.ALERTS: ALERTS,
    Channel.POSITION_STATES: POSITION_STATES,
    # Of marks, markets and instruments; the last of these to be read says when it is known.
    Channel.FUNDING: INSTRUMENTS,
}
# Rates follow from marks that come many times a second; nobody sees them move by that.
_FUNDING_EVERY_S = 1.0


class Directory:
    """Holds a subject as long as somebody is subscribed to it, and tells the hub when it changes.

    Args:
        epoch: Name of the rebuild that is served.
        deployments: Those that are served.
        feeds: The tables.
        totals: Sums of ``feeds.subtotals``.
        funding: The markets' funding.
        hub: Is told who has something new to say.
        interest: Is told which accounts are watched.
        is_unsupported: Whether the figures of a deployment are unknown.
    """

    def __init__(
        self,
        epoch: int,
        deployments: Collection[str],
        feeds: Feeds,
        *,
        totals: Totals,
        funding: FundingBoard,
        hub: Hub,
        interest: InterestSink,
        is_unsupported: Callable[[str], bool],
    ) -> None:
        self._epoch = epoch
        self._deployments = deployments
        self._feeds = feeds
        self._totals = totals
        self._funding = funding
        self._funding_is_due = False
        self._hub = hub
        self._interest = interest
        self._tells_unsupported = is_unsupported
        # Of each table, by key: what is made of the row (of sums, by deployment).
        self._subjects: dict[str, dict[str, dict[Channel, Subject]]] = {table: {} for table in _TABLES.values()}
        self._flags: dict[str, tuple[bool, bool, bytes] | None] = {}
        self._were_unsupported = {name: self._is_unsupported(name) for name in deployments}
        feeds.valuations.listen(self._accounts_changed)
        feeds.marks.listen(self._marks_changed)
        feeds.markets.listen(self._funding_changed)
        feeds.instruments.listen(self._funding_changed)
        feeds.alerts.listen(partial(self._changed, ALERTS))
        feeds.position_states.listen(partial(self._changed, POSITION_STATES))
        feeds.deployments.listen(self._deployments_changed)
        totals.listen(self._totals_changed)

    def counts(self) -> dict[Channel, int]:
        """Subscriptions of each channel."""
        counts = dict.fromkeys(Channel, 0)
        for subjects in self._subjects.values():
            for of_key in subjects.values():
                for channel, subject in of_key.items():
                    counts[channel] += len(subject.subscriptions)
        return counts

    @property
    def watched_accounts(self) -> Collection[str]:
        """Keys of the accounts that anybody is subscribed to."""
        return self._subjects[VALUATIONS].keys()

    async def wake_when_ready(self) -> None:
        """Tell everybody who waits for a table to be read, as soon as it is."""
        feeds = self._feeds.by_table()
        await asyncio.gather(*(self._wake(table, feeds[table].wait_ready) for table in self._subjects))

    async def _wake(self, table: str, ready: Callable[[], Awaitable[None]]) -> None:
        await ready()
        for key in list(self._subjects[table]):
            self._tell(table, key)

    def canonical_key(self, channel: Channel, key: str) -> str | None:
        """The key as subjects go by it, or None where the channel can have no such key."""
        match channel:
            case Channel.ACCOUNT | Channel.VALUATIONS | Channel.POSITIONS | Channel.ALERTS | Channel.POSITION_STATES:
                key = key.lower()
                is_key = _ACCOUNT_KEY.fullmatch(key) is not None and key.partition(":")[0] in self._deployments
            case Channel.FUNDING:
                is_key = _FUNDING_KEY.fullmatch(key) is not None and key.partition(":")[0] in self._deployments
            case Channel.MARKS:
                is_key = _MARK_KEY.fullmatch(key) is not None
            case Channel.TOTALS:
                is_key = key in self._deployments
            case _:
                assert_never(channel)
        return key if is_key else None

    def join(self, channel: Channel, key: str, subscription: Subscription) -> Subject:
        """Subscribe to a canonical key; to be paired with ``leave``."""
        subjects = self._subjects[_TABLES[channel]]
        of_key = subjects.get(key)
        if of_key is None:
            of_key = subjects[key] = {}
            if _TABLES[channel] == VALUATIONS:
                self._interest.watch(key.encode())
                self._note_flags(key)
        subject = of_key.get(channel)
        if subject is None:
            subject = of_key[channel] = self._make(channel, key)
        subject.subscriptions[subscription] = None
        return subject

    def hidden(self, channel: Channel, key: str) -> Subject:
        """What a client is shown that may not read a key: one of which nothing is there."""
        match channel:
            case Channel.ACCOUNT | Channel.VALUATIONS | Channel.POSITIONS:
                view = absent_account(key)
            case Channel.ALERTS | Channel.POSITION_STATES:
                view = {"account": key}
            case Channel.TOTALS:
                view = {"deployment": key}
            case Channel.MARKS:
                view = {"market": key}
            case Channel.FUNDING:
                view = {"funding": key}
            case _:
                assert_never(channel)
        return HiddenSubject(self._epoch, view)

    def leave(self, channel: Channel, key: str, subscription: Subscription) -> None:
        """Give a subscription up, where there is one."""
        subjects = self._subjects[_TABLES[channel]]
        of_key = subjects.get(key, {})
        subject = of_key.get(channel)
        if subject is None or subscription not in subject.subscriptions:
            return
        del subject.subscriptions[subscription]
        if not subject.subscriptions:
            del of_key[channel]
        if not of_key:
            del subjects[key]
            if _TABLES[channel] == VALUATIONS:
                del self._flags[key]
                self._interest.unwatch(key.encode())

    def _make(self, channel: Channel, key: str) -> Subject:
        match channel:
            case Channel.ACCOUNT:
                return self._account(key, account_view)
            case Channel.VALUATIONS:
                return self._account(key, figures_view)
            case Channel.POSITIONS:
                return self._account(key, positions_view)
            case Channel.MARKS:
                return RowSubject(self._epoch, self._feeds.marks, key.encode(), "market", mark_view)
            case Channel.ALERTS:
                return RowSubject(self._epoch, self._feeds.alerts, key.encode(), "account", alerts_view)
            case Channel.POSITION_STATES:
                feed = self._feeds.position_states
                return RowSubject(self._epoch, feed, key.encode(), "account", position_states_view)
            case Channel.TOTALS:
                return MadeSubject(self._epoch, "deployment", key, partial(self._sums, key))
            case Channel.FUNDING:
                return MadeSubject(self._epoch, "funding", key, partial(self._rates, key))
            case _:
                assert_never(channel)

    def _sums(self, deployment: str) -> View | None:
        return self._totals.of(deployment) if self._feeds.subtotals.is_ready else None

    def _rates(self, key: str) -> View | None:
        if not self._funding.is_warm:
            return None
        deployment, _, symbol = key.partition(":")
        view = self._funding.of(deployment).get(symbol)
        return {"funding": key} if view is None else next_funding_view(key, view)

    def _account(self, key: str, view: RowView) -> Subject:
        return AccountSubject(self._epoch, self._feeds.valuations, key.encode(), view, self._is_unsupported)

    def _accounts_changed(self, keys: Sequence[bytes]) -> None:
        watched = self._subjects[VALUATIONS]
        for row_key in keys if watched else ():
            key = row_key.decode()
            if key in watched:
                self._tell(VALUATIONS, key, urgent=self._note_flags(key))

    def _note_flags(self, key: str) -> bool:
        """Whether what must not wait differs from when it was last looked at."""
        row = self._feeds.valuations.rows.get(key.encode())
        flags = None if row is None else flags_of(row)
        before = self._flags.get(key)
        self._flags[key] = flags
        return flags != before

    def _is_unsupported(self, deployment: str) -> bool:
        try:
            return self._tells_unsupported(deployment)
        except BadRow:
            # Its figures may be those of before it became so.
            return True

    def _changed(self, table: str, keys: Sequence[bytes]) -> None:
        watched = self._subjects[table]
        for row_key in keys if watched else ():
            key = row_key.decode()
            if key in watched:
                self._tell(table, key)

    def _marks_changed(self, keys: Sequence[bytes]) -> None:
        self._changed(MARKS, keys)
        self._funding_changed(keys)

    def _funding_changed(self, _keys: Sequence[bytes]) -> None:
        if self._subjects[INSTRUMENTS] and not self._funding_is_due:
            self._funding_is_due = True
            asyncio.get_running_loop().call_later(_FUNDING_EVERY_S, self._tell_funding)

    def _tell_funding(self) -> None:
        self._funding_is_due = False
        for key in list(self._subjects[INSTRUMENTS]):
            self._tell(INSTRUMENTS, key)

    def _totals_changed(self, deployments: Collection[str]) -> None:
        for name in deployments:
            if name in self._subjects[SUBTOTALS]:
                self._tell(SUBTOTALS, name)

    def _deployments_changed(self, keys: Sequence[bytes]) -> None:
        for name in {key.decode() for key in keys} & self._were_unsupported.keys():
            now = self._is_unsupported(name)
            if now != self._were_unsupported[name]:
                self._were_unsupported[name] = now
                for key in list(self._subjects[VALUATIONS]):
                    if key.partition(":")[0] == name:
                        self._tell(VALUATIONS, key, urgent=True)

    def _tell(self, table: str, key: str, *, urgent: bool = False) -> None:
        for subject in self._subjects[table][key].values():
            self._hub.changed(subject.subscriptions, urgent=urgent)
