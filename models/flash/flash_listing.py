"""Finds a market of Flash with its custodies, prices and tokens, out of references and the marks in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from models.flash.basket_views import ListedCustody, ListedMarket
from models.flash.chain_accounts import ClockSaid
from models.flash.flash_accounts import Custody, Market, Pool
from models.flash.flash_prices import OraclePrice, Uncomputable, Unpriced, check_exponent, shifted
from models.flash.flash_references import CLOCK, TABLE, reference_name
from models.flash.flash_table import FlashTable
from models.flash.position_terms import Quote, QuotedCustody
from models.flash.solana_keys import key_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.prices import UsedMark
    from models.venue import Inputs

_MS_PER_S = 1_000
_E18_DECIMALS = 18
_USUAL_EXPONENT = -8

T = TypeVar("T")


class FoundMarket(NamedTuple):
    """A market as it is listed, with the marks of its target and its collateral, and their symbols."""

    listed: ListedMarket
    target: UsedMark
    collateral: UsedMark
    target_symbol: str
    collateral_symbol: str

    @property
    def stale(self) -> bool:
        """Whether either mark is stale."""
        return self.target.stale or self.collateral.stale


class Listing:
    """The markets of a deployment at one moment.

    Args:
        inputs: The references and the marks in use.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._found: dict[bytes, FoundMarket] = {}

    def time_s(self, found: Iterable[FoundMarket | None]) -> int:
        """The time that figures of markets are of, in seconds of Unix time: the chain's, or a later one of their marks.

        It is no clock's, so that the same inputs are worth the same whenever they are valued; and it is of no mark of
        others, so that a basket is worth the same whoever else is looked at.
        """
        clock = self._refer(CLOCK, ClockSaid)
        marks = (mark for one in found if one is not None for mark in (one.target, one.collateral))
        return max((0 if clock is None else clock.unix_s, *(mark.event_ms // _MS_PER_S for mark in marks)))

    @property
    def table(self) -> FlashTable | None:
        """How pools, markets and tokens are called, None while nothing was said of it."""
        return self._refer(TABLE, FlashTable)

    def symbols_of(self, market: bytes) -> tuple[str, ...]:
        """The symbols of a market's target and collateral, as far as they are known, whether they have marks or not."""
        found = self._refer_account(Market, market)
        custodies = () if found is None else (found.target_custody, found.collateral_custody)
        symbols = (self._symbol_of(custody) for custody in custodies)
        return tuple(dict.fromkeys(symbol for symbol in symbols if symbol is not None))

    def side_of(self, market: bytes) -> str:
        """``long`` or ``short``; of a market that is not known, what the table says, and else ``long``."""
        found = self._refer_account(Market, market)
        if found is not None:
            return found.side.name.lower()
        listed = None if self.table is None else self.table.market(key_text(market))
        return "long" if listed is None else listed.side

    def market(self, market: bytes) -> FoundMarket:
        """Find a market.

        Args:
            market: Its address.

        Raises:
            Uncomputable: A part of it is not known, or has no mark; the message says which.
        """
        known = self._found.get(market)
        if known is not None:
            return known
        found = self._refer_account(Market, market)
        if found is None:
            msg = f"expected the account of market {key_text(market)}, found none said yet"
            raise Uncomputable(msg)
        target, target_mark = self._custody(found.target_custody)
        collateral, collateral_mark = self._custody(found.collateral_custody)
        known = FoundMarket(
            ListedMarket(found.side, target, collateral),
            target_mark,
            collateral_mark,
            target.token.symbol,
            collateral.token.symbol,
        )
        self._found[market] = known
        return known

    def custodies_of(self, market: bytes) -> dict[int, ListedCustody]:
        """The custodies of a market's pool that have a mark, by their ``uid``, as orders name them."""
        found = self._refer_account(Market, market)
        pool = None if found is None else self._refer_account(Pool, found.pool)
        listed: dict[int, ListedCustody] = {}
        for address in () if pool is None else pool.custodies:
            try:
                custody, _ = self._custody(address)
            except Uncomputable:
                # Who has an order that names it is told; others need not know it.
                continue
            listed[custody.quoted.custody.uid] = custody
        return listed

    def _custody(self, address: bytes) -> tuple[ListedCustody, UsedMark]:
        custody = self._refer_account(Custody, address)
        symbol = self._symbol_of(address)
        token = None if symbol is None or self.table is None else self.table.token(symbol)
        mark = None if symbol is None else self._inputs.mark(symbol)
        if custody is None or token is None or mark is None:
            missing = "account" if custody is None else "token in the table" if token is None else "mark"
            msg = f"expected custody {key_text(address)} ({symbol or 'of no name'}) to have a {missing}, found none"
            raise (Unpriced if missing == "mark" else Uncomputable)(msg)
        return ListedCustody(QuotedCustody(custody, quote_of_mark(mark)), token), mark

    def _symbol_of(self, custody: bytes) -> str | None:
        return None if self.table is None else self.table.symbol_of_custody(key_text(custody))

    def _refer_account(self, of: type[T], address: bytes) -> T | None:
        name = reference_name(of.__name__, key_text(address))
        return None if name is None else self._refer(name, of)

    def _refer(self, name: str, of: type[T]) -> T | None:
        used = self._inputs.reference(name)
        value: Any = None if used is None else used.value
        return value if isinstance(value, of) else None


def quote_of_mark(mark: UsedMark) -> Quote:
    """What a mark says in the numbers of the oracle that it came from.

    A source that is no oracle says a price alone; its average is taken to be the price, so that it is never doubted.

    Raises:
        Uncomputable: The oracle's exponent is not one that a price has.
    """
    terms = mark.oracle
    exponent = _USUAL_EXPONENT if terms is None else terms.exponent
    check_exponent(exponent)
    average_e18 = None if terms is None else terms.average_e18
    confidence_e18 = 0 if terms is None or terms.confidence_e18 is None else terms.confidence_e18
    time_s = mark.event_ms // _MS_PER_S
    confidence = _native(confidence_e18, exponent)
    return Quote(
        OraclePrice(_native(mark.mark_e18, exponent), exponent, confidence, time_s),
        OraclePrice(
            _native(mark.mark_e18 if average_e18 is None else average_e18, exponent), exponent, confidence, time_s
        ),
    )


def _native(value_e18: int, exponent: int) -> int:
    return shifted(value_e18, -_E18_DECIMALS - exponent)
