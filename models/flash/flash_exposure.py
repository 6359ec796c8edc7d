"""The line by which the book chooses whom to value: an account's room before liquidation, as marks move a little.

Each position is liquidated by itself, so the room is the least that any of them has. The line moves as all positions
together gain, so that it also says when a row is out of date, and stands at the room at the marks of now. How far the
room of any one position may lie below it, while no mark moves by more than ``MOVE_MAX`` and no more than an hour goes
by, is its slack: found by working the room out at both ends of that range, since between them it is concave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.book_figures import MOVE_MAX, Exposure
from models.flash.basket_worth import found_markets, held_positions, worth_of
from models.flash.flash_listing import Listing
from models.money import E18

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.book_figures import Market
    from models.flash.basket_worth import Held, Worth
    from models.flash.flash_account import FlashAccount
    from models.flash.flash_listing import FoundMarket
    from models.flash.position_terms import QuotedCustody
    from models.venue import Inputs

# The clock of the chain is said every minute; an account that is valued no oftener than once an hour has other worries.
_HELD_S = 3_600
# A dozen roundings of doubles, 1.1e-16 each, and truncations to 1e-6 USD, of each position.
_ROUNDING = 1e-13
_TRUNCATION = 1e-5
_E6 = 10**6
# Prices are integers: the ends of the range, a little beyond MOVE_MAX.
_PARTS = 10**6
_MOVED_PARTS = int(MOVE_MAX * _PARTS) + 1


class _Tangent(NamedTuple):
    """A position's room at the marks of now, how it moves with its mark, and how far it may lie below that."""

    symbol: str
    room: float
    signed: float
    gross: float
    bend: float


def exposure_of(deployment: str, account: FlashAccount, inputs: Inputs) -> Exposure:
    """Draw the line of an account at the marks in use; a suspect one has none.

    Args:
        deployment: The account's.
        account: The account.
        inputs: Marks and references.

    Returns:
        Without amounts while anything is missing: it has its markets alone, so that it is valued when one of them gets
        a mark.
    """
    if account.suspect is not None:
        return Exposure({}, 0.0, 0.0)
    positions = held_positions(account.contents)
    listing = Listing(inputs)
    found = found_markets(positions, listing)
    now_s = listing.time_s(found)
    symbols = {symbol for one in positions for symbol in listing.symbols_of(one.market)}
    signed: dict[Market, float] = {(deployment, symbol): 0.0 for symbol in sorted(symbols)}
    tangents = [
        None if market is None else _tangent(one, market, now_s) for one, market in zip(positions, found, strict=True)
    ]
    drawn = [tangent for tangent in tangents if tangent is not None]
    if len(drawn) < len(positions) or not drawn:
        return Exposure(signed, 0.0, 0.0, slack=0.0 if positions else None)
    for one in drawn:
        signed[deployment, one.symbol] += one.signed
    cost = sum(one.signed * _mark_of(one.symbol, found) for one in drawn)
    room = min(one.room for one in drawn)
    rounding = sum(one.gross for one in drawn) * _ROUNDING + _TRUNCATION * len(drawn)
    return Exposure(signed, cost, room, slack=_slack(drawn, room) + rounding)


def _slack(drawn: list[_Tangent], room: float) -> float:
    """How far the room of any position may lie below the line.

    While the marks of others move, the line moves with them and the room of this one does not.
    """
    swing = sum(one.gross for one in drawn) * MOVE_MAX
    return max(max(room - one.room + swing - one.gross * MOVE_MAX + one.bend, 0.0) for one in drawn)


def _tangent(held: Held, found: FoundMarket, now_s: int) -> _Tangent | None:
    worth = worth_of(held.position, found, now_s)
    if worth is None:
        return None
    gross = worth.notional_e18 / E18
    mark = found.target.mark_e18 / E18
    direction = 1 if found.listed.side.name == "LONG" else -1
    signed = direction * gross / mark
    bends = []
    for moved in _moved(found):
        for at_s in (now_s, now_s + _HELD_S):
            least = worth_of(held.position, moved, at_s)
            if least is None:
                return None
            bends.append(_below(worth, least, direction))
    return _Tangent(found.target_symbol, worth.room_e6 / _E6, signed, gross, max(0.0, *bends))


def _below(worth: Worth, moved: Worth, direction: int) -> float:
    """By how much the room lies below the tangent where the mark has moved, in USD."""
    gained = direction * (moved.notional_e18 - worth.notional_e18) / E18
    return worth.room_e6 / _E6 + gained - moved.room_e6 / _E6


def _moved(found: FoundMarket) -> Iterable[FoundMarket]:
    """The market with its mark at either end of the range, and that of its collateral, which caps gains, at the low."""
    listed = found.listed
    collateral = listed.collateral._replace(quoted=_scaled(listed.collateral.quoted, _PARTS - _MOVED_PARTS))
    for parts in (_PARTS - _MOVED_PARTS, _PARTS + _MOVED_PARTS):
        target = listed.target._replace(quoted=_scaled(listed.target.quoted, parts))
        yield found._replace(listed=listed._replace(target=target, collateral=collateral))


def _scaled(quoted: QuotedCustody, parts: int) -> QuotedCustody:
    spot = quoted.quote.spot
    return quoted._replace(quote=quoted.quote._replace(spot=spot._replace(price=spot.price * parts // _PARTS)))


def _mark_of(symbol: str, found: Iterable[FoundMarket | None]) -> float:
    return next(one.target.mark_e18 / E18 for one in found if one is not None and one.target_symbol == symbol)
