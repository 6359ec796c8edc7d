"""The state that the legacy endpoints share: what they look things up in, and the sockets they push through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.dialects.symmio.app_keys import FUNDING, HOLDINGS, LISTINGS, POSITION_STATES, WHITELIST
from api.dialects.symmio.funding_rate_ws import FundingRateEndpoint
from api.dialects.symmio.holdings import Holdings
from api.dialects.symmio.owners import Owners
from api.dialects.symmio.position_state_search import PositionStateSearch
from api.dialects.symmio.position_state_ws import PositionStateEndpoint
from api.dialects.symmio.quote_symbols import QuoteSymbols
from api.dialects.symmio.upnl_ws import UpnlEndpoint
from api.dialects.symmio.whitelist import Whitelist
from api.dialects.symmio.whitelisting import Whitelisting
from api.http.keys import (
    ANSWERS,
    CLOCK,
    CONNECTIONS,
    FEEDS,
    HUB,
    IS_WHITELIST_READ,
    METRICS,
    PRICES,
    RECORDS,
    SETTINGS,
)
from api.tables.funding_board import FundingBoard
from api.tables.listing import Listings
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from api.access.addresses import ClientAddresses
    from streams.replicas.owner_answers import OwnerAnswers


class Live:
    """Puts into the application what the endpoints look up, and holds the endpoints that have a state of their own.

    Args:
        app: Has settings, feeds, clock, hub, connections, metrics, answers and records.
        addresses: Tell where a request comes from.
        whitelisted: Keys of the accounts that were put onto a whitelist; the collection follows later changes.
        owners: What ingest has answered about owners of sub-accounts; later answers are added.
        upnl_interval_s: Time between two frames of ``upnl-ws``, in s.

    Raises:
        BadSettings: A whitelist's file cannot be read.
    """

    def __init__(
        self,
        app: web.Application,
        addresses: ClientAddresses,
        whitelisted: Collection[bytes],
        owners: OwnerAnswers,
        upnl_interval_s: float,
    ) -> None:
        settings, feeds, metrics = app[SETTINGS], app[FEEDS], app[METRICS]
        connections, hub = app[CONNECTIONS], app[HUB]
        listings = app[LISTINGS] = Listings(settings, feeds, app[PRICES], app[CLOCK].now_ms)
        app[HOLDINGS] = Holdings(symmio_deployments(settings), feeds, metrics.registry)
        whitelist = app[WHITELIST] = Whitelist(symmio_deployments(settings), feeds, whitelisted, app[IS_WHITELIST_READ])
        symbols = QuoteSymbols(feeds.valuations.rows)
        app[POSITION_STATES] = PositionStateSearch(feeds.position_states, whitelist.allows, symbols.of)
        self.board = app[FUNDING] = FundingBoard(settings, listings, app[CLOCK].now_ms)
        self.whitelisting = Whitelisting(addresses, Owners(app[RECORDS], owners))
        self.upnl = UpnlEndpoint(
            connections,
            hub,
            answers=app[ANSWERS],
            whitelist=whitelist,
            metrics=metrics,
            interval_s=upnl_interval_s,
        )
        self.states = PositionStateEndpoint(connections, hub, feeds.position_states, whitelist, metrics)
        self.rates = FundingRateEndpoint(connections, hub, feeds, self.board, metrics)

    async def wake_when_warm(self) -> None:
        """Answer those who asked before the tables were read, as soon as they are."""
        await asyncio.gather(self.upnl.wake_when_warm(), self.rates.wake_when_warm())
