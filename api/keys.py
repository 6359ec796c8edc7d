"""What the application's handlers find in it, by typed key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.accounts import Accounts
from api.delivery.connections import Connections
from api.delivery.hub import Hub
from api.dialects.symmio.answers import Answers
from api.feeds import Feeds
from api.metrics import ApiMetrics
from api.sources import Sources
from api.standing import Standings
from api.totals import Totals
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.clock import Clock
    from streams.records import RecordSink

SETTINGS = web.AppKey("settings", Settings)
FEEDS = web.AppKey("feeds", Feeds)
ANSWERS = web.AppKey("answers", Answers)
METRICS = web.AppKey("metrics", ApiMetrics)
HUB = web.AppKey("hub", Hub)
CONNECTIONS = web.AppKey("connections", Connections)
ACCOUNTS = web.AppKey("accounts", Accounts)
REPLICA = web.AppKey("replica", str)
SOURCES = web.AppKey("sources", Sources)
TOTALS = web.AppKey("totals", Totals)
RECORDS: web.AppKey[RecordSink] = web.AppKey("records")
STANDINGS = web.AppKey("standings", Standings)
IS_WHITELIST_READ: web.AppKey[Callable[[], bool]] = web.AppKey("is_whitelist_read")
CLOCK: web.AppKey[Clock] = web.AppKey("clock")
