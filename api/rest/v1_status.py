"""``/v1/status``: how late this replica is, how far each deployment is, which sources speak, and what is stale."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from api.http.health import not_ready_reasons
from api.http.keys import CONNECTIONS, FEEDS, FRESHNESS, OVERLOAD, REPLAY_OF, REPLICA, SETTINGS, SOURCES
from api.rest.gzip_bodies import json_answer
from api.rest.query import Query
from api.tables.deployment_states import deployment_states
from api.tables.feeds import behind_ms
from models.freshness import State
from models.instants import ns_text, rfc3339

if TYPE_CHECKING:
    from aiohttp import web

    from api.tables.feeds import RowFeed
    from api.tables.price_sources import Newest, SourceState
    from models.freshness import Part

View = dict[str, Any]

_VERSION = version("tidemark")


async def status(request: web.Request) -> web.Response:
    """Answer the state of things now."""
    Query(request)
    app = request.app
    settings, feeds, freshness = app[SETTINGS], app[FEEDS], app[FRESHNESS]
    # A look takes a millisecond where there are hundreds of markets, so everything here goes by one.
    seen = freshness.look()
    now_ms = seen.at_ms
    reasons = not_ready_reasons(feeds, seen, settings.api.max_lag_ms, draining=app[CONNECTIONS].draining)
    sources = app[SOURCES]
    states = sources.states()
    replay_of = app[REPLAY_OF]
    view: View = {
        **({} if replay_of is None else {"replay_of": replay_of()}),
        "server_time": rfc3339(now_ms),
        "server_time_ns": ns_text(now_ms),
        "epoch": settings.epoch,
        "replica": app[REPLICA],
        "version": _VERSION,
        "is_ready": not reasons,
        "reasons": reasons,
        "lag_ms": freshness.lag_ms(seen),
        "stale": {part.name: part.age_ms for part in seen.stale},
        "overloaded": [*freshness.overloaded(seen), *(("replica",) if app[OVERLOAD].is_on else ())],
        "feeds": {table: _feed(feed, now_ms) for table, feed in feeds.by_table().items()},
        "parts": {name: _part(part) for name, part in seen.parts.items()},
        "deployments": deployment_states(settings, feeds, freshness),
        "sources": {
            name: _source(states[name], age_ms, sources.newest(name)) for name, age_ms in sources.ages_ms().items()
        },
    }
    return await json_answer(request, view)


def _source(state: SourceState, age_ms: int, newest: Newest) -> View:
    view: View = {"state": state, "age_ms": age_ms}
    if newest.late_ms is not None:
        view |= {"late_ms": newest.late_ms, "clock_ahead_ms": newest.clock_ahead_ms}
    return view


def _feed(feed: RowFeed, now_ms: int) -> View:
    return {
        "is_ready": feed.is_ready,
        "rows": len(feed.rows),
        "lag_records": feed.lag_records,
        "behind_ms": behind_ms(feed, now_ms),
    }


def _part(part: Part) -> View:
    view: View = {"state": part.state}
    if part.age_ms is not None:
        view |= {"age_ms": part.age_ms, "bound_ms": part.bound_ms}
    if part.state is not State.FRESH:
        view["reason"] = part.reason
    return view
