"""The dialect of Flash Trade v2, as it is built in."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import Counter, Histogram

from api.access.gate import Door, Markets, OneAccount
from api.dialects.flash.basket_index import BasketIndex
from api.dialects.flash.flash_board import FlashBoard
from api.dialects.flash.flash_errors import error_body
from api.dialects.flash.flash_settings import FlashDialectSettings
from api.dialects.flash.owner_endpoint import OwnerEndpoint
from api.dialects.flash.owner_frames import TableFrames, calculated_again
from api.dialects.flash.owner_streams import OwnerStreams
from api.dialects.flash.socket_places import SocketPlaces
from api.dialects.flash.venue_reads import RAW_KINDS, VenueReads
from api.dialects.mounting import DialectPackage, Mounted
from api.http.keys import FEEDS, FRESHNESS, HUB, KEPT, METRICS, PRICES, STANDINGS
from models.errors import BadRecord
from models.flash.flash_account import KIND
from models.flash.flash_listing import Listing
from models.flash.position_terms import metrics_at_mark_of, metrics_of
from models.ids import account_key, split_key
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.dialects.mounting import Site
    from models.flash.basket_views import Calculate
    from models.venue import Inputs

_PREFIX = "/v2"
# Clients of before the version was in the path ask there.
_OWNER = "/owner"
_CALCULATIONS: Mapping[str, Calculate] = {"venue": metrics_of, "mark": metrics_at_mark_of}
"""The figures of a position, as settings call them."""
_LATE_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


def mount(site: Site, section: FlashDialectSettings) -> Mounted:
    """Mount the dialect on one deployment, whose paths have no place for a name.

    Raises:
        BadSettings: There are several, or one is of another kind.
    """
    deployment = _deployment(site)
    feeds, metrics = site.app[FEEDS], site.app[METRICS]
    omitted = Counter("tidemark_flash_omitted_markets", "Markets left out for want of figures", registry=None)
    late = Histogram("tidemark_flash_late_seconds", "How late metrics are made", buckets=_LATE_BUCKETS_S, registry=None)
    for collector in (omitted, late):
        metrics.registry.register(collector)
    board = FlashBoard(deployment, site.app[PRICES], feeds, site.clock.now_ms, site.app[KEPT].keep)
    site.app.cleanup_ctx.append(board.keeping)
    frames = TableFrames(
        deployment,
        feeds.statements.rows,
        board,
        missing=lambda: site.app[STANDINGS].missing(deployment),
        why_unsure=partial(site.app[FRESHNESS].why_unsure, deployment),
        calculate=_CALCULATIONS[section.pnl],
        pnl=section.pnl,
        on_omitted=omitted.inc,
    )
    streams = OwnerStreams(
        frames,
        site.app[HUB],
        watch=lambda owner: site.interest.watch(account_key(deployment, owner)),
        unwatch=lambda owner: site.interest.unwatch(account_key(deployment, owner)),
        on_late=late.observe,
    )

    def on_statements(keys: Sequence[bytes]) -> None:
        for key in keys:
            of, owner = split_key(key)
            if of == deployment:
                streams.basket_changed(owner)

    feeds.statements.listen(on_statements)

    async def show_when_read() -> None:
        await asyncio.gather(
            site.app[STANDINGS].wait_warm(),
            feeds.statements.wait_ready(),
            feeds.references.wait_ready(),
            feeds.marks.wait_ready(),
        )
        frames.warm()
        streams.show_all()

    endpoint = OwnerEndpoint(
        deployment,
        frames,
        streams,
        places=SocketPlaces(site.leases, site.name, most=section.sockets, most_of_owner=section.sockets_per_owner),
        connections=site.connections,
        hub=site.app[HUB],
        addresses=site.addresses,
        metrics=metrics,
    )
    index = BasketIndex(deployment, feeds.statements)
    reads = VenueReads(deployment, board, frames, index, site.app[FRESHNESS])
    return Mounted(
        path_prefixes=(_PREFIX, _OWNER),
        doors=(*_owner_doors(endpoint), *_venue_doors(reads)),
        error_body=error_body,
        watched_accounts=lambda: {account_key(deployment, owner).decode() for owner in streams.owners},
        waits=(show_when_read,),
    )


def _deployment(site: Site) -> str:
    foreign = sorted(name for name, one in site.deployments.items() if one.kind != KIND)
    if foreign or len(site.deployments) != 1:
        found = ", ".join(foreign or sorted(site.deployments))
        msg = (
            f"dialects.{site.name}.deployments: expected one deployment of kind {KIND}, found {found}; "
            f"let a section [dialects.NAME] of kind {KIND} name one"
        )
        raise BadSettings(msg)
    return next(iter(site.deployments))


def _owner_doors(endpoint: OwnerEndpoint) -> list[Door]:
    reads = OneAccount(endpoint.key_of)
    return [
        door
        for path in (f"{_PREFIX}{_OWNER}/{{owner}}", f"{_OWNER}/{{owner}}")
        for door in (
            Door(web.get(path, endpoint.answer), reads),
            Door(web.get(f"{path}/ws", endpoint.serve, allow_head=False), reads),
        )
    ]


def _venue_doors(reads: VenueReads) -> list[Door]:
    kinds = "|".join(RAW_KINDS)
    of_markets = {
        "/health": reads.health,
        "/tokens": reads.tokens,
        "/prices": reads.prices,
        "/prices/{symbol}": reads.price,
        f"/raw/{{kind:{kinds}}}": reads.raw_accounts,
        f"/raw/{{kind:{kinds}}}/{{pubkey}}": reads.raw_account,
        "/pool-data": reads.pools,
        "/pool-data/{pool}": reads.pool,
    }
    basket = Door(web.get(f"{_PREFIX}/raw/baskets/{{pubkey}}", reads.raw_basket), OneAccount(reads.key_of_basket))
    return [basket, *(Door(web.get(f"{_PREFIX}{path}", answer), Markets()) for path, answer in of_markets.items())]


def again(statement: bytes, asked: str, inputs: Inputs) -> object:
    """As ``mounting.Again`` says: what was asked is what was calculated, and by which of the settings' ``pnl``."""
    what, _, pnl = asked.partition(" ")
    calculate = _CALCULATIONS.get(pnl)
    if calculate is None:
        msg = f"expected figures by one of {', '.join(_CALCULATIONS)}, found {asked!r}: another version calculated it"
        raise BadRecord(msg)
    return calculated_again(statement, what, Listing(inputs), calculate)


FLASH = DialectPackage(KIND, FlashDialectSettings, mount, again)
"""The dialect; without a section of its kind it is mounted on the deployment of this venue."""
