"""Rows as users see them over REST and websockets: one pure function a kind of row.

Money and prices are exact decimal texts. An instant is written twice, as RFC 3339 text (``as_of``) and as decimal text
of nanoseconds (``as_of_ns``). A view holds no null: an unknown field is absent, so that views can be merge-patched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.errors import BadRow
from models.ids import split_key
from models.instants import ns_text, rfc3339
from models.money import format_e18
from models.symmio.margin import classify_liquidation
from models.symmio.state import Balances, Locked

if TYPE_CHECKING:
    from collections.abc import Mapping

View = dict[str, Any]

ABSENT = "absent"
UNSUPPORTED = "unsupported"

_VALUATIONS = "valuations"
_MARKS = "marks"
_MARKETS = "markets"

_FIGURES = (
    "upnl",
    "upnl_capped",
    "notional",
    "notional_opened",
    "equity",
    "available_balance",
    "available_for_quote",
    "allocated",
)
_LOCKED = ("cva", "lf", "party_a_mm", "party_b_mm")
_LAST_COMPLETE = ("upnl", "notional", "available_balance", "allocated")


def absent_account(key: str) -> View:
    """Make the view of an account that has no row; it does not say whether the account exists."""
    deployment, address = split_key(key.encode())
    return {"account": key, "deployment": deployment, "address": address, "status": ABSENT}


def unsupported_account(key: str) -> View:
    """Make the view of an account of an unsupported deployment, whose figures are unknown."""
    return {**absent_account(key), "status": UNSUPPORTED}


def account_view(key: str, body: Mapping[str, Any]) -> View:
    """Make the view of an account with its figures and its positions by quote id.

    Args:
        key: ``<deployment>:<address>``.
        body: Body of its ``valuations`` row.

    Raises:
        BadRow: The body lacks what it must have.
    """
    return {**figures_view(key, body), "positions": positions_view(key, body)["positions"]}


def figures_view(key: str, body: Mapping[str, Any]) -> View:
    """Make the view of an account without its positions. Arguments and errors are those of ``account_view``."""
    try:
        view: View = {
            **absent_account(key),
            "status": body["status"],
            **_money(body, _FIGURES),
            "liquidating": body["liquidating"],
            "stale": body["stale"],
            "unpriced": body["unpriced"],
            "open_positions": len(body["positions"]),
            "block": body["block"],
            **_instant("block_time", body["time_s"] * 1000),
            **_instant("as_of", body["as_of_ms"]),
        }
        # No row says it of itself: models.freshness.aged says it over one.
        if "stale_because" in body:
            view["stale_because"] = body["stale_because"]
        if body["liquidatable"]:
            view |= _liquidation(body)
        for name in ("liquidatable", "distance_bps", "owner", "multi_account", "name"):
            if body[name] is not None:
                view[name] = body[name]
        for name in ("locked", "pending"):
            if body[name] is not None:
                view[name] = _locked(body[name])
        last = body["last_complete"]
        if last is not None:
            view["last_complete"] = {
                **_money(last, _LAST_COMPLETE),
                "locked": _locked(last["locked"]),
                "pending": _locked(last["pending"]),
                **_instant("as_of", last["as_of_ms"]),
            }
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(_VALUATIONS, body, error) from error
    return view


def positions_view(key: str, body: Mapping[str, Any]) -> View:
    """Make the view of an account's open positions by quote id. Arguments and errors are those of ``account_view``."""
    try:
        available = body["available_balance"]
        net = _net_quantities(body["positions"])
        return {
            "account": key,
            "positions": {
                str(position["quote"]): _position(position, available, net[position["symbol"]])
                for position in body["positions"]
            },
        }
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
    deployment, symbol_id = split_key(key.encode())
    try:
        view: View = {"deployment": deployment, "symbol_id": int(symbol_id), "symbol": body["name"]}
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


def _liquidation(body: Mapping[str, Any]) -> View:
    """Make the view of a liquidation now: its class, the liquidators' fee, and what parties B would miss."""
    balances = Balances(int(body["allocated"]), Locked(*map(int, body["locked"])), Locked(*map(int, body["pending"])))
    liquidation = classify_liquidation(balances, int(body["upnl"]))
    if liquidation is None:
        return {}
    return {
        "liquidation": {
            "class": liquidation.liquidation_type.value,
            "fee": format_e18(liquidation.fee),
            "deficit": format_e18(liquidation.deficit),
        }
    }


def _position(position: Mapping[str, Any], available: str | None, net_quantity_e18: int) -> View:
    view: View = {
        "quote_id": position["quote"],
        "symbol_id": position["symbol"],
        "side": position["side"],
        "party_b": position["party_b"],
        **_money(position, ("quantity", "opened_price", "mark", "upnl", "notional")),
        "stale": position["stale"],
    }
    if position["mark"] is None:
        return view
    view |= {"market": position["mark_key"], "mark_offset": position["mark_offset"]}
    if available is not None:
        mark_e18 = int(position["mark"])
        price_e18 = liquidation_price_e18(int(available), mark_e18, net_quantity_e18)
        if price_e18 is not None:
            view["liquidation_price"] = format_e18(price_e18)
            view["liquidation_distance_bps"] = abs(price_e18 - mark_e18) * 10_000 // mark_e18
    return view


def _net_quantities(positions: list[Mapping[str, Any]]) -> dict[int, int]:
    net: dict[int, int] = {}
    for position in positions:
        quantity = int(position["quantity"])
        signed = quantity if position["side"] == "long" else -quantity
        net[position["symbol"]] = net.get(position["symbol"], 0) + signed
    return net


def _money(body: Mapping[str, Any], names: tuple[str, ...]) -> View:
    return {name: format_e18(int(body[name])) for name in names if body[name] is not None}


def _locked(amounts: list[str]) -> View:
    return {name: format_e18(int(amount)) for name, amount in zip(_LOCKED, amounts, strict=True)}


def _instant(name: str, unix_ms: int) -> View:
    return {name: rfc3339(unix_ms), f"{name}_ns": ns_text(unix_ms)}


def _bad(table: str, body: Mapping[str, Any], error: Exception) -> BadRow:
    return BadRow(f"expected the body of a {table} row, found {dict(body)!r:.200} ({error!r})")
