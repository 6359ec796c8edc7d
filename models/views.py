"""Rows as users see them over REST and websockets: one pure function a kind of row.

Money and prices are exact decimal texts. An instant is written twice, as RFC 3339 text (``as_of``) and as decimal text
of nanoseconds (``as_of_ns``). A view holds no null: an unknown field is absent, so that views can be merge-patched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from models.errors import BadRow
from models.ids import market_of_key, split_key
from models.instants import ns_text, rfc3339
from models.money import show_e18

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

View = dict[str, Any]

ABSENT = "absent"
UNSUPPORTED = "unsupported"

_VALUATIONS = "valuations"
_MARKS = "marks"
_MARKETS = "markets"

_FIGURES = ("upnl", "notional", "equity", "available_balance")
_LAST_COMPLETE = ("upnl", "notional", "available_balance")
# The venue's own uPnL is not everywhere, and rows of before have no equity in their last complete figures.
_LAST_MORE = ("upnl_net", "equity")


def absent_account(key: str) -> View:
    """Make the view of an account that has no row; it does not say whether the account exists."""
    deployment, address = split_key(key.encode())
    return {"account": key, "deployment": deployment, "address": address, "status": ABSENT}


def unsupported_account(key: str) -> View:
    """Make the view of an account of an unsupported deployment, whose figures are unknown."""
    return {**absent_account(key), "status": UNSUPPORTED}


class KeptPositions:
    """The positions of one account that were viewed last, so that of one that did not move nothing is made anew.

    They take 2.2 kB a position, from the second time on: most accounts are viewed once and are quiet then. What was
    viewed before changes no view.
    """

    __slots__ = ("_is_first", "_kept")

    def __init__(self) -> None:
        self._is_first = True
        self._kept: dict[object, _Viewed] = {}

    def views(self, body: Mapping[str, Any], *, is_linear: bool) -> View:
        """Make the views of the positions of a ``valuations`` row's body, by id.

        Args:
            body: The body.
            is_linear: Whether the account's venue is.

        Raises:
            KeyError, TypeError, ValueError: The body lacks what it must have.
        """
        viewed_of: dict[object, _Viewed] = {}
        net: dict[int | str, int] | None = {} if is_linear else None
        for position in body["positions"]:
            quote, symbol = position["quote"], position["symbol"]
            viewed = self._kept.get(quote)
            if viewed is None or viewed.position != position:
                viewed = _Viewed(position, *_position(position))
            viewed_of[quote] = viewed
            if net is not None:
                net[symbol] = net.get(symbol, 0) + viewed.signed_e18
        if not self._is_first:
            self._kept = viewed_of
        self._is_first = False
        available = body["available_balance"]
        available_e18 = None if available is None else int(available)
        return {
            str(quote): viewed.view
            if available_e18 is None or viewed.mark_e18 is None
            else {
                **viewed.view,
                **_liquidation(
                    viewed, viewed.mark_e18, available_e18, None if net is None else net[viewed.position["symbol"]]
                ),
            }
            for quote, viewed in viewed_of.items()
        }


class _Viewed(NamedTuple):
    """A position, the part of its view that follows from it alone, its mark, and its quantity, negative if short."""

    position: Mapping[str, Any]
    view: View
    mark_e18: int | None
    signed_e18: int


class ViewedVenue(Protocol):
    """What views take from a venue, as ``models.venue.Venue`` says it."""

    @property
    def is_linear(self) -> bool:
        """Whether it is linear."""

    def view(self, body: Mapping[str, Any], /) -> View:
        """The part of an account's view that is its own."""


class AccountViews:
    """Makes views of accounts: what all have in common, and what their venues add.

    Args:
        venue_of: The venue of a deployment, None where it is not installed. What its view says of ``last_complete`` is
            added to that.
    """

    def __init__(self, venue_of: Callable[[str], ViewedVenue | None]) -> None:
        self._venue_of = venue_of

    def account(self, key: str, body: Mapping[str, Any], kept: KeptPositions | None = None) -> View:
        """Make the view of an account with its figures and its positions by id.

        Args:
            key: ``<deployment>:<account>``.
            body: Body of its ``valuations`` row.
            kept: The account's positions as they were viewed last, for who views them again and again.

        Raises:
            BadRow: The body lacks what it must have.
        """
        return {**self.figures(key, body), "positions": self.positions(key, body, kept)["positions"]}

    def figures(self, key: str, body: Mapping[str, Any]) -> View:
        """Make the view of an account without its positions. Arguments and errors are those of ``account``."""
        view = absent_account(key)
        venue = self._venue_of(view["deployment"])
        try:
            own = {} if venue is None else venue.view(body)
            view |= {
                "status": body["status"],
                **_money(body, _FIGURES),
                "stale": body["stale"],
                "unpriced": body["unpriced"],
                "open_positions": len(body["positions"]),
                # 0 where nothing of the account was ever known.
                **(_instant("as_of", body["as_of_ms"]) if body["as_of_ms"] else {}),
                **{name: body[name] for name in ("liquidatable", "distance_bps", "owner") if body[name] is not None},
                **own,
            }
            # No row says it of itself: models.freshness.aged says it over one.
            if "stale_because" in body:
                view["stale_because"] = body["stale_because"]
            last = body["last_complete"]
            if last is not None:
                view["last_complete"] = {
                    **_money(last, (*_LAST_COMPLETE, *(name for name in _LAST_MORE if name in last))),
                    **_instant("as_of", last["as_of_ms"]),
                    **own.get("last_complete", {}),
                }
        except (KeyError, TypeError, ValueError) as error:
            raise _bad(_VALUATIONS, body, error) from error
        return view

    def positions(self, key: str, body: Mapping[str, Any], kept: KeptPositions | None = None) -> View:
        """Make the view of an account's open positions by id. Arguments and errors are those of ``account``."""
        venue = self._venue_of(key.partition(":")[0])
        is_linear = venue is not None and venue.is_linear
        try:
            kept = KeptPositions() if kept is None else kept
            return {"account": key, "positions": kept.views(body, is_linear=is_linear)}
        except (KeyError, TypeError, ValueError) as error:
            raise _bad(_VALUATIONS, body, error) from error


def mark_view(key: str, body: Mapping[str, Any]) -> View:
    """Make the view of a market's newest price from one source.

    Args:
        key: ``<source>:<symbol>``.
        body: Body of its ``marks`` row.

    Raises:
        BadRow: The body lacks what it must have.
    """
    source, symbol = split_key(key.encode())
    try:
        view: View = {
            "market": key,
            "source": source,
            "symbol": symbol,
            **_money(body, ("mark", "index", "funding_rate")),
            **_instant("event", body["event_ms"]),
            **_instant("received", body["received_ms"]),
            "offset": body["offset"],
        }
        if body["next_funding_ms"]:
            view |= _instant("next_funding", body["next_funding_ms"])
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(_MARKS, body, error) from error
    return view


def market_view(key: str, body: Mapping[str, Any]) -> View:
    """Make the view of a deployment's market.

    Args:
        key: ``<deployment>:<symbol id>``.
        body: Body of its ``markets`` row.

    Raises:
        BadRow: The body lacks what it must have.
    """
    deployment, market = market_of_key(key.encode())
    try:
        if not isinstance(body["name"], str):
            raise _bad(_MARKETS, body, TypeError("expected a name"))
        view: View = {"deployment": deployment, "symbol_id": market, "symbol": body["name"]}
        view |= _money(body, ("min_acceptable_quote_value", "min_acceptable_portion_lf", "trading_fee", "max_leverage"))
        for name in ("is_valid", "funding_rate_epoch_duration_s", "funding_rate_window_s"):
            if body[name] is not None:
                view[name] = body[name]
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(_MARKETS, body, error) from error
    return view


def liquidation_price_e18(available_e18: int, mark_e18: int, net_quantity_e18: int) -> int | None:
    """Find the price of a symbol at which the account can be liquidated, while all other prices stay the same.

    Args:
        available_e18: What is left before liquidation now, signed.
        mark_e18: The symbol's mark, positive.
        net_quantity_e18: Open quantity of all the account's positions in it, negative where they are short on balance.

    Returns:
        The price, floored, 1e18-scaled; None where no positive price liquidates the account. The contract truncates
        each quote, so its own limit may be some units of 1e-18 away.
    """
    if not net_quantity_e18:
        return None
    price = mark_e18 - available_e18 * 10**18 // net_quantity_e18
    return price if price > 0 else None


def _position(position: Mapping[str, Any]) -> tuple[View, int | None, int]:
    """The part of a position's view that follows from itself alone, its mark, and its signed quantity."""
    view: View = {
        "quote_id": position["quote"],
        "symbol_id": position["symbol"],
        "side": position["side"],
        **({"party_b": position["party_b"]} if "party_b" in position else {}),
        **_money(position, ("quantity", "opened_price", "mark", "upnl", "notional")),
        "stale": position["stale"],
    }
    quantity = int(position["quantity"])
    signed_e18 = quantity if position["side"] == "long" else -quantity
    if position["mark"] is None:
        return view, None, signed_e18
    view |= {"market": position["mark_key"], "mark_offset": position["mark_offset"]}
    return view, int(position["mark"]), signed_e18


def _liquidation(viewed: _Viewed, mark_e18: int, available_e18: int, net_quantity_e18: int | None) -> View:
    """The part of a position's view that follows from the whole account, empty where nothing liquidates it.

    Where neither the position says it nor the account is linear, so that there is no net quantity, it is not known.
    """
    if "liquidation_price" in viewed.position:
        said = viewed.position["liquidation_price"]
        price_e18 = None if said is None else int(said)
    elif net_quantity_e18 is None:
        price_e18 = None
    else:
        price_e18 = liquidation_price_e18(available_e18, mark_e18, net_quantity_e18)
    if price_e18 is None:
        return {}
    return {
        "liquidation_price": show_e18(str(price_e18)),
        "liquidation_distance_bps": abs(price_e18 - mark_e18) * 10_000 // mark_e18,
    }


def _money(body: Mapping[str, Any], names: tuple[str, ...]) -> View:
    return {name: show_e18(body[name]) for name in names if body[name] is not None}


def _instant(name: str, unix_ms: int) -> View:
    return {name: rfc3339(unix_ms), f"{name}_ns": ns_text(unix_ms)}


def _bad(table: str, body: Mapping[str, Any], error: Exception) -> BadRow:
    return BadRow(f"expected the body of a {table} row, found {dict(body)!r:.200} ({error!r})")
