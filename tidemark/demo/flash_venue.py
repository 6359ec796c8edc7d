"""A simulated Flash Trade on two simulated chains: its first pool at its real addresses, and a few owners who trade.

Prices are those of the simulated market. Only what is read is simulated: no transaction is taken.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from models.flash.borsh import Reader, layout
from models.flash.flash_accounts import (
    Basket,
    Custody,
    CustomOracle,
    LimitOrder,
    Market,
    MarketOrders,
    OrderSlot,
    Pool,
    Position,
    PositionSlot,
    Price,
    Side,
    TokenAmount,
    UserDepositLedger,
    encode_account,
)
from models.flash.flash_table import built_in_table
from models.flash.solana_keys import basket_address, key_of, key_text
from tidemark.demo.market import INSTRUMENTS
from tidemark.demo.solana_node import SolanaChain

if TYPE_CHECKING:
    from models.flash.flash_table import TableMarket, TablePool
    from tidemark.demo.market import Market as PriceMarket

A = TypeVar("A", bound=NamedTuple)

SLOTS_PER_S = 2
_OWNERS = 5
_EXPONENT = -8
_E8 = 10**8
_USD_E6 = 10**6
_BPS = 10_000
# The market's instruments that price a token, and how many of its units the token is worth.
_PRICED_BY = {"BTC": ("BTCUSDT", 1.0), "ETH": ("ETHUSDT", 1.0), "SOL": ("SOLUSDT", 1.0), "JitoSOL": ("SOLUSDT", 1.2),
              "BNB": ("BNBUSDT", 1.0), "ZEC": ("LINKUSDT", 18.0)}  # fmt: skip
_INDEX = {instrument.name: number for number, instrument in enumerate(INSTRUMENTS)}
_RATE_E9 = 20_000
_S_PER_HOUR = 3_600
# Of ten seconds, so many change a basket.
_CHANGES = 3
_FEES_EVERY_S = 60


class SimulatedFlash:
    """The venue, its two chains and its owners.

    Args:
        seed: What happens.
        genesis_s: When the chains began, in seconds of Unix time.
        market: Has the prices of each second since then.
    """

    def __init__(self, seed: int, genesis_s: int, market: PriceMarket) -> None:
        self._random = Random(f"{seed}:flash")
        self._genesis_s = genesis_s
        self._market = market
        self._table = built_in_table()
        self._pool: TablePool = self._table.pools[0]
        self._custodies = {custody.address: custody for custody in self._pool.custodies}
        self._decimals = {token.symbol: token.decimals for token in self._table.tokens}
        self.base = SolanaChain(genesis_s, SLOTS_PER_S)
        self.rollup = SolanaChain(genesis_s, SLOTS_PER_S)
        self.owners = tuple(key_text(_made_key(f"{seed}:owner:{number}")) for number in range(_OWNERS))
        self._positions: dict[str, dict[str, Position]] = {owner: {} for owner in self.owners}
        self._marks_e8: dict[str, int] = {}

    def open(self, second: int) -> None:
        """Bring the venue into being as of a second since the beginning; every owner has a position."""
        self.base.slot = self.rollup.slot = second * SLOTS_PER_S
        self._price(second)
        pool: Pool = _blank(Pool)
        self._put_base(
            self._pool.address,
            pool._replace(
                name=self._pool.name,
                custodies=tuple(_key(one.address) for one in self._pool.custodies),
                markets=tuple(_key(one.address) for one in self._pool.markets),
            ),
        )
        for listed in self._pool.markets:
            self._put_base(listed.address, self._market_account(listed))
        self._accrue(second)
        for owner in self.owners:
            self._trade(owner, second)
            ledger: UserDepositLedger = _blank(UserDepositLedger)
            mint = next(token.mint for token in self._table.tokens if token.symbol == "USDC")
            deposits = (TokenAmount(_key(mint), self._random.randrange(100, 10_000) * _USD_E6),)
            address = key_text(_made_key(f"{owner}:ledger"))
            self._put_base(address, ledger._replace(owner=_key(owner), deposits=deposits))

    def grow_to(self, second: int) -> None:
        """Let happen what happens up to a second since the beginning."""
        while self.base.slot < second * SLOTS_PER_S:
            for chain in (self.base, self.rollup):
                chain.next_slot()
        self._price(second)
        if second % _FEES_EVERY_S == 0:
            self._accrue(second)
        if self._random.randrange(10) < _CHANGES:
            self._trade(self._random.choice(self.owners), second)

    def _price(self, second: int) -> None:
        """Have each oracle say its price, once a second."""
        marks = self._market.marks_e8(second)
        for custody in self._pool.custodies:
            instrument, units = _PRICED_BY.get(custody.symbol, (None, 1.0))
            price = _E8 if instrument is None else round(marks[_INDEX[instrument]] * units)
            before = self._marks_e8.get(custody.symbol, price)
            self._marks_e8[custody.symbol] = price
            said: CustomOracle = _blank(CustomOracle)
            self._put_base(
                custody.oracle,
                said._replace(
                    price=price,
                    expo=_EXPONENT,
                    conf=price // 5_000,
                    ema=(9 * before + price) // 10,
                    publish_time=self._genesis_s + second,
                ),
            )

    def _accrue(self, second: int) -> None:
        for number, custody in enumerate(self._pool.custodies):
            token = next(one for one in self._table.tokens if one.symbol == custody.symbol)
            account: Custody = _blank(Custody)
            self._put_base(
                custody.address,
                account._replace(
                    pool=_key(self._pool.address),
                    mint=_key(token.mint),
                    decimals=token.decimals,
                    is_stable=token.is_stable,
                    is_virtual=token.is_virtual,
                    uid=number,
                    oracle=account.oracle._replace(
                        int_oracle_account=_key(custody.oracle), max_divergence_bps=100, max_conf_bps=100
                    ),
                    pricing=account.pricing._replace(
                        trade_spread_min=20, trade_spread_max=120, max_position_size_usd=10**12, max_leverage=1_000_000
                    ),
                    fees=account.fees._replace(close_position=510_000),
                    borrow_rate_state=account.borrow_rate_state._replace(
                        current_rate=_RATE_E9,
                        cumulative_lock_fee=_RATE_E9 * second // _S_PER_HOUR,
                        last_update=self._genesis_s + second,
                    ),
                ),
            )

    def _market_account(self, listed: TableMarket) -> Market:
        account: Market = _blank(Market)
        return account._replace(
            pool=_key(self._pool.address),
            target_custody=_key(listed.target),
            collateral_custody=_key(listed.collateral),
            side=Side.LONG if listed.side == "long" else Side.SHORT,
        )

    def _trade(self, owner: str, second: int) -> None:
        """An owner opens a position, or closes one; beside the others stands an order."""
        positions = self._positions[owner]
        listed = self._random.choice(self._pool.markets)
        if listed.address in positions and len(positions) > 1:
            del positions[listed.address]
        else:
            positions[listed.address] = self._opened(listed, owner, second)
        account: Basket = _blank(Basket)
        ordered = self._random.choice(self._pool.markets)
        orders = (OrderSlot(_key(ordered.address), self._orders(ordered)),)
        slots = tuple(PositionSlot(_key(address), one) for address, one in positions.items())
        basket = account._replace(
            owner=_key(owner), positions_active=True, orders_active=True, positions=slots, orders=orders
        )
        address = key_text(basket_address(_key(owner), _key(self._table.programme)))
        self.rollup.put(address, self._table.programme, encode_account(basket))

    def _opened(self, listed: TableMarket, owner: str, second: int) -> Position:
        target, collateral = (self._custodies[one].symbol for one in (listed.target, listed.collateral))
        price, put_in = self._marks_e8[target], self._random.randrange(50, 2_000) * _USD_E6
        size_usd = put_in * self._random.randrange(20_000, 200_000) // _BPS
        decimals, locked_decimals = self._decimals[target], self._decimals[collateral]
        locked_usd = size_usd * 2
        blank: Position = layout(Position).read(Reader(bytes(layout(Position).least)))
        return blank._replace(
            owner=_key(owner),
            market=_key(listed.address),
            open_time=self._genesis_s + second,
            update_time=self._genesis_s + second,
            entry_price=Price(price, _EXPONENT),
            reference_price=Price(price, _EXPONENT),
            size_amount=size_usd * 10 ** (decimals + 2) // price,
            size_usd=size_usd,
            locked_amount=locked_usd * 10 ** (locked_decimals + 2) // self._marks_e8[collateral],
            locked_usd=locked_usd,
            collateral_usd=put_in,
            cumulative_lock_fee_snapshot=_RATE_E9 * second // _S_PER_HOUR,
            is_active=True,
            size_decimals=decimals,
            locked_decimals=locked_decimals,
            collateral_decimals=locked_decimals,
        )

    def _orders(self, listed: TableMarket) -> MarketOrders:
        target, collateral = (self._custodies[one] for one in (listed.target, listed.collateral))
        price = self._marks_e8[target.symbol] * (98 if listed.side == "long" else 102) // 100
        none = Price(0, 0)
        reserve = self._pool.custodies.index(collateral)
        put_in = 100 * 10 ** (self._decimals[collateral.symbol] + 8) // self._marks_e8[collateral.symbol]
        size = 500 * 10 ** (self._decimals[target.symbol] + 8) // price
        order = LimitOrder(Price(price, _EXPONENT), put_in, reserve, reserve, size, none, none)
        blank: MarketOrders = layout(MarketOrders).read(Reader(bytes(layout(MarketOrders).least)))
        return blank._replace(limit_orders=(order,), is_initialised=True, is_active=True, active_orders=1)

    def _put_base(self, address: str, account: NamedTuple) -> None:
        self.base.put(address, self._table.programme, encode_account(account))


def _blank(of: type[A]) -> A:
    """An account of which every field is 0."""
    account: A = layout(of).read(Reader(bytes(layout(of).least)))
    return account


def _made_key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _key(address: str) -> bytes:
    found = key_of(address)
    if found is None:
        msg = f"expected an address as base58, found {address!r}"
        raise ValueError(msg)
    return found
