"""Typed keys of what the handlers find in the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.access.addresses import ClientAddresses
from api.access.gate import Gate
from api.delivery.connections import Connections
from api.delivery.hub import Hub
from api.delivery.inputs_writer import InputsWriter
from api.http.metrics import ApiMetrics
from api.tables.charged_funding import ChargedOfDialects
from api.tables.deployment_totals import Totals
from api.tables.explanations import Explaining
from api.tables.feeds import Feeds
from api.tables.freshness import Freshness
from api.tables.market_prices import MarketPrices
from api.tables.price_sources import Sources
from api.tables.ranking import Accounts
from api.tables.standing import Standings
from models.views import AccountViews
from streams.process.cadence import Cadence
from streams.process.overload import Overload
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.dialects.mounted_dialects import MountedDialects
    from api.tables.history import HistorySource
    from api.tables.market_funding import MarketFunding
    from streams.kafka.single_records import RecordSink
    from streams.process.clock import Clock

SETTINGS = web.AppKey("settings", Settings)
FEEDS = web.AppKey("feeds", Feeds)
FRESHNESS = web.AppKey("freshness", Freshness)
METRICS = web.AppKey("metrics", ApiMetrics)
HUB = web.AppKey("hub", Hub)
CADENCE = web.AppKey("cadence", Cadence)
OVERLOAD = web.AppKey("overload", Overload)
CONNECTIONS = web.AppKey("connections", Connections)
ACCOUNTS = web.AppKey("accounts", Accounts)
REPLICA = web.AppKey("replica", str)
REPLAY_OF: web.AppKey[Callable[[], str] | None] = web.AppKey("replay_of")
"""Says of which instant everything is a replay; None where nothing is replayed."""
SOURCES = web.AppKey("sources", Sources)
TOTALS = web.AppKey("totals", Totals)
RECORDS: web.AppKey[RecordSink] = web.AppKey("records")
STANDINGS = web.AppKey("standings", Standings)
DIALECTS: web.AppKey[MountedDialects] = web.AppKey("dialects")
CLOCK: web.AppKey[Clock] = web.AppKey("clock")
PRICES = web.AppKey("prices", MarketPrices)
GATE = web.AppKey("gate", Gate)
FUNDING: web.AppKey[MarketFunding] = web.AppKey("funding")
CHARGED = web.AppKey("charged", ChargedOfDialects)
KEPT = web.AppKey("kept", InputsWriter)
ADDRESSES = web.AppKey("addresses", ClientAddresses)
EXPLANATIONS = web.AppKey("explanations", Explaining)
HISTORY: web.AppKey[HistorySource | None] = web.AppKey("history")
VIEWS = web.AppKey("views", AccountViews)
