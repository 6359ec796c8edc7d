"""What is read of the venue once: health, tokens, prices, accounts as they are, and pools.

A price says when it was said. Accounts and pools cannot say how old they are, so there is no answer while they may be
old; nor is anything said not to exist then.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from api.access.gate import principal_of
from api.dialects.flash.flash_errors import error_body
from api.dialects.flash.owner_frames import OnBoard, Unknown
from api.dialects.flash.owner_streams import OwnerId
from api.dialects.flash.raw_views import raw_view
from models.flash.flash_accounts import Custody, Market, Pool
from models.flash.flash_listing import quote_of_mark
from models.flash.flash_prices import BPS, BPS_DECIMALS, RATE_DECIMALS, USD_DECIMALS, Uncomputable
from models.flash.flash_texts import native_text
from models.flash.solana_keys import key_text
from models.ids import account_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.dialects.flash.basket_index import BasketIndex
    from api.dialects.flash.flash_board import FlashBoard, Referred
    from api.dialects.flash.owner_frames import TableFrames
    from api.tables.freshness import Freshness
    from models.flash.flash_table import FlashTable, TableToken

_US_PER_MS = 1_000
_MAINNET = "mainnet-beta"
_NOT_READ = "the venue's table of tokens and pools is not known yet, try again in some seconds"
# The kinds of account, by the words of paths: the singular of errors, and the type.
RAW_KINDS: dict[str, tuple[str, type[Any]]] = {
    "markets": ("market", Market),
    "pools": ("pool", Pool),
    "custodies": ("custody", Custody),
}


class VenueReads:
    """Answers what does not depend on an owner, and a basket by its address.

    Args:
        deployment: The deployment.
        board: The venue's markets.
        frames: Reads baskets.
        index: Finds baskets by their address.
        freshness: Tells what is stale.
    """

    def __init__(
        self, deployment: str, board: FlashBoard, frames: TableFrames, index: BasketIndex, freshness: Freshness
    ) -> None:
        self._deployment = deployment
        self._board = board
        self._frames = frames
        self._index = index
        self._freshness = freshness

    async def health(self, _request: web.Request) -> web.Response:
        """How many accounts are known, and what is known beside them; with 503 and the reason while it may be old."""
        table = self._board.now().table
        markets = 0 if table is None else sum(len(pool.markets) for pool in table.pools)
        counts = {words: sum(1 for _ in self._board.accounts(kind)) for words, (kind, _) in RAW_KINDS.items()}
        old = self._freshness.why_old(self._deployment)
        return _json(
            {
                **({"status": "ok"} if old is None else {"status": "stale", "error": old}),
                "program": "magicblock",
                "accounts": {**counts, "baskets": self._index.baskets, "deposit_ledgers": self._index.ledgers},
                "config": {
                    "source": "bundled",
                    "env": "prod" if table is not None and table.cluster == _MAINNET else "dev",
                    "pools": 0 if table is None else len(table.pools),
                    "markets": markets,
                    "tokens": 0 if table is None else len(table.tokens),
                },
            },
            HTTPStatus.OK if old is None else HTTPStatus.SERVICE_UNAVAILABLE,
        )

    async def tokens(self, _request: web.Request) -> web.Response:
        """All tokens."""
        return _json([_token(one) for one in self._table().tokens])

    async def prices(self, _request: web.Request) -> web.Response:
        """The prices of all tokens that have one, by symbol."""
        return _json(dict(self._prices()))

    async def price(self, request: web.Request) -> web.Response:
        """The price of a token, whatever the case of its symbol."""
        wanted = request.match_info["symbol"]
        found = next((price for symbol, price in self._prices() if symbol.lower() == wanted.lower()), None)
        if found is None:
            self._expect_sure()
            return error_body(HTTPStatus.NOT_FOUND, f"price for symbol '{wanted[:50]}' not found")
        return _json(found)

    async def raw_accounts(self, request: web.Request) -> web.Response:
        """All accounts of a kind."""
        self._expect_sure()
        kind, of = RAW_KINDS[request.match_info["kind"]]
        return _json([_raw(one) for one in self._board.accounts(kind) if isinstance(one.account, of)])

    async def raw_account(self, request: web.Request) -> web.Response:
        """The account at an address."""
        self._expect_sure()
        kind, of = RAW_KINDS[request.match_info["kind"]]
        pubkey = request.match_info["pubkey"]
        account = self._board.account(kind, pubkey)
        if not isinstance(account, of):
            return error_body(HTTPStatus.NOT_FOUND, f"{kind} account {pubkey[:50]} not found")
        return _json({"pubkey": pubkey, "account": raw_view(account)})

    def key_of_basket(self, request: web.Request) -> str | None:
        """The key of the account whose basket a request names by its address; None where there is none."""
        owner = self._index.owner_of(request.match_info["pubkey"])
        return None if owner is None else account_key(self._deployment, owner).decode()

    async def raw_basket(self, request: web.Request) -> web.Response:
        """The basket at an address, of an owner whom the sender may read."""
        pubkey, key = request.match_info["pubkey"], self.key_of_basket(request)
        found = None
        if key is not None and principal_of(request).may_read(key):
            found = self._frames.find(OwnerId(key.partition(":")[2], is_hidden=False))
        if isinstance(found, Unknown):
            return error_body(HTTPStatus.SERVICE_UNAVAILABLE, found.reason)
        if not isinstance(found, OnBoard):
            self._expect_sure()
            return error_body(HTTPStatus.NOT_FOUND, f"basket account {pubkey[:50]} not found")
        return _json({"pubkey": pubkey, "account": raw_view(found.contents())})

    async def pools(self, _request: web.Request) -> web.Response:
        """Statistics of all active pools."""
        self._expect_sure()
        table = self._table()
        listed = [(pool.name, pool.address) for pool in table.pools]
        shown = [self._pool(table, name, address) for name, address in listed]
        return _json({"pools": [one for one in shown if one is not None]})

    async def pool(self, request: web.Request) -> web.Response:
        """Statistics of the pool at an address."""
        self._expect_sure()
        wanted, table = request.match_info["pool"], self._table()
        name = next((pool.name for pool in table.pools if pool.address == wanted), None)
        shown = None if name is None else self._pool(table, name, wanted)
        return error_body(HTTPStatus.NOT_FOUND, f"pool {wanted[:50]} not found") if shown is None else _json(shown)

    def _expect_sure(self) -> None:
        """Refuse to answer while what the tables say may be old.

        Raises:
            aiohttp.web.HTTPServiceUnavailable: It may be.
        """
        unsure = self._freshness.why_unsure(self._deployment)
        if unsure is not None:
            raise web.HTTPServiceUnavailable(text=unsure)

    def _table(self) -> FlashTable:
        table = self._board.now().table
        if table is None:
            raise web.HTTPServiceUnavailable(text=_NOT_READ)
        return table

    def _prices(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for token in self._table().tokens:
            mark = self._board.mark(token.symbol)
            if mark is None:
                continue
            try:
                spot = quote_of_mark(mark).spot
            except Uncomputable:
                continue
            yield (
                token.symbol,
                {
                    "price": spot.price,
                    "exponent": spot.exponent,
                    "confidence": spot.confidence,
                    "priceUi": spot.price / 10**-spot.exponent,
                    "timestampUs": mark.event_ms * _US_PER_MS,
                    "marketSession": None if mark.oracle is None else mark.oracle.session,
                },
            )

    def _pool(self, table: FlashTable, name: str, address: str) -> dict[str, Any] | None:
        pool = self._board.account("pool", address)
        if not isinstance(pool, Pool):
            return None
        listed = next(one for one in table.pools if one.address == address)
        custodies = ((one.symbol, one.address, self._board.account("custody", one.address)) for one in listed.custodies)
        return {
            "poolName": name,
            "poolAddress": address,
            "lpStats": _lp_stats(pool),
            "custodyStats": [
                _custody_stats(symbol, at, custody) for symbol, at, custody in custodies if isinstance(custody, Custody)
            ],
        }


def _json(body: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:  # noqa: ANN401 - any body
    # orjson writes no integers beyond 64 bits, and some fields have 128.
    return web.json_response(body, status=status)


def _raw(one: Referred) -> dict[str, Any]:
    return {"pubkey": one.pubkey, "account": raw_view(one.account)}


def _token(token: TableToken) -> dict[str, Any]:
    return {
        "symbol": token.symbol,
        "mintKey": token.mint,
        "decimals": token.decimals,
        "usdPrecision": token.usd_precision,
        "tokenPrecision": token.token_precision,
        "isStable": token.is_stable,
        "isVirtual": token.is_virtual,
        "lazerId": token.lazer_id,
        "pythTicker": token.pyth_ticker,
        "pythPriceId": token.pyth_price_id,
        "isToken2022": token.is_token2022,
    }


def _lp_stats(pool: Pool) -> dict[str, Any]:
    return {
        "lpMint": key_text(pool.lp_mint),
        "lpSupply": str(pool.lp_supply),
        "lpPriceUsd": _usd(pool.lp_price),
        "compoundingLpPriceUsd": _usd(pool.compounding_lp_price),
        "aumUsd": _usd(pool.raw_aum_usd),
        "equityUsd": _usd(pool.equity_usd),
        "maxAumUsd": _usd(pool.max_aum_usd),
        "updatedAtUnix": pool.last_updated_timestamp,
    }


def _custody_stats(symbol: str, address: str, custody: Custody) -> dict[str, Any]:
    assets, rate = custody.assets, custody.borrow_rate_state.current_rate
    return {
        "symbol": symbol,
        "custodyAddress": address,
        "owned": native_text(assets.owned, custody.decimals, custody.decimals),
        "locked": native_text(assets.locked, custody.decimals, custody.decimals),
        "collateral": native_text(assets.collateral, custody.decimals, custody.decimals),
        "utilizationBps": assets.locked * BPS // assets.owned if assets.owned else 0,
        "hourlyBorrowRate": native_text(rate, RATE_DECIMALS, RATE_DECIMALS),
        "closeFee": native_text(custody.fees.close_position, RATE_DECIMALS, RATE_DECIMALS),
        "maxLeverage": native_text(custody.pricing.max_leverage, BPS_DECIMALS, 2),
    }


def _usd(usd_e6: int) -> str:
    return native_text(usd_e6, USD_DECIMALS, USD_DECIMALS)
