"""Flash as tests write it: accounts of a small venue, records of them, and the inputs of one moment."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from models.flash.borsh import Reader, layout
from models.flash.chain_accounts import (
    LAYER_OF,
    AccountClosed,
    AccountSaid,
    ClockSaid,
    account_text,
    encode_account_record,
)
from models.flash.flash_accounts import (
    DISCRIMINATORS,
    Basket,
    Custody,
    CustomOracle,
    Market,
    Pool,
    Position,
    PositionSlot,
    Price,
    Side,
    TokenAmount,
    UserDepositLedger,
    decode_account,
    encode_account,
)
from models.flash.flash_references import CLOCK, TABLE, decode_reference, reference_name
from models.flash.flash_table import FlashTable, TableCustody, TableMarket, TablePool, TableToken, write_table
from models.flash.solana_keys import basket_address, key_of, key_text
from models.money import E18
from models.prices import OracleTerms, UsedMark
from models.references import UsedReference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

A = TypeVar("A", bound=NamedTuple)

NOW_S = 1_700_003_600
NOW_MS = NOW_S * 1_000
PROGRAMME = "FLASH6Lo6h3iasJKWDs2F8TkW2UKf3s15C8PMGuVfgBn"
DELEGATION = "DELeGGvXpWV2fqJUhqcF5ZSYMS4JTLjteaAMARRSaeSh"


def key(name: str) -> bytes:
    """A public key that is made of a name."""
    return hashlib.sha256(name.encode()).digest()


def text(name: str) -> str:
    """The same as base58."""
    return key_text(key(name))


OWNER = text("owner")
SOL_LONG, SOL_SHORT, BTC_LONG = key("SOL long"), key("SOL short"), key("BTC long")
POOL = key("pool")
DECIMALS = {"SOL": 9, "USDC": 6, "BTC": 8}


def blank(of: type[A]) -> A:
    """An account of which every field is 0."""
    return decode_account(of, DISCRIMINATORS[of] + bytes(layout(of).least))


def custody(symbol: str, uid: int, **more: object) -> Custody:
    """A custody whose fees are those of the worked case of docs/flash.md."""
    account: Custody = blank(Custody)
    account = account._replace(
        pool=POOL,
        mint=key(f"{symbol} mint"),
        decimals=DECIMALS[symbol],
        is_stable=symbol == "USDC",
        uid=uid,
        pricing=account.pricing._replace(max_position_size_usd=10**12, max_leverage=1_000_000),
        fees=account.fees._replace(close_position=510_000),
        oracle=account.oracle._replace(max_divergence_bps=50, max_conf_bps=100),
        borrow_rate_state=account.borrow_rate_state._replace(
            current_rate=20_000, cumulative_lock_fee=1_000_000, last_update=NOW_S - 3_600
        ),
    )
    return account._replace(**more)  # type: ignore[arg-type]


def market(target: str, collateral: str, side: Side) -> Market:
    """A market of the venue."""
    account: Market = blank(Market)
    return account._replace(
        pool=POOL, target_custody=key(f"{target} custody"), collateral_custody=key(f"{collateral} custody"), side=side
    )


MARKETS: dict[bytes, tuple[str, str, Side]] = {
    SOL_LONG: ("SOL", "USDC", Side.LONG),
    SOL_SHORT: ("SOL", "USDC", Side.SHORT),
    BTC_LONG: ("BTC", "BTC", Side.LONG),
}
CUSTODIES = {"USDC": custody("USDC", 0), "SOL": custody("SOL", 1), "BTC": custody("BTC", 2)}


def the_pool() -> Pool:
    """The pool of all custodies and markets."""
    account: Pool = blank(Pool)
    return account._replace(
        name="Crypto.1", custodies=tuple(key(f"{symbol} custody") for symbol in CUSTODIES), markets=tuple(MARKETS)
    )


def the_table() -> FlashTable:
    """How all of it is called."""
    tokens = [
        TableToken(
            symbol,
            text(f"{symbol} mint"),
            decimals,
            usd_precision=2,
            token_precision=4,
            is_stable=symbol == "USDC",
            is_virtual=False,
            lazer_id=at,
            pyth_ticker=symbol,
            pyth_price_id="",
            is_token2022=False,
        )
        for at, (symbol, decimals) in enumerate(DECIMALS.items())
    ]
    custodies = [TableCustody(text(f"{one} custody"), one, text(f"{one} oracle")) for one in CUSTODIES]
    markets = [
        TableMarket(key_text(address), text(f"{target} custody"), text(f"{collateral} custody"), side.name.lower())
        for address, (target, collateral, side) in MARKETS.items()
    ]
    pool = TablePool("Crypto.1", key_text(POOL), tuple(custodies), tuple(markets))
    return FlashTable("made for tests", "localnet", PROGRAMME, DELEGATION, (pool,), tuple(tokens), {})


def position(
    market_key: bytes, entry: str = "148.52", amount: str = "3.36654996", *, collateral: str = "100", **more: object
) -> Position:
    """A position that is that of the worked case of docs/flash.md, unless it is said otherwise."""
    decimals = DECIMALS[MARKETS[market_key][0]]
    price, size = e(entry, 8), e(amount, decimals)
    base: Position = layout(Position).read(Reader(bytes(layout(Position).least)))
    return base._replace(
        owner=_owner(), market=market_key, entry_price=Price(price, -8), reference_price=Price(price, -8),
        size_amount=size, size_usd=price * size // 10 ** (8 + decimals - 6), collateral_usd=e(collateral, 6),
        locked_amount=e("600", 6), locked_usd=e("600", 6), size_decimals=decimals, locked_decimals=6,
        collateral_decimals=6, cumulative_lock_fee_snapshot=900_000, is_active=True,
    )._replace(**more)  # type: ignore[arg-type]  # fmt: skip


def e(number: str, decimals: int) -> int:
    """A decimal text as an integer of so many decimals."""
    whole, _, fraction = number.partition(".")
    return int(whole + fraction.ljust(decimals, "0")[:decimals])


def basket(*positions: Position, owner: str = OWNER) -> Basket:
    """A basket of positions."""
    account: Basket = blank(Basket)
    return account._replace(
        owner=_owner(owner), positions_active=True, positions=tuple(PositionSlot(one.market, one) for one in positions)
    )


def ledger(*deposits: tuple[str, int], owner: str = OWNER) -> UserDepositLedger:
    """What an owner has deposited, by symbols, in the smallest units."""
    account: UserDepositLedger = blank(UserDepositLedger)
    return account._replace(
        owner=_owner(owner), deposits=tuple(TokenAmount(key(f"{symbol} mint"), amount) for symbol, amount in deposits)
    )


def oracle(price: str, *, publish_s: int = NOW_S, conf: int = 0) -> CustomOracle:
    """An oracle's account."""
    account: CustomOracle = blank(CustomOracle)
    return account._replace(price=e(price, 8), expo=-8, conf=conf, ema=e(price, 8), publish_time=publish_s)


def said(account: NamedTuple, *, slot: int = 1, pubkey: str | None = None, **more: object) -> bytes:
    """The record of an account as it stands."""
    return said_bytes(encode_account(account), type(account).__name__, slot=slot, pubkey=pubkey, **more)


def said_bytes(data: bytes, kind: str = "Basket", *, slot: int = 1, pubkey: str | None = None, **more: object) -> bytes:
    """The record of an account of any bytes."""
    record = AccountSaid(
        pubkey=basket_of() if pubkey is None else pubkey, account=kind, programme=PROGRAMME, layer=LAYER_OF[kind],
        slot=slot, received_ms=NOW_MS, data=account_text(data),
    )  # fmt: skip
    return encode_account_record(msgspec.structs.replace(record, **more))


def closed(kind: str = "Basket", *, slot: int = 2) -> bytes:
    """The record of an account that is no more."""
    return encode_account_record(
        AccountClosed(
            pubkey=basket_of(), account=kind, programme=PROGRAMME, layer=LAYER_OF[kind], slot=slot, received_ms=NOW_MS
        )
    )


def clock(unix_s: int) -> bytes:
    """The record of a chain's time."""
    return encode_account_record(
        ClockSaid(layer="base", slot=1, unix_s=unix_s, received_ms=max(NOW_MS, unix_s * 1_000))
    )


def references(custodies: Mapping[str, Custody] = CUSTODIES) -> dict[str, bytes]:
    """The records of everything that values depend on, by name."""
    found = {TABLE: write_table(the_table()), CLOCK: clock(NOW_S)}
    accounts: list[tuple[bytes, NamedTuple]] = [
        *((address, market(*parts)) for address, parts in MARKETS.items()),
        *((key(f"{symbol} custody"), one) for symbol, one in custodies.items()),
        (POOL, the_pool()),
    ]
    for address, account in accounts:
        name = reference_name(type(account).__name__, key_text(address))
        assert name is not None
        found[name] = said(account, pubkey=key_text(address))
    return found


class StandingInputs:
    """The marks and references of one moment.

    Args:
        marks: Prices by symbol.
        custodies: The custodies.
        now_s: The time of the chain; marks are of that second too.
        stale: Symbols whose mark is stale.
    """

    def __init__(
        self,
        marks: Mapping[str, str],
        custodies: Mapping[str, Custody] = CUSTODIES,
        *,
        now_s: int = NOW_S,
        stale: Sequence[str] = (),
    ) -> None:
        self.marks = {
            symbol: UsedMark(
                f"flash-oracle:{symbol}", e(price, 18), now_s * 1_000, at, symbol in stale,
                OracleTerms(-8, e(price, 18), 0, None),
            )
            for at, (symbol, price) in enumerate(marks.items())
        }  # fmt: skip
        self.values = {name: decode_reference(name, value) for name, value in references(custodies).items()}
        self.values[CLOCK] = decode_reference(CLOCK, clock(now_s))

    def mark(self, market_id: int | str, /) -> UsedMark | None:
        """The mark of a symbol."""
        return self.marks.get(str(market_id))

    def reference(self, name: str, /) -> UsedReference | None:
        """A reference."""
        value = self.values.get(name)
        return None if value is None else UsedReference(value, 0, 0)

    def moved(self, factors: Mapping[str, int]) -> StandingInputs:
        """The same with marks multiplied by parts of a million."""
        for symbol, parts in factors.items():
            mark = self.marks[symbol]
            mark_e18 = mark.mark_e18 * parts // 10**6
            terms = OracleTerms(-8, mark_e18, 0, None)
            self.marks[symbol] = msgspec.structs.replace(mark, mark_e18=mark_e18, oracle=terms)
        return self


def basket_of(owner: str = OWNER) -> str:
    """The address of an owner's basket."""
    programme = key_of(PROGRAMME)
    assert programme is not None
    return key_text(basket_address(_owner(owner), programme))


def _owner(owner: str = OWNER) -> bytes:
    found = key_of(owner)
    assert found is not None
    return found


def whole(amount_e18: str | None) -> float:
    """An amount of a row in whole units."""
    assert amount_e18 is not None
    return int(amount_e18) / E18
