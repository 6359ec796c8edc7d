"""What the application's handlers find in it, by typed key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.dashboard.board import Board
from api.dialects.symmio.answers import Answers
from api.feeds import Feeds
from api.metrics import ApiMetrics
from api.sockets import Sockets
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = web.AppKey("settings", Settings)
FEEDS = web.AppKey("feeds", Feeds)
ANSWERS = web.AppKey("answers", Answers)
BOARD = web.AppKey("board", Board)
METRICS = web.AppKey("metrics", ApiMetrics)
SOCKETS = web.AppKey("sockets", Sockets)
UPNL_INTERVAL_S = web.AppKey("upnl_interval_s", float)
CLOCK_MS: web.AppKey[Callable[[], int]] = web.AppKey("clock_ms")
