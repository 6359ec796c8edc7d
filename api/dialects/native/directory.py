"""The subjects that somebody is subscribed to, found by channel and key, and by the rows they are made of."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, assert_never

from api.dialects.native.channels import CHANNELS, Inputs, Wakes
from api.dialects.native.protocol import Channel
from api.dialects.native.subjects import HiddenSubject, Subject, flags_of
from models.engine.tables import VALUATIONS
from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from api.delivery.hub import Hub
    from api.delivery.interest_writer import InterestSink
    from api.delivery.subscription import Subscription
    from api.tables.deployment_totals import Totals
    from api.tables.feeds import Feeds
    from api.tables.freshness import Freshness
    from api.tables.market_funding import MarketFunding
    from models.views import AccountViews
    from streams.settings import DeploymentSettings

_Tables = tuple[str, ...]

_OF_ACCOUNTS: _Tables = (VALUATIONS,)
# Beside those of accounts, they say why what they show may be old.
_SAYING_CAUSES = (Channel.TOTALS, Channel.ALERTS)
# Marks move many times a second; rates that follow them are read by people, for whom once a second is enough.
_WAKE_ALL_EVERY_S = 1.0


class Directory:
    """Holds a subject as long as somebody is subscribed to it, and tells the hub when it changes.

    Args:
        epoch: Number of the rebuild that is served.
        deployments: Those that are served.
        feeds: The tables.
        totals: Sums of ``feeds.subtotals``.
        funding: The markets' funding.
        hub: Hears which subscriptions have something new to send.
        interest: Hears which accounts are watched.
        is_unsupported: Whether the figures of a deployment are unknown.
        freshness: Tells what is stale.
        views: Makes views of accounts.
    """

    def __init__(
        self,
        epoch: int,
        deployments: Mapping[str, DeploymentSettings],
        feeds: Feeds,
        *,
        totals: Totals,
        funding: MarketFunding,
        hub: Hub,
        interest: InterestSink,
        is_unsupported: Callable[[str], bool],
        freshness: Freshness,
        views: AccountViews,
    ) -> None:
        self._epoch = epoch
        self._deployments = deployments
        self._feeds = feeds.by_table()
        self._hub = hub
        self._interest = interest
        self._reads_unsupported = is_unsupported
        self._inputs = Inputs(epoch, self._feeds, totals, funding, self._is_unsupported, freshness, views)
        # Channels made of the same tables have the same keys: a changed row is looked up once for all of them.
        self._subjects: dict[_Tables, dict[str, dict[Channel, Subject]]] = {
            channel.tables: {} for channel in CHANNELS.values()
        }
        self._flags: dict[str, tuple[bool, bool, bytes] | None] = {}
        self._waking_all: set[_Tables] = set()
        self._were_unsupported = {name: self._is_unsupported(name) for name in deployments}
        self._listen(totals)
        feeds.deployments.listen(self._deployments_changed)

    def _listen(self, totals: Totals) -> None:
        for tables, wakes in {channel.tables: channel.wakes for channel in CHANNELS.values()}.items():
            match wakes:
                case Wakes.OF_ROW:
                    on_rows = self._accounts_changed if tables == _OF_ACCOUNTS else partial(self._rows_changed, tables)
                case Wakes.ALL:
                    on_rows = partial(self._wake_all_soon, tables)
                case Wakes.OF_DEPLOYMENT:
                    totals.listen(partial(self._sums_changed, tables))
                    continue
                case _:
                    assert_never(wakes)
            for table in tables:
                self._feeds[table].listen(on_rows)

    def counts(self) -> dict[Channel, int]:
        """Subscriptions of each channel."""
        counts = dict.fromkeys(Channel, 0)
        for of_key in chain.from_iterable(subjects.values() for subjects in self._subjects.values()):
            for channel, subject in of_key.items():
                counts[channel] += len(subject.subscriptions)
        return counts

    @property
    def watched_accounts(self) -> Collection[str]:
        """Keys of the accounts whose figures somebody is subscribed to."""
        return self._subjects[_OF_ACCOUNTS].keys()

    def wake_all_of_accounts(self) -> None:
        """Look at all accounts, sums and alarms again: what they are made of may be older than it was."""
        for tables in (_OF_ACCOUNTS, *(CHANNELS[one].tables for one in _SAYING_CAUSES)):
            self._wake_all(tables)

    async def wake_when_ready(self) -> None:
        """Wake all subjects that wait for tables to be read, as soon as those are."""
        await asyncio.gather(*map(self._wake_when_ready, self._subjects))

    async def _wake_when_ready(self, tables: _Tables) -> None:
        await asyncio.gather(*(self._feeds[table].wait_ready() for table in tables))
        self._wake_all(tables)

    def canonical_key(self, channel: Channel, key: str) -> str | None:
        """The spelling of a key that is served, or None where the channel can have no such key."""
        return CHANNELS[channel].canonical_key(key, self._deployments)

    def join(self, channel: Channel, key: str, subscription: Subscription) -> Subject:
        """Add a subscription to the subject of a key, and make the subject where there is none.

        Args:
            channel: What is subscribed to.
            key: A canonical key of the channel.
            subscription: Is woken when the subject changes, until it leaves.
        """
        description = CHANNELS[channel]
        subjects = self._subjects[description.tables]
        of_key = subjects.get(key)
        if of_key is None:
            of_key = subjects[key] = {}
            if description.tables == _OF_ACCOUNTS:
                self._interest.watch(key.encode())
                self._note_flags(key)
        subject = of_key.get(channel)
        if subject is None:
            subject = of_key[channel] = description.make(self._inputs, key)
        subject.subscriptions[subscription] = None
        return subject

    def hidden(self, channel: Channel, key: str) -> Subject:
        """The subject for a client that may not read a key: it looks like one that has nothing to show."""
        return HiddenSubject(self._epoch, CHANNELS[channel].absent(key))

    def leave(self, channel: Channel, key: str, subscription: Subscription) -> None:
        """Take a subscription away, where it had joined, and forget a subject that has none left.

        Args:
            channel: What was subscribed to.
            key: A canonical key of the channel.
            subscription: The one that joined; one that was given a hidden subject never did.
        """
        tables = CHANNELS[channel].tables
        subjects = self._subjects[tables]
        of_key = subjects.get(key, {})
        subject = of_key.get(channel)
        if subject is None or subscription not in subject.subscriptions:
            return
        del subject.subscriptions[subscription]
        if not subject.subscriptions:
            del of_key[channel]
        if not of_key:
            del subjects[key]
            if tables == _OF_ACCOUNTS:
                del self._flags[key]
                self._interest.unwatch(key.encode())

    def _accounts_changed(self, keys: Sequence[bytes]) -> None:
        watched = self._subjects[_OF_ACCOUNTS]
        for row_key in keys if watched else ():
            key = row_key.decode()
            if key in watched:
                self._wake(_OF_ACCOUNTS, key, urgent=self._note_flags(key))

    def _note_flags(self, key: str) -> bool:
        """Read an account's flags again; whether they differ from those that were read before."""
        row = self._feeds[VALUATIONS].rows.get(key.encode())
        flags = None if row is None else flags_of(row)
        before = self._flags.get(key)
        self._flags[key] = flags
        return flags != before

    def _is_unsupported(self, deployment: str) -> bool:
        try:
            return self._reads_unsupported(deployment)
        except BadRow:
            # The accounts' figures may be those of before the deployment became unsupported.
            return True

    def _rows_changed(self, tables: _Tables, keys: Sequence[bytes]) -> None:
        watched = self._subjects[tables]
        for row_key in keys if watched else ():
            key = row_key.decode()
            if key in watched:
                self._wake(tables, key)

    def _wake_all_soon(self, tables: _Tables, _keys: Sequence[bytes]) -> None:
        if self._subjects[tables] and tables not in self._waking_all:
            self._waking_all.add(tables)
            asyncio.get_running_loop().call_later(_WAKE_ALL_EVERY_S, self._wake_all_due, tables)

    def _wake_all_due(self, tables: _Tables) -> None:
        self._waking_all.discard(tables)
        self._wake_all(tables)

    def _wake_all(self, tables: _Tables) -> None:
        for key in list(self._subjects[tables]):
            self._wake(tables, key)

    def _sums_changed(self, tables: _Tables, deployments: Collection[str]) -> None:
        for name in deployments:
            if name in self._subjects[tables]:
                self._wake(tables, name)

    def _deployments_changed(self, keys: Sequence[bytes]) -> None:
        for name in {key.decode() for key in keys} & self._were_unsupported.keys():
            now = self._is_unsupported(name)
            if now != self._were_unsupported[name]:
                self._were_unsupported[name] = now
                self._wake_accounts_of(name)

    def _wake_accounts_of(self, deployment: str) -> None:
        for key in list(self._subjects[_OF_ACCOUNTS]):
            if key.partition(":")[0] == deployment:
                self._wake(_OF_ACCOUNTS, key, urgent=True)

    def _wake(self, tables: _Tables, key: str, *, urgent: bool = False) -> None:
        for subject in self._subjects[tables][key].values():
            self._hub.changed(subject.subscriptions, urgent=urgent)
