"""Whether this replica is alive, and whether it should get traffic."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from api.http.keys import CONNECTIONS, DIALECTS, FEEDS, FRESHNESS, SETTINGS
from api.tables.deployment_heads import known_progress
from api.tables.feeds import behind_ms

if TYPE_CHECKING:
    from api.tables.feeds import Feeds
    from api.tables.freshness import Seen
    from streams.settings import Settings


def not_ready_reasons(feeds: Feeds, seen: Seen, max_lag_ms: int, *, draining: bool) -> list[str]:
    """Say why this replica should get no traffic.

    Args:
        feeds: The tables.
        seen: How old everything is now.
        max_lag_ms: How late a table's rows may be, in ms.
        draining: Whether the server is going away.

    Returns:
        One sentence for each reason; none where the replica should get traffic.
    """
    reasons = ["the server is going away"] if draining else []
    for table, feed in feeds.by_table().items():
        if not feed.is_ready:
            reasons.append(f"feed of {table} has not been read to its end yet")
        elif (late_ms := behind_ms(feed, seen.at_ms)) > max_lag_ms:
            reasons.append(f"feed of {table} is {late_ms} ms behind, expected at most {max_lag_ms} ms")
    return [*reasons, *(part.reason for part in seen.stale)]


def unsupported_deployments(settings: Settings, feeds: Feeds) -> dict[str, dict[str, Any]]:
    """Return the deployments whose figures are unknown, each with the block since which, and why."""
    all_progress = {name: known_progress(feeds, name, settings.topics.partitions) for name in settings.deployments}
    return {
        name: {"since_block": progress.unsupported_since, "reason": progress.unsupported_reason}
        for name, progress in all_progress.items()
        if progress is not None and progress.unsupported_since is not None
    }


async def healthz(_request: web.Request) -> web.Response:
    """Answer 200; a replica whose loop is stuck does not."""
    return web.json_response({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """Answer 200 when this replica should get traffic, else 503; the body says why."""
    settings, feeds = request.app[SETTINGS], request.app[FEEDS]
    seen, draining = request.app[FRESHNESS].look(), request.app[CONNECTIONS].draining
    reasons = not_ready_reasons(feeds, seen, settings.api.max_lag_ms, draining=draining)
    reasons += request.app[DIALECTS].not_ready
    body = {
        "isReady": not reasons,
        "reasons": reasons,
        "unsupported_deployments": unsupported_deployments(settings, feeds),
        "lag_records": {table: feed.lag_records for table, feed in feeds.by_table().items()},
    }
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
