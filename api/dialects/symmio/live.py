"""What the legacy endpoints are made of: what they look things up in, and the sockets they push through."""

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
from api.http.keys import ANSWERS, CLOCK, CONNECTIONS, FEEDS, HUB, METRICS, SETTINGS
from api.tables.funding_board import FundingBoard
from api.tables.listing import Listings

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from api.access.addresses import ClientAddresses


class Live:
    """Puts into the application what the endpoints look up, and holds those that have a state of their own.

    Args:
        app: Has settings, feeds, clock, hub, connections, metrics and answers.
        addresses: Tell where a request comes from.
        whitelisted: Keys of the accounts that were put onto a whitelist, as they are now.
        upnl_interval_s: From one frame of ``upnl-ws`` to the next.

    Raises:
        BadSettings: A whitelist's file cannot be read.
    """

    def __init__(
        self, app: web.Application, addresses: ClientAddresses, whitelisted: Collection[bytes], upnl_interval_s: float
    ) -> None:
        settings, feeds, metrics = app[SETTINGS], app[FEEDS], app[METRICS]
        connections, hub = app[CONNECTIONS], app[HUB]
        listings = app[LISTINGS] = Listings(settings, feeds, app[CLOCK].now_ms)
        app[HOLDINGS] = Holdings(settings.deployments, feeds, metrics.registry)
        whitelist = app[WHITELIST] = Whitelist(settings.deployments, feeds, whitelisted)
        symbols = QuoteSymbols(feeds.valuations.rows)
        app[POSITION_STATES] = PositionStateSearch(feeds.position_states, whitelist.allows, symbols.of)
        self.board = app[FUNDING] = FundingBoard(settings, listings, app[CLOCK].now_ms)
        owners = Owners(settings.deployments)
        app.cleanup_ctx.append(owners.opened)
        self.whitelisting = Whitelisting(addresses, owners)
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
