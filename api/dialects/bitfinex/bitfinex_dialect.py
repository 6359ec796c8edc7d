"""The dialect of the Bitfinex WebSocket v2, as it is built in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, assert_never

from aiohttp import web

from api.access.gate import Door, InProtocol
from api.dialects.bitfinex.api_keys import BadKeys, KeyFile
from api.dialects.bitfinex.bitfinex_settings import BitfinexSettings
from api.dialects.bitfinex.calc_lanes import CalcLanes
from api.dialects.bitfinex.calc_requests import Calculation
from api.dialects.bitfinex.ledger_book import frame_of_calculation, holdings_of
from api.dialects.bitfinex.login_limit import LoginLimit
from api.dialects.bitfinex.logins import Logins
from api.dialects.bitfinex.numbered_frames import ACCOUNT
from api.dialects.bitfinex.public_channels import Market, Quotes
from api.dialects.bitfinex.shown_accounts import NamedMarkets, ShownAccounts, Tables
from api.dialects.bitfinex.socket_endpoint import BitfinexEndpoint
from api.dialects.bitfinex.socket_session import Desk
from api.dialects.bitfinex.venue_symbols import VenueSymbols
from api.dialects.mounting import DialectPackage, Mounted
from api.http.error_bodies import error_response
from api.http.keys import ACCOUNTS, FEEDS, FRESHNESS, HUB, KEPT, PRICES, STANDINGS
from api.tables.standing import NoSuchAccount
from models.ledger.priced_account import PricedAccount
from streams.replicas.nonce_log import NonceLog
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from api.dialects.bitfinex.logins import Nonces
    from api.dialects.mounting import Resource, Site
    from models.venue import Inputs

_KIND = "bitfinex"


def mount(site: Site, section: BitfinexSettings) -> Mounted:
    """Mount the dialect, with nonces that all replicas share.

    Raises:
        BadSettings: As ``stand`` says.
    """
    nonces = NonceLog(site.settings, site.records, site.clock)
    not_ready = f"the topic {nonces.topic} has not been read to its end yet"
    return stand(
        site,
        section,
        nonces,
        resources=(nonces,),
        waits=(nonces.raise_marks,),
        not_ready=lambda: () if nonces.is_ready else (not_ready,),
    )


def stand(
    site: Site,
    section: BitfinexSettings,
    nonces: Nonces,
    *,
    resources: Sequence[Resource] = (),
    waits: Sequence[Callable[[], Awaitable[None]]] = (),
    not_ready: Callable[[], Sequence[str]] = tuple,
) -> Mounted:
    """Mount the dialect.

    Args:
        site: Where it stands.
        section: Its settings.
        nonces: Use up the numbers of logins.
        resources: What the process starts and stops.
        waits: What runs beside the application.
        not_ready: Why the nonces cannot be used up yet.

    Raises:
        BadSettings: The file of keys cannot be read.
    """
    keys, tables, symbols = _keys(site, section), _tables(site), VenueSymbols(section.symbols)
    accounts = ShownAccounts(site.deployments, tables, symbols, section.currency)
    hub, freshness = site.app[HUB], site.app[FRESHNESS]
    desk = Desk(
        hub=hub,
        logins=_logins(site, section, keys, nonces),
        book_of=accounts.book_of,
        lanes=CalcLanes(site.leases, section.calculations_per_s, section.queued_calculations, hub.now_s),
        quotes=_quotes(NamedMarkets(site.deployments, tables, symbols), tables),
        clock_ms=site.clock.now_ms,
        says_unknown=_says_unknown(section),
        wait_warm=_waiting(site),
        is_open=site.guard.is_open,
    )
    endpoint = BitfinexEndpoint(
        site.connections,
        desk,
        site.addresses,
        keys=keys,
        accounts=accounts,
        is_operative=lambda: all(freshness.why_old(name) is None for name in site.deployments),
    )
    return Mounted(
        path_prefixes=(section.path,),
        doors=(Door(web.get(section.path, endpoint.serve, allow_head=False), InProtocol()),),
        error_body=error_response,
        watched_accounts=lambda: accounts.watched,
        not_ready=not_ready,
        waits=(*waits, endpoint.keep),
        resources=resources,
    )


def _keys(site: Site, section: BitfinexSettings) -> KeyFile:
    keys = KeyFile(section.keys)
    try:
        keys.load()
    except BadKeys as error:
        msg = f"dialects.{site.name}.keys: {error}"
        raise BadSettings(msg) from error
    return keys


def _tables(site: Site) -> Tables:
    app, standings = site.app, site.app[STANDINGS]

    def is_unsupported(deployment: str) -> bool:
        return standings.open_gap(deployment) is not None

    def is_absent(deployment: str) -> bool:
        return isinstance(standings.missing(deployment), NoSuchAccount)

    return Tables(
        app[FEEDS],
        app[PRICES],
        app[ACCOUNTS],
        is_unsupported,
        is_absent,
        site.interest,
        site.clock.now_ms,
        app[KEPT].keep,
    )


def _logins(site: Site, section: BitfinexSettings, keys: KeyFile, nonces: Nonces) -> Logins:
    refused_a_minute = site.settings.api.limits.failed_authentications_per_minute
    clock_s = site.clock.monotonic_s
    return Logins(
        keys,
        nonces,
        of_keys=LoginLimit(site.leases, "login", section.logins_per_minute, clock_s),
        failures=LoginLimit(site.leases, "login-failed", refused_a_minute, clock_s),
    )


def _waiting(site: Site) -> Callable[[], Awaitable[None]]:
    feeds, standings = site.app[FEEDS], site.app[STANDINGS]

    async def wait_warm() -> None:
        await asyncio.gather(standings.wait_warm(), feeds.statements.wait_ready(), feeds.references.wait_ready())

    return wait_warm


def _quotes(markets: NamedMarkets, tables: Tables) -> Quotes:
    def market_of(symbol: str) -> Market | None:
        found = markets.find(symbol)
        return None if found is None else Market(*found)

    quotes = Quotes(tables.prices, tables.clock_ms, market_of)

    def on_marks(moved: Sequence[bytes]) -> None:
        for channel in quotes.heard(moved):
            channel.moved()

    tables.feeds.marks.listen(on_marks)
    return quotes


def _says_unknown(section: BitfinexSettings) -> bool:
    match section.unknown:
        case "silence":
            return False
        case "error":
            return True
        case other:
            assert_never(other)


def again(statement: bytes, asked: str, inputs: Inputs) -> object:
    """As ``mounting.Again`` says: the answer to a ``calc``, as a client without flags was sent it."""
    frame = frame_of_calculation(PricedAccount(holdings_of(statement), inputs), Calculation.of_text(asked))
    return None if frame is None else [ACCOUNT, frame.type, list(frame.payload)]


BITFINEX = DialectPackage(_KIND, BitfinexSettings, mount, again)
"""The dialect; it is mounted where a section of its kind says so."""
