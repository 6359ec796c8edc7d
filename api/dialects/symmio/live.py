"""The state that the legacy endpoints share: what they look things up in, and the sockets they push through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from api.dialects.symmio.account_answers import Answers
from api.dialects.symmio.app_keys import ANSWERS, FUNDING_BOARD, HOLDINGS, LISTINGS, POSITION_STATES, WHITELIST
from api.dialects.symmio.funding_board import FundingBoard
from api.dialects.symmio.funding_rate_ws import FundingRateEndpoint
from api.dialects.symmio.holdings import Holdings
from api.dialects.symmio.listing import Listings
from api.dialects.symmio.owners import Owners
from api.dialects.symmio.position_state_search import PositionStateSearch
from api.dialects.symmio.position_state_ws import PositionStateEndpoint
from api.dialects.symmio.quote_symbols import QuoteSymbols
from api.dialects.symmio.socket_names import UPNL_WS
from api.dialects.symmio.upnl_ws import UpnlEndpoint
from api.dialects.symmio.whitelist import Whitelist
from api.dialects.symmio.whitelisting import Whitelisting
from api.http.keys import FEEDS, FRESHNESS, HUB, KEPT, METRICS, PRICES, STANDINGS
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from api.dialects.mounting import Site
    from api.dialects.symmio.funding_reader import FundingRecords
    from api.dialects.symmio.owner_answers import OwnerAnswers


class Heard(NamedTuple):
    """What other processes say on topics of this dialect; it follows what they say later.

    Attributes:
        whitelisted: Keys of the accounts that were put onto a whitelist.
        is_whitelist_read: Whether these are all that were put there before the start.
        owners: What ingest has answered about owners of sub-accounts.
        charged: What is on record of funding.
    """

    whitelisted: Collection[bytes]
    is_whitelist_read: Callable[[], bool]
    owners: OwnerAnswers
    charged: FundingRecords


class Live:
    """Puts into the application what the endpoints look up, and holds the endpoints that have a state of their own.

    Args:
        site: Where the dialect stands.
        heard: What is heard on topics.
        upnl_interval_s: Time between two frames of ``upnl-ws``, in s.

    Raises:
        BadSettings: A whitelist's file cannot be read.
    """

    def __init__(self, site: Site, heard: Heard, upnl_interval_s: float) -> None:
        app, settings, now_ms = site.app, site.settings, site.clock.now_ms
        feeds, metrics, hub = app[FEEDS], app[METRICS], app[HUB]
        # What has not occurred yet is reported as 0 and not left out.
        metrics.connections.labels(UPNL_WS)
        metrics.first_frame_seconds.labels(UPNL_WS)
        metrics.frames.labels(UPNL_WS, "figures")
        self.answers = app[ANSWERS] = Answers(app[STANDINGS], app[FRESHNESS], site.interest, now_ms)
        listings = app[LISTINGS] = Listings(settings, feeds, app[PRICES], now_ms)
        app[HOLDINGS] = Holdings(symmio_deployments(settings), feeds, metrics.registry)
        whitelist = app[WHITELIST] = Whitelist(
            symmio_deployments(settings), feeds, heard.whitelisted, heard.is_whitelist_read
        )
        symbols = QuoteSymbols(feeds.valuations.rows)
        app[POSITION_STATES] = PositionStateSearch(feeds.position_states, whitelist.allows, symbols.of)
        self.funding = app[FUNDING_BOARD] = FundingBoard(settings, listings, now_ms, app[KEPT].keep)
        self.whitelisting = Whitelisting(site.addresses, Owners(site.records, heard.owners))
        self.upnl = UpnlEndpoint(
            site.connections,
            hub,
            answers=self.answers,
            whitelist=whitelist,
            metrics=metrics,
            interval_s=upnl_interval_s,
        )
        self.states = PositionStateEndpoint(site.connections, hub, feeds.position_states, whitelist, metrics)
        self.rates = FundingRateEndpoint(site.connections, hub, feeds, self.funding, metrics)

    async def wake_when_warm(self) -> None:
        """Answer those who asked before the tables were read, as soon as they are."""
        await asyncio.gather(self.upnl.wake_when_warm(), self.rates.wake_when_warm())
