from __future__ import annotations

import orjson
import pytest

from api.access.tokens import ANYONE, Principal
from api.dialects.native.channels import CHANNELS, Inputs
from api.dialects.native.protocol import Channel
from api.tables.deployment_totals import Totals
from api.tables.freshness import Freshness
from api.tables.funding_board import FundingBoard
from api.tables.listing import Listings
from api.tables.market_prices import MarketPrices
from streams.replicas.heartbeat_reader import Heartbeats
from tests.support.api import api_settings
from tests.support.feed import FakeTables
from tests.support.served import served
from tests.support.views import VIEWS

ADDRESS = "0x00000000000000000000000000000000000000aB"
OTHER = "0x00000000000000000000000000000000000000cd"
WRITTEN = {
    Channel.ACCOUNT: f"MAIN:{ADDRESS}",
    Channel.VALUATIONS: f"main:{ADDRESS}",
    Channel.POSITIONS: f"main:{ADDRESS}",
    Channel.MARKS: "binance-futures:BTCUSDT",
    Channel.TOTALS: "main",
    Channel.ALERTS: f"main:{ADDRESS}",
    Channel.POSITION_STATES: f"main:{ADDRESS}",
    Channel.FUNDING: "main:BTCUSDT",
}
OF_ACCOUNTS = {Channel.ACCOUNT, Channel.VALUATIONS, Channel.POSITIONS, Channel.ALERTS, Channel.POSITION_STATES}
PUBLIC = {Channel.MARKS, Channel.FUNDING}


def canonical(channel: Channel) -> str:
    key = CHANNELS[channel].canonical_key(WRITTEN[channel], served("main"))
    assert key is not None
    return key


def test_each_channel_of_the_protocol_has_one_description_under_its_name() -> None:
    assert list(CHANNELS) == list(Channel)
    assert all(channel is description.name for channel, description in CHANNELS.items())


def test_channels_made_of_the_same_tables_are_woken_alike() -> None:
    by_tables: dict[tuple[str, ...], set[object]] = {}
    for description in CHANNELS.values():
        by_tables.setdefault(description.tables, set()).add((description.wakes, description.canonical_key))

    assert all(len(ways) == 1 for ways in by_tables.values())


@pytest.mark.parametrize("channel", Channel)
def test_a_canonical_key_is_its_own_canonical_key(channel: Channel) -> None:
    key = canonical(channel)

    assert CHANNELS[channel].canonical_key(key, served("main")) == key
    assert CHANNELS[channel].canonical_key("", served("main")) is None


@pytest.mark.parametrize("channel", Channel)
def test_only_marks_have_keys_outside_the_deployments_that_are_served(channel: Channel) -> None:
    key = CHANNELS[channel].canonical_key(WRITTEN[channel], served("other"))

    assert (key is not None) == (channel is Channel.MARKS)


@pytest.mark.parametrize("channel", Channel)
def test_who_may_read_one_account_sees_that_account_and_the_prices_of_all(channel: Channel) -> None:
    reads_it, reads_another = (
        Principal("one", frozenset({f"main:{address.lower()}"}), None) for address in (ADDRESS, OTHER)
    )

    key, may_read = canonical(channel), CHANNELS[channel].may_read
    assert may_read(ANYONE, key)
    assert may_read(reads_it, key) == (channel in OF_ACCOUNTS | PUBLIC)
    assert may_read(reads_another, key) == (channel in PUBLIC)


async def test_a_subject_with_nothing_to_show_looks_like_one_that_is_hidden() -> None:
    tables, settings = FakeTables("main"), api_settings("main")
    prices = MarketPrices(settings, tables.feeds)
    board = FundingBoard(settings, Listings(settings, tables.feeds, prices, lambda: 0), lambda: 0)
    freshness = Freshness(settings, tables.feeds, prices, Heartbeats(), lambda: 0)
    inputs = Inputs(1, tables.feeds.by_table(), Totals(tables.feeds), board, lambda _: False, freshness, VIEWS)

    for channel, description in CHANNELS.items():
        state = description.make(inputs, canonical(channel)).current()
        hidden = description.absent(canonical(channel))

        assert state is not None
        assert hidden == orjson.loads(state.data)
