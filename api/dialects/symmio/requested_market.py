"""The market that a request names, and the checks that endpoints make of the tables before they answer."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from api.dialects.symmio.app_keys import LISTINGS
from api.dialects.symmio.replies import Refusal
from api.http.keys import CLOCK, FEEDS, SETTINGS, STANDINGS
from api.tables.deployment_heads import deployment_progress
from api.tables.standing import NotKnown
from api.tables.turns import next_turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from api.dialects.symmio.listing import Listed

# A block is folded within some 20 ms. One that takes longer is being caught up with, or folding has stopped.
_FOLDED_WITHIN_S = 1.0
_LOOK_EVERY_S = 0.05
# Finding a market's marks, and showing and encoding it, takes some 25 µs.
_MARKETS_BETWEEN_YIELDS = 15
_COLD = "the tables are still being read, try again in some seconds"


def expect_markets(request: web.Request) -> None:
    """Check that the markets are known.

    Raises:
        Refusal: They are not known yet.
    """
    if not request.app[LISTINGS].is_warm:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _COLD)


async def listed(request: web.Request, deployment: str) -> AsyncIterator[Listed]:
    """Yield the markets of a deployment, in pieces that take turns with other long work.

    Raises:
        Refusal: They are not known yet.
    """
    expect_markets(request)
    listings = request.app[LISTINGS]
    for number, one in enumerate(listings.of(deployment), start=1):
        yield one
        if number % _MARKETS_BETWEEN_YIELDS == 0:
            await next_turn()


def named(request: web.Request, deployment: str, text: str) -> Listed:
    """Find the market that a request names.

    Args:
        request: The request.
        deployment: The deployment that it is for.
        text: What it says: the market's name, its name on chain, or its symbol id.

    Raises:
        Refusal: There is no such market, or it is not known yet.
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


async def expect_no_account(request: web.Request, deployment: str) -> None:
    """Refuse to answer that an account does not exist while it may be in blocks that have not been folded yet.

    Each block takes some ms to be folded; that is waited for.

    Raises:
        Refusal: The deployment is not folded to a recent head.
    """
    deadline_s = request.app[CLOCK].monotonic_s() + _FOLDED_WITHIN_S
    while isinstance(answer := request.app[STANDINGS].missing(deployment), NotKnown):
        if request.app[CLOCK].monotonic_s() > deadline_s:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, answer.reason)
        await asyncio.sleep(_LOOK_EVERY_S)
