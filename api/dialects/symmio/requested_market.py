"""What endpoints ask of a request's market and of the tables behind it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from api.dialects.symmio.app_keys import LISTINGS
from api.dialects.symmio.replies import Refusal
from api.http.keys import CLOCK, FEEDS, SETTINGS, STANDINGS
from api.tables.deployment_heads import deployment_progress
from api.tables.standing import NotKnown

if TYPE_CHECKING:
    from aiohttp import web

    from api.tables.listing import Listed

# A block is folded within some 20 ms; what is not within this is being caught up with, or stands still.
_FOLDED_WITHIN_S = 1.0
_LOOK_EVERY_S = 0.05
_COLD = "the tables are still being read, try again in some seconds"


def listed(request: web.Request, deployment: str) -> list[Listed]:
    """The markets of a deployment.

    Raises:
        Refusal: They are not known yet.
    """
    listings = request.app[LISTINGS]
    if not listings.is_warm:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _COLD)
    return listings.of(deployment)


def named(request: web.Request, deployment: str, text: str) -> Listed:
    """The market that a request names, by name or symbol id.

    Raises:
        Refusal: There is none of that name, or it is not known yet.
    """
    listings = request.app[LISTINGS]
    if not listings.is_warm:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _COLD)
    market = listings.find(deployment, text)
    if market is None:
        raise Refusal(HTTPStatus.NOT_FOUND, f"no symbol {text[:80]!r} in deployment {deployment}")
    return market


def expect_known(request: web.Request, deployment: str) -> None:
    """Refuse where what the accounts of a deployment hold is not known.

    Raises:
        Refusal: The tables are not read yet, no block of the deployment is folded, or its logs are not supported since
            some block.
    """
    standings = request.app[STANDINGS]
    if not standings.is_warm:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _COLD)
    progress = deployment_progress(request.app[FEEDS], deployment, request.app[SETTINGS].topics.partitions)
    if progress is None or progress.folded_head is None:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"deployment {deployment} has not been folded yet")
    gap = standings.open_gap(deployment)
    if gap is not None:
        msg = f"deployment {deployment} is unsupported since block {gap.block}"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, msg)


async def expect_nobody(request: web.Request, deployment: str) -> None:
    """Refuse where an account that is in no table may be in what has not been folded yet.

    Each block leaves some ms in which that is so: it is waited for.

    Raises:
        Refusal: The deployment is not folded to a recent head.
    """
    deadline_s = request.app[CLOCK].monotonic_s() + _FOLDED_WITHIN_S
    while isinstance(answer := request.app[STANDINGS].missing(deployment), NotKnown):
        if request.app[CLOCK].monotonic_s() > deadline_s:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, answer.reason)
        await asyncio.sleep(_LOOK_EVERY_S)
