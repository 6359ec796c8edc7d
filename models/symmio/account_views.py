"""What users are shown of a SYMMIO account beside what accounts of all venues have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.instants import ns_text, rfc3339
from models.money import format_e18, show_e18
from models.symmio.margin import classify_liquidation
from models.symmio.state import Balances, Locked

if TYPE_CHECKING:
    from collections.abc import Mapping

View = dict[str, Any]

_FIGURES = ("upnl_capped", "notional_opened", "available_for_quote", "allocated")
_LOCKED = ("cva", "lf", "party_a_mm", "party_b_mm")


def account_extras(body: Mapping[str, Any]) -> View:
    """Make the part of an account's view that is SYMMIO's own.

    Args:
        body: Body of its ``valuations`` row.

    Raises:
        KeyError: The body lacks what it must have.
    """
    unix_ms = body["time_s"] * 1000
    view: View = {
        **{name: show_e18(body[name]) for name in _FIGURES if body[name] is not None},
        "liquidating": body["liquidating"],
        "block": body["block"],
        "block_time": rfc3339(unix_ms),
        "block_time_ns": ns_text(unix_ms),
        **{name: body[name] for name in ("multi_account", "name") if body[name] is not None},
        **{name: _locked(body[name]) for name in ("locked", "pending") if body[name] is not None},
    }
    if body["liquidatable"]:
        view |= _liquidation(body)
    last = body["last_complete"]
    if last is not None:
        locked = {name: _locked(last[name]) for name in ("locked", "pending")}
        view["last_complete"] = {"allocated": show_e18(last["allocated"]), **locked}
    return view


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


def _locked(amounts: list[str]) -> View:
    return {name: show_e18(amount) for name, amount in zip(_LOCKED, amounts, strict=True)}
