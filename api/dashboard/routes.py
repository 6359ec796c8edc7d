"""The page's files and the JSON it polls. Internal: paths and shapes change with the page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import orjson
from aiohttp import web

from api.deployments import deployment_progress
from api.feeds import behind_ms
from api.keys import BOARD, CLOCK_MS, FEEDS, SETTINGS

_STATIC = Path(__file__).parent / "static"
_DEFAULT_ACCOUNTS = 200
_MOST_ACCOUNTS = 1_000


def routes() -> list[web.AbstractRouteDef]:
    """The page, its files, and what it polls."""
    return [
        web.get("/", _page),
        web.static("/dashboard", _STATIC),
        web.get("/status", _status),
        web.get("/accounts", _accounts),
    ]


async def _page(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(_STATIC / "index.html")


async def _status(request: web.Request) -> web.Response:
    feeds, now_ms = request.app[FEEDS], request.app[CLOCK_MS]()
    oldest_ms = await request.app[BOARD].oldest_mark_received_ms()
    settings = request.app[SETTINGS]
    all_progress = {name: deployment_progress(feeds, name, settings.topics.partitions) for name in settings.deployments}
    return _json(
        {
            "now_ms": now_ms,
            "is_ready": all(feed.is_ready for feed in feeds.by_table().values()),
            "deployments": {
                name: None if progress is None else asdict(progress) for name, progress in all_progress.items()
            },
            "accounts": len(feeds.valuations.rows),
            "oldest_mark_age_ms": None if oldest_ms is None else max(0, now_ms - oldest_ms),
            "feeds": {
                table: {
                    "is_ready": feed.is_ready,
                    "rows": len(feed.rows),
                    "lag_records": feed.lag_records,
                    "behind_ms": behind_ms(feed, now_ms),
                }
                for table, feed in feeds.by_table().items()
            },
        }
    )


async def _accounts(request: web.Request) -> web.Response:
    text = request.query.get("limit", str(_DEFAULT_ACCOUNTS))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= _MOST_ACCOUNTS):
        raise web.HTTPBadRequest(reason=f"limit: expected 1 to {_MOST_ACCOUNTS}, found {text[:20]!r}")
    accounts = await request.app[BOARD].largest(int(text))
    return _json({"total": len(request.app[FEEDS].valuations.rows), "accounts": accounts})


def _json(body: object) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")
