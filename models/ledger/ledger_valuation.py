"""An account's columns of ``valuations`` (models/valuations.py), all money in USD.

``upnl`` and ``notional`` are of the price alone. ``upnl_net`` is the venue's own: what closing everything now would
bring, fees taken off. ``equity`` is what the margin wallets have and ``upnl_net``; ``available_balance`` is equity less
the required margin, so that the account is liquidatable where its equity is below that. ``unpriced`` and ``stale``
count positions, and margin wallets whose currency is converted. A position's id is its symbol, and its ``symbol`` the
market that it is valued at; ``upnl`` and ``notional`` of it are in USD, prices in the symbol's quote currency.
``conversions`` names the marks by which amounts became USD, as positions do theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.book_figures import Shown
from models.ids import canonical_id
from models.ledger.ledger_pricing import KeptPrices, Priced, settings_of
from models.ledger.liquidation_price import Liquidations
from models.money import E18, parse_e18, show_e18
from models.valuations import NO_ACCOUNT, SUSPECT, UNPRICED, UNSUPPORTED, VALUED, Body, distance_bps
from models.venue import Valued

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.ledger.ledger_account import LedgerAccount
    from models.ledger.ledger_objects import LedgerPosition
    from models.ledger.ledger_pricing import PricedPosition
    from models.prices import UsedMark
    from models.venue import Inputs

_NOTHING = Priced((), ())


class LedgerValuer:
    """Values one account again and again; of what did not move nothing is worked out anew.

    What was valued before changes no figure: a valuer that was just made gives the same. Bodies share the positions
    that did not move, so nobody may change them.

    Args:
        held: The account.
        term: The term of its row.
    """

    def __init__(self, held: LedgerAccount, term: int) -> None:
        self._held = held
        self._term = term
        self._prices = KeptPrices(held.holdings)
        self._shown: list[_Shown | None] = [None] * len(held.holdings.positions)

    def value(self, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the account.

        Args:
            inputs: Marks and settings.
            unsupported: Whether its deployment is unsupported, so that its figures are unknown.
        """
        held, holdings = self._held, self._held.holdings
        unknown = _unknown(held, unsupported=unsupported)
        priced = self._prices.price(inputs) if unknown is None else _NOTHING
        is_complete = unknown is None and priced.is_complete
        upnl, notional, figures = 0, 0, dict.fromkeys(("upnl", "upnl_net", "notional", "equity", "available_balance"))
        available = 0
        if is_complete:
            upnl = sum(one.upnl_usd_e18 for one in priced.known_positions)
            notional = sum(one.notional_usd_e18 for one in priced.known_positions)
            equity, net = priced.net_usd_e18, priced.pl_usd_e18
            available = equity - priced.required_usd_e18
            figures = _texts(upnl=upnl, upnl_net=net, notional=notional, equity=equity, available_balance=available)
        used = [mark for one in priced.known_positions for mark in one.marks]
        used += [leg.mark for one in priced.known_wallets for leg in one.conversion.legs]
        body: Body = {
            "account_order": [self._term, held.version],
            "position": list(held.applied),
            "seq": holdings.seq,
            "status": (VALUED if is_complete else UNPRICED) if unknown is None else unknown,
            "stale": _stale(priced),
            "unpriced": priced.positions.count(None) + priced.wallets.count(None),
            **figures,
            "liquidatable": available < 0 if is_complete else None,
            "distance_bps": distance_bps(available, notional) if is_complete else None,
            "as_of_ms": min((mark.event_ms for mark in used), default=holdings.time_ms),
            "positions": self._positions(priced, inputs if unknown is None else None, is_complete=is_complete),
            "conversions": _conversions(priced),
            # Readers name an owner by the one spelling of an id.
            "owner": None if holdings.owner is None else canonical_id(holdings.owner),
            "last_complete": None,
        }
        return Valued(body, Shown(available / E18, notional / E18) if is_complete else None)

    def _positions(self, priced: Priced, inputs: Inputs | None, *, is_complete: bool) -> list[Body]:
        """The row's parts of all positions; without ``inputs`` their figures are unknown."""
        positions = self._held.holdings.positions
        prices = priced.positions if inputs is not None else (None,) * len(positions)
        liquidations = Liquidations(priced) if is_complete else None
        bodies = []
        for at, (position, found) in enumerate(zip(positions, prices, strict=True)):
            if found is None:
                bodies.append(_position(position, None, None, inputs))
                continue
            liquidation = None if liquidations is None else liquidations.price_e18(found)
            shown = self._shown[at]
            if shown is None or shown.found is not found or shown.liquidation_e18 != liquidation:
                body = _position(position, found, liquidation, inputs)
                shown = self._shown[at] = _Shown(found, liquidation, body)
            bodies.append(shown.body)
        return bodies


class _Shown(NamedTuple):
    """The row's part of a position, and what it was made of."""

    found: PricedPosition
    liquidation_e18: int | None
    body: Body


def value_account(held: LedgerAccount, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
    """Value an account, as one that was never valued before.

    Args:
        held: The account.
        term: The term of its row.
        inputs: Marks and settings.
        unsupported: Whether its deployment is unsupported, so that its figures are unknown.
    """
    return LedgerValuer(held, term).value(inputs, unsupported=unsupported)


def ledger_extras(body: Mapping[str, Any]) -> dict[str, Any]:
    """What users are shown beside what all accounts have: the venue's own uPnL, and how far the ledger is folded."""
    shown: dict[str, Any] = {"seq": str(body["seq"])}
    if body["upnl_net"] is not None:
        shown["upnl_net"] = show_e18(body["upnl_net"])
    return shown


def _unknown(held: LedgerAccount, *, unsupported: bool) -> str | None:
    if unsupported:
        return UNSUPPORTED
    if held.holdings.suspect is not None:
        return SUSPECT
    return None if held.holdings.seq else NO_ACCOUNT


def _texts(**figures: int) -> dict[str, str | None]:
    return {name: str(value) for name, value in figures.items()}


def _conversions(priced: Priced) -> Body:
    """The marks by which amounts became USD, by market; each names its tick, and says whether it is stale."""
    conversions = [one.conversion for one in priced.known_positions] + [one.conversion for one in priced.known_wallets]
    legs = {leg.market: leg.mark for conversion in conversions for leg in conversion.legs}
    return {
        market: {"mark": str(mark.mark_e18), "mark_key": mark.key, "mark_offset": mark.offset, "stale": mark.stale}
        for market, mark in sorted(legs.items())
    }


def _stale(priced: Priced) -> int:
    stale = sum(any(mark.stale for mark in one.marks) for one in priced.known_positions)
    return stale + sum(any(leg.mark.stale for leg in one.conversion.legs) for one in priced.known_wallets)


def _position(
    position: LedgerPosition,
    found: PricedPosition | None,
    liquidation_e18: int | None,
    inputs: Inputs | None,
) -> Body:
    """The row's part of a position.

    Args:
        position: The position.
        found: It at its marks, None where anything is missing.
        liquidation_e18: The price at which the account is liquidated by it, None where there is none.
        inputs: Marks and settings; without them its figures are unknown.
    """
    amount_e18 = parse_e18(position.amount)
    settings = None if inputs is None else settings_of(position.symbol, inputs)
    market = position.symbol if settings is None else settings.price
    mark: UsedMark | None = None
    if found is not None:
        mark = found.price
    elif inputs is not None and settings is not None:
        # It lacks its conversion: what the market says is shown all the same.
        mark = inputs.mark(settings.price)
    return {
        "quote": position.symbol,
        "symbol": market,
        "side": "long" if amount_e18 > 0 else "short",
        "quantity": str(abs(amount_e18)),
        "opened_price": str(parse_e18(position.base_price)),
        "mark": None if mark is None else str(mark.mark_e18),
        "mark_key": None if mark is None else mark.key,
        "mark_offset": None if mark is None else mark.offset,
        "upnl": None if found is None else str(found.upnl_usd_e18),
        "notional": None if found is None else str(found.notional_usd_e18),
        "liquidation_price": None if liquidation_e18 is None else str(liquidation_e18),
        "stale": any(one.stale for one in found.marks) if found is not None else mark is not None and mark.stale,
    }
