"""What an account's positions and margin wallets are worth at the marks and settings of one moment, each for itself.

All is exact: a result is an integer at 1e18, truncated once, at its end; margins are rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from models.ledger.ledger_objects import pair_of
from models.ledger.ledger_settings import (
    USD,
    CurrencySettings,
    SymbolSettings,
    currency_reference,
    symbol_reference,
)
from models.money import E18, divide_toward_zero, parse_e18

if TYPE_CHECKING:
    from models.ledger.ledger_objects import LedgerPosition, Wallet
    from models.ledger.ledger_state import Holdings
    from models.prices import UsedMark
    from models.venue import Inputs

_E36 = E18**2
_E54 = E18**3


class Leg(NamedTuple):
    """A market by whose mark an amount is multiplied on its way to USD."""

    market: str
    mark: UsedMark


class Conversion(NamedTuple):
    """How an amount of a currency becomes USD; without legs it is USD.

    ``rate`` is the product of the marks, scaled by ``scale``: 1e18 for each leg.
    """

    legs: tuple[Leg, ...] = ()
    rate: int = 1
    scale: int = 1

    def usd_e18(self, amount: int, scale: int) -> int:
        """Convert an amount that is scaled by ``scale``, a multiple of 1e18; truncated toward zero."""
        return divide_toward_zero(amount * self.rate, scale // E18 * self.scale)

    def usd_up_e18(self, amount: int, scale: int) -> int:
        """Convert an amount >= 0 that is scaled by ``scale``, a multiple of 1e18; rounded up."""
        return -(-amount * self.rate // (scale // E18 * self.scale))


@dataclass(frozen=True)
class PricedPosition:
    """A position at the mark in use, in its symbol's quote currency, and how that becomes USD; each figure once."""

    position: LedgerPosition
    amount_e18: int
    base_e18: int
    settings: SymbolSettings
    price: UsedMark
    conversion: Conversion

    @cached_property
    def price_pl_e36(self) -> int:
        """What the price gained or lost, before fees."""
        return self.amount_e18 * (self.price.mark_e18 - self.base_e18)

    @cached_property
    def notional_e36(self) -> int:
        """The amount at the price, >= 0."""
        return abs(self.amount_e18) * self.price.mark_e18

    @cached_property
    def pl_e54(self) -> int:
        """What closing it now would bring: what the price gained or lost, less the fee."""
        return self.price_pl_e36 * E18 - self.settings.close_fee_e18 * self.notional_e36

    @cached_property
    def upnl_usd_e18(self) -> int:
        """``price_pl_e36`` in USD."""
        return self.conversion.usd_e18(self.price_pl_e36, _E36)

    @cached_property
    def pl_usd_e18(self) -> int:
        """``pl_e54`` in USD."""
        return self.conversion.usd_e18(self.pl_e54, _E54)

    @cached_property
    def notional_usd_e18(self) -> int:
        """``notional_e36`` in USD."""
        return self.conversion.usd_e18(self.notional_e36, _E36)

    @cached_property
    def required_usd_e18(self) -> int:
        """The margin with less than which it is liquidated, in USD."""
        return self.conversion.usd_up_e18(self.settings.maintenance.margin_e54(self.notional_e36), _E54)

    @property
    def marks(self) -> tuple[UsedMark, ...]:
        """Every mark that its value depends on."""
        return self.price, *(leg.mark for leg in self.conversion.legs)


@dataclass(frozen=True)
class ConvertedWallet:
    """A wallet whose currency becomes USD."""

    wallet: Wallet
    balance_e18: int
    conversion: Conversion

    @cached_property
    def usd_e18(self) -> int:
        """What it has, in USD."""
        return self.conversion.usd_e18(self.balance_e18, E18)


class Priced:
    """An account at the marks and settings of one moment; each sum is made when it is first asked for.

    Args:
        positions: As those of the account; None in the place of one that lacks a mark, a conversion or its settings.
        wallets: The margin wallets that are not empty, in the same way.
    """

    def __init__(
        self, positions: tuple[PricedPosition | None, ...], wallets: tuple[ConvertedWallet | None, ...]
    ) -> None:
        self.positions = positions
        self.wallets = wallets

    @cached_property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return None not in self.positions and None not in self.wallets

    @cached_property
    def known_positions(self) -> list[PricedPosition]:
        """The positions that lack nothing."""
        return [one for one in self.positions if one is not None]

    @cached_property
    def known_wallets(self) -> list[ConvertedWallet]:
        """The margin wallets that lack nothing."""
        return [one for one in self.wallets if one is not None]

    @cached_property
    def balance_usd_e18(self) -> int:
        """What the margin wallets have."""
        return sum(one.usd_e18 for one in self.known_wallets)

    @cached_property
    def pl_usd_e18(self) -> int:
        """What closing all positions now would bring, fees taken off."""
        return sum(one.pl_usd_e18 for one in self.known_positions)

    @cached_property
    def net_usd_e18(self) -> int:
        """What the account would be worth without its positions, closed now."""
        return self.balance_usd_e18 + self.pl_usd_e18

    @cached_property
    def required_usd_e18(self) -> int:
        """With a net value below this it is liquidated."""
        return sum(one.required_usd_e18 for one in self.known_positions)


def path_of(currency: str, inputs: Inputs) -> tuple[str, ...] | None:
    """The markets by which an amount of a currency becomes USD; None where the settings do not say."""
    if currency == USD:
        return ()
    used = inputs.reference(currency_reference(currency))
    return used.value.path if used is not None and isinstance(used.value, CurrencySettings) else None


def conversion_of(currency: str, inputs: Inputs) -> Conversion | None:
    """How an amount of a currency becomes USD now; None where a mark or the path is missing."""
    path = path_of(currency, inputs)
    if path is None:
        return None
    legs, rate, scale = [], 1, 1
    for market in path:
        mark = inputs.mark(market)
        if mark is None:
            return None
        legs.append(Leg(market, mark))
        rate *= mark.mark_e18
        scale *= E18
    return Conversion(tuple(legs), rate, scale)


def settings_of(symbol: str, inputs: Inputs) -> SymbolSettings | None:
    """How positions in a symbol are valued; None where the settings do not say."""
    used = inputs.reference(symbol_reference(symbol))
    return used.value if used is not None and isinstance(used.value, SymbolSettings) else None


class _KeptPosition:
    """Prices a position again and again; while its settings and marks are the same it stays the same object."""

    def __init__(self, position: LedgerPosition) -> None:
        self._position = position
        self._amount_e18, self._base_e18 = parse_e18(position.amount), parse_e18(position.base_price)
        self._quote = pair_of(position.symbol).quote
        self._last: PricedPosition | None = None

    def price(self, inputs: Inputs) -> PricedPosition | None:
        """Price it; None where its settings, its mark or its conversion are missing."""
        settings = settings_of(self._position.symbol, inputs)
        price = None if settings is None else inputs.mark(settings.price)
        conversion = conversion_of(self._quote, inputs)
        if settings is None or price is None or conversion is None:
            return None
        last = self._last
        if last is None or last.settings is not settings or last.price is not price or last.conversion != conversion:
            last = PricedPosition(self._position, self._amount_e18, self._base_e18, settings, price, conversion)
            self._last = last
        return last


class _KeptWallet:
    """Converts a wallet again and again; while its marks are the same it stays the same object."""

    def __init__(self, wallet: Wallet) -> None:
        self._wallet = wallet
        self._balance_e18 = parse_e18(wallet.balance)
        self._last: ConvertedWallet | None = None

    def convert(self, inputs: Inputs) -> ConvertedWallet | None:
        """Find what it is worth; None where its conversion is missing."""
        conversion = conversion_of(self._wallet.currency, inputs)
        if conversion is None:
            return None
        if self._last is None or self._last.conversion != conversion:
            self._last = ConvertedWallet(self._wallet, self._balance_e18, conversion)
        return self._last


class KeptPrices:
    """Prices the same holdings again and again; of what did not move nothing is worked out anew.

    Args:
        holdings: What the account has.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._positions = [_KeptPosition(one) for one in holdings.positions]
        self._wallets = [_KeptWallet(one) for one in margin_wallets(holdings)]

    def price(self, inputs: Inputs) -> Priced:
        """Price all positions and margin wallets."""
        return Priced(
            tuple(one.price(inputs) for one in self._positions), tuple(one.convert(inputs) for one in self._wallets)
        )


def convert_wallet(wallet: Wallet, inputs: Inputs) -> ConvertedWallet | None:
    """Find what a wallet is worth; None where its conversion is missing."""
    return _KeptWallet(wallet).convert(inputs)


def price(holdings: Holdings, inputs: Inputs) -> Priced:
    """Price all positions and margin wallets of an account."""
    return KeptPrices(holdings).price(inputs)


def margin_wallets(holdings: Holdings) -> list[Wallet]:
    """The margin wallets that are not empty: an empty one needs no conversion."""
    return [one for one in holdings.wallets if one.type == "margin" and parse_e18(one.balance)]
