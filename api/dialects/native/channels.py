"""What each channel is: its keys, who may read them, what is shown of them, and what makes that change.

To add a channel, name it in ``protocol.Channel`` and describe it here; the directory and the sessions go by the
descriptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from api.access.tokens import Principal
from api.dialects.native.channel_keys import (
    canonical_account_key,
    canonical_deployment_key,
    canonical_mark_key,
    canonical_market_key,
)
from api.dialects.native.protocol import Channel
from api.dialects.native.subjects import AccountSubject, AlertsSubject, MadeSubject, RowSubject
from models.alert_views import alerts_view
from models.engine.tables import ALERTS, INSTRUMENTS, MARKETS, MARKS, POSITION_STATES, SUBTOTALS, VALUATIONS
from models.position_state_views import position_states_view
from models.views import KeptPositions, absent_account, mark_view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from api.dialects.native.subjects import RowView, Subject
    from api.tables.deployment_totals import Totals
    from api.tables.feeds import RowFeed
    from api.tables.freshness import Freshness
    from api.tables.market_funding import MarketFunding
    from models.views import AccountViews, View
    from streams.settings import DeploymentSettings


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the subjects of all channels are made from.

    Attributes:
        epoch: Number of the rebuild that is served.
        feeds: The tables by name.
        totals: Sums of the table ``subtotals``.
        funding: The markets' funding.
        is_unsupported: Whether the figures of a deployment are unknown.
        freshness: Tells what is stale.
        views: Makes views of accounts.
    """

    epoch: int
    feeds: Mapping[str, RowFeed]
    totals: Totals
    funding: MarketFunding
    is_unsupported: Callable[[str], bool]
    freshness: Freshness
    views: AccountViews


class Wakes(Enum):
    """Which subjects of a channel may have a new state when a row of its tables changes."""

    OF_ROW = auto()
    """The one that has the row's key."""

    OF_DEPLOYMENT = auto()
    """The one of the deployment that the row belongs to."""

    ALL = auto()
    """Every one."""


@dataclass(frozen=True, slots=True)
class ChannelDescription:
    """All that tells one channel from another.

    Attributes:
        name: What clients call it.
        tables: What it is made of. That a key has nothing to show is known once all of them have been read.
        wakes: Which of its subjects a changed row of ``tables`` concerns.
        canonical_key: Gives the spelling of a key that is served, from what a client wrote and the deployments that
            are served; None where the channel can have no such key.
        may_read: Whether a client may see what is under a key.
        is_refused_unread: Whether a key that the client may not read is answered as one that the channel cannot have;
            elsewhere it is answered as one that has nothing to show.
        absent: The view of a key that has nothing to show.
        make: Makes the subject of a key.
    """

    name: Channel
    tables: tuple[str, ...]
    wakes: Wakes
    canonical_key: Callable[[str, Mapping[str, DeploymentSettings]], str | None]
    may_read: Callable[[Principal, str], bool]
    absent: Callable[[str], View]
    make: Callable[[Inputs, str], Subject]
    is_refused_unread: bool = False


def _account_channel(name: Channel, view_of: Callable[[AccountViews], RowView]) -> ChannelDescription:
    """A channel that shows an account's row of ``valuations``; of each account that is shown it makes a view."""

    def make(inputs: Inputs, key: str) -> Subject:
        feed = inputs.feeds[VALUATIONS]
        return AccountSubject(
            inputs.epoch,
            feed,
            key,
            absent_account,
            view_of(inputs.views),
            is_unsupported=inputs.is_unsupported,
            freshness=inputs.freshness,
        )

    return ChannelDescription(
        name=name,
        tables=(VALUATIONS,),
        wakes=Wakes.OF_ROW,
        canonical_key=canonical_account_key,
        may_read=Principal.may_read,
        absent=absent_account,
        make=make,
    )


def _row_of_account_channel(name: Channel, table: str, make: Callable[[Inputs, str], Subject]) -> ChannelDescription:
    """A channel that shows an account's row in a table in which not every account has one."""
    return ChannelDescription(
        name=name,
        tables=(table,),
        wakes=Wakes.OF_ROW,
        canonical_key=canonical_account_key,
        may_read=Principal.may_read,
        absent=_just_account,
        make=make,
    )


def _alerts(inputs: Inputs, key: str) -> Subject:
    feed = inputs.feeds[ALERTS]
    return AlertsSubject(inputs.epoch, feed, key, _just_account, alerts_view, freshness=inputs.freshness)


def _position_states(inputs: Inputs, key: str) -> Subject:
    return RowSubject(inputs.epoch, inputs.feeds[POSITION_STATES], key, _just_account, position_states_view)


def _just_account(key: str) -> View:
    return {"account": key}


def _just_market(key: str) -> View:
    return {"market": key}


def _just_deployment(key: str) -> View:
    return {"deployment": key}


def _just_funding(key: str) -> View:
    return {"funding": key}


def _anybody_may_read(_principal: Principal, _key: str) -> bool:
    return True


def _sums(inputs: Inputs, deployment: str) -> Subject:
    feed, totals = inputs.feeds[SUBTOTALS], inputs.totals
    return MadeSubject(
        inputs.epoch,
        deployment,
        _just_deployment,
        lambda: inputs.freshness.sums(totals.of(deployment)) if feed.is_ready else None,
    )


def _rates(inputs: Inputs, key: str) -> Subject:
    deployment, _, symbol = key.partition(":")
    board = inputs.funding

    def make() -> View | None:
        if not board.is_warm:
            return None
        return board.next_of(deployment).get(symbol) or _just_funding(key)

    return MadeSubject(inputs.epoch, key, _just_funding, make)


_DESCRIPTIONS = (
    _account_channel(Channel.ACCOUNT, lambda views: partial(views.account, kept=KeptPositions())),
    _account_channel(Channel.VALUATIONS, lambda views: views.figures),
    _account_channel(Channel.POSITIONS, lambda views: partial(views.positions, kept=KeptPositions())),
    ChannelDescription(
        name=Channel.MARKS,
        tables=(MARKS,),
        wakes=Wakes.OF_ROW,
        canonical_key=canonical_mark_key,
        may_read=_anybody_may_read,
        absent=_just_market,
        make=lambda inputs, key: RowSubject(inputs.epoch, inputs.feeds[MARKS], key, _just_market, mark_view),
    ),
    ChannelDescription(
        name=Channel.TOTALS,
        tables=(SUBTOTALS,),
        wakes=Wakes.OF_DEPLOYMENT,
        canonical_key=canonical_deployment_key,
        may_read=Principal.may_read_all_of,
        # Otherwise the answer would tell apart a deployment that is hidden from one that does not exist.
        is_refused_unread=True,
        absent=_just_deployment,
        make=_sums,
    ),
    _row_of_account_channel(Channel.ALERTS, ALERTS, _alerts),
    _row_of_account_channel(Channel.POSITION_STATES, POSITION_STATES, _position_states),
    ChannelDescription(
        name=Channel.FUNDING,
        tables=(MARKS, MARKETS, INSTRUMENTS),
        wakes=Wakes.ALL,
        canonical_key=canonical_market_key,
        may_read=_anybody_may_read,
        absent=_just_funding,
        make=_rates,
    ),
)

CHANNELS = {description.name: description for description in _DESCRIPTIONS}
"""Every channel of the protocol."""
