"""The object that legacy clients read, made of a row of ``valuations``, and the address that they send. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from models.errors import BadRow
from models.money import format_e18

if TYPE_CHECKING:
    from collections.abc import Mapping

# Clients send the bare address; some JSON-encode it first. A quote must stand on both sides or on neither.
_ADDRESS = re.compile(r"""\s*("?)\s*(0x[0-9a-f]{40})\s*\1\s*""", re.IGNORECASE)


def parse_address(text: str) -> str | None:
    """Read an address out of a client's message.

    Args:
        text: ``0x`` and 40 hex digits in any case, with or without JSON quotes and white space around.

    Returns:
        The address in lower case, or None where the text is anything else.
    """
    match = _ADDRESS.fullmatch(text)
    return None if match is None else match.group(2).lower()


def upnl_object(body: Mapping[str, Any]) -> dict[str, str | int] | None:
    """Build the uPnL object of an account.

    Money is exact decimal text in units of the collateral, ``upnl`` and ``available_balance`` signed. ``timestamp`` is
    in seconds: when the oldest mark used was true, or the block's time where no mark is used. An account with a
    position that has no price shows its last complete figures under their old timestamp.

    Args:
        body: Body of a ``valuations`` row.

    Returns:
        The object, or None where the figures are unknown: unknown is not zero.

    Raises:
        BadRow: The body lacks a figure it must have.
    """
    match body.get("status"):
        case "valued":
            return _render(body)
        case "unpriced":
            last_complete = body.get("last_complete")
            return None if last_complete is None else _render(last_complete)
        case _:
            return None


def _render(figures: Mapping[str, Any]) -> dict[str, str | int]:
    try:
        cva, lf, party_a_mm, party_b_mm = figures["locked"]
        pending_cva, pending_lf, pending_party_a_mm, pending_party_b_mm = figures["pending"]
        money_e18 = {
            "upnl": figures["upnl"],
            "notional": figures["notional"],
            "available_balance": figures["available_balance"],
            "allocated_balance": figures["allocated"],
            "cva": cva,
            "lf": lf,
            "party_a_mm": party_a_mm,
            "party_b_mm": party_b_mm,
            "pending_cva": pending_cva,
            "pending_lf": pending_lf,
            "pending_party_a_mm": pending_party_a_mm,
            "pending_party_b_mm": pending_party_b_mm,
        }
        texts = {name: format_e18(int(value)) for name, value in money_e18.items()}
        return {**texts, "timestamp": int(figures["as_of_ms"]) // 1000}
    except (KeyError, TypeError, ValueError) as error:
        msg = f"expected complete figures in a valuations row, found {dict(figures)!r:.200} ({error!r})"
        raise BadRow(msg) from error
