"""Funding rates of longs and shorts for the next epoch of a market, computed from the rate of an exchange.

A rate is a fraction of a position's value per epoch, 1e18-scaled. It is signed as the REST and websocket interfaces
sign it: positive where party B pays party A. The contract signs it the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.ids import split_key
from models.instants import ns_text, rfc3339
from models.money import E18, format_e18

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARE_E18 = E18 * 3 // 4
"""The share that the side that gets funding is given of what the other side pays; the solver keeps the rest."""

MAX_RATE_E18 = E18 // 100
"""The greatest rate: 1 % an epoch. Exchanges charge less, so a greater one is taken for a fault of the source."""

# The live service writes nine, and more only where a rate has more.
_DECIMALS = 9


class FundingRates(NamedTuple):
    """Rates of the next epoch, as party A sees them: negative where it pays."""

    long_e18: int
    short_e18: int


def funding_rates(
    rate_e18: int,
    *,
    epoch_s: int,
    interval_s: int | None,
    share_e18: int = SHARE_E18,
    max_rate_e18: int = MAX_RATE_E18,
) -> FundingRates:
    """Compute the rates of an epoch from an exchange's rate.

    One side pays the exchange's rate, scaled from the exchange's interval to the epoch and capped; the other gets its
    share of what is paid. So the share holds at the cap too: the solver never passes on more than that of what it
    takes. Each is rounded toward zero once, at the end.

    Args:
        rate_e18: The exchange's rate for one of its intervals, signed; longs pay it where it is positive.
        epoch_s: The market's funding epoch on chain in s, positive.
        interval_s: The exchange's funding interval of the symbol in s, positive. None where it is unknown or rates are
            not to be scaled: the exchange's rate is then taken for that of an epoch.
        share_e18: The share of the rate that the side that gets funding is given, 0 to 1e18.
        max_rate_e18: The greatest rate that a side pays, positive.

    Returns:
        The rates; their signs are opposite, unless one is zero.
    """
    paid, of = abs(rate_e18) * epoch_s, interval_s or epoch_s
    if paid > max_rate_e18 * of:
        paid, of = max_rate_e18, 1
    pays_e18, gets_e18 = -(paid // of), paid * share_e18 // (of * E18)
    return FundingRates(pays_e18, gets_e18) if rate_e18 >= 0 else FundingRates(gets_e18, pays_e18)


def next_epoch_ms(now_ms: int, epoch_s: int) -> int:
    """Compute when the next funding epoch begins, in Unix ms; an epoch that begins now is not the next one."""
    epoch_ms = epoch_s * 1000
    return (now_ms // epoch_ms + 1) * epoch_ms


def funding_view(rates: FundingRates, *, epoch_s: int, now_ms: int) -> dict[str, Any]:
    """Make a market's entry in ``get_funding_info`` and ``funding-rate-ws``.

    Args:
        rates: The rates of the next epoch.
        epoch_s: The market's funding epoch in s, positive.
        now_ms: The time now, in Unix ms.
    """
    return {
        "next_funding_time": next_epoch_ms(now_ms, epoch_s),
        "next_funding_rate_short": rate_text(rates.short_e18),
        "next_funding_rate_long": rate_text(rates.long_e18),
        "funding_rate_epoch_duration": epoch_s,
    }


def rate_text(rate_e18: int) -> str:
    """Write a rate as exact decimal text of nine decimals or more, ``"0"`` for zero."""
    text = format_e18(rate_e18)
    if not rate_e18:
        return text
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(_DECIMALS, '0')}"


def next_funding_view(key: str, view: Mapping[str, Any]) -> dict[str, Any]:
    """Make the view of a market's funding for our own protocol.

    Args:
        key: ``<deployment>:<symbol>``.
        view: The market's ``funding_view``.
    """
    deployment, symbol = split_key(key.encode())
    at_ms = view["next_funding_time"]
    return {
        "funding": key,
        "deployment": deployment,
        "symbol": symbol,
        "long_rate": view["next_funding_rate_long"],
        "short_rate": view["next_funding_rate_short"],
        "epoch_s": view["funding_rate_epoch_duration"],
        "next": rfc3339(at_ms),
        "next_ns": ns_text(at_ms),
    }
