"""What the legacy handlers find in the application, by typed key."""

from __future__ import annotations

from aiohttp import web

from api.dialects.symmio.holdings import Holdings
from api.dialects.symmio.position_state_search import PositionStateSearch
from api.dialects.symmio.whitelist import Whitelist
from api.tables.funding_board import FundingBoard
from api.tables.listing import Listings

LISTINGS = web.AppKey("symmio_listings", Listings)
WHITELIST = web.AppKey("symmio_whitelist", Whitelist)
POSITION_STATES = web.AppKey("symmio_position_states", PositionStateSearch)
FUNDING = web.AppKey("symmio_funding", FundingBoard)
HOLDINGS = web.AppKey("symmio_holdings", Holdings)
