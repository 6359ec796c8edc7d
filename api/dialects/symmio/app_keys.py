"""Typed keys of what the legacy handlers find in the application."""

from __future__ import annotations

from aiohttp import web

from api.dialects.symmio.account_answers import Answers
from api.dialects.symmio.funding_board import FundingBoard
from api.dialects.symmio.holdings import Holdings
from api.dialects.symmio.listing import Listings
from api.dialects.symmio.position_state_search import PositionStateSearch
from api.dialects.symmio.whitelist import Whitelist

LISTINGS = web.AppKey("symmio_listings", Listings)
WHITELIST = web.AppKey("symmio_whitelist", Whitelist)
POSITION_STATES = web.AppKey("symmio_position_states", PositionStateSearch)
ANSWERS = web.AppKey("symmio_answers", Answers)
FUNDING_BOARD = web.AppKey("symmio_funding_board", FundingBoard)
HOLDINGS = web.AppKey("symmio_holdings", Holdings)
