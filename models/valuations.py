"""What the valuations of every venue have in common: their status, their columns, and the last complete figures.

Core reads these columns of a body, and passes all others on as they are. Money is decimal text of 1e18-scaled ints, in
the collateral at SYMMIO and in USD of a ledger; docs/figures.md says what each figure is made of at which venue.

| column | meaning |
|---|---|
| ``status`` | one of the statuses below |
| ``stale``, ``unpriced`` | number of positions whose mark is stale, or that have none |
| ``upnl``, ``notional`` | price-only uPnL at mark, before fees; sum of abs(size) x mark; None where unknown |
| ``upnl_net`` | what the venue itself counts, such as uPnL less fees of closing; absent where that is ``upnl`` |
| ``equity``, ``available_balance`` | worth of the account; what is left of it before liquidation; None where unknown |
| ``liquidatable``, ``distance_bps`` | whether it can be liquidated; how many bps of notional uPnL may fall until then |
| ``liquidatable_hedgers`` | the hedgers that can be liquidated toward the account; absent where there are none |
| ``as_of_ms`` | event time of the oldest mark used, Unix ms; without marks, that of its last record, 0: not known |
| ``conversions`` | the marks by which amounts became money, by market; absent where a venue has none |
| ``owner`` | who owns the account, None where that is not known |
| ``positions`` | the positions, see below |
| ``last_complete`` | the last figures that were complete, while the status is ``unpriced``; else None |
| ``made_from`` | core's own: what the figures were made from (``models/provenance.py``) |

| column of a position | meaning |
|---|---|
| ``quote``, ``symbol`` | the position's id, and its market's; each is a number or a text |
| ``side``, ``quantity`` | ``long`` or ``short``; the open amount, >= 0 |
| ``opened_price`` | its average entry price |
| ``mark``, ``mark_key``, ``mark_offset``, ``stale`` | what it is valued at, and whether that is stale |
| ``upnl``, ``notional`` | as of the account; None where there is no mark |
| ``party_b`` | its one counterparty, absent where a venue has none |
| ``liquidation_price`` | at which mark the account can be liquidated, None: at none; absent: as core works it out |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.body_reader import no_row
from models.codec import NUMBER_MAX, decode_row
from models.provenance import MADE_FROM, with_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

Body = dict[str, Any]

VALUED = "valued"
UNPRICED = "unpriced"
SUSPECT = "suspect"
UNSUPPORTED = "unsupported"
NO_ACCOUNT = "nobody"

NOWHERE = (-1, -1)
"""The position of an account of which it cannot be read what was folded into it."""

LIQUIDATABLE_HEDGERS = "liquidatable_hedgers"

_BPS = 10_000
_LAST_COMPLETE = (
    *("upnl", "upnl_net", "notional", "equity", "available_balance"),
    *("allocated", "locked", "pending", "as_of_ms"),
)


def distance_bps(available_e18: int, notional_e18: int) -> int | None:
    """By how many bps of its notional an account's uPnL may fall until the account can be liquidated.

    A body's number has 63 bits, and a fortune beside dust is farther from liquidation than these say: it is shown as
    the farthest that they do.

    Args:
        available_e18: What is left before liquidation, signed.
        notional_e18: The notional, >= 0.

    Returns:
        None where there is no notional; negative where the account can be liquidated.
    """
    if not notional_e18:
        return None
    return max(-NUMBER_MAX, min(available_e18 * _BPS // notional_e18, NUMBER_MAX))


def with_last_complete(previous: Mapping[str, Any] | None, body: Body) -> Body:
    """Carry the last complete figures into the body of an account that has an unpriced position.

    Args:
        previous: Body of the row before, None where there is none.
        body: Body of the new row.

    Returns:
        ``body``, with ``last_complete`` set where its status is unpriced and complete figures are known.
    """
    if previous is None or body["status"] != UNPRICED:
        return body
    if previous["status"] == VALUED:
        complete = {name: previous[name] for name in _LAST_COMPLETE if name in previous}
        # A row of before names no provenance.
        made = {MADE_FROM: with_inputs(previous[MADE_FROM], previous)} if MADE_FROM in previous else {}
        return {**body, "last_complete": {**complete, **made}}
    return {**body, "last_complete": previous["last_complete"]}


def with_last_complete_of_row(body: Body, row: bytes) -> Body:
    """The same, with the row before as it is encoded, its ``ORDER_BYTES`` included.

    Raises:
        BadRow: It is no row of an account's valuation.
    """
    try:
        return with_last_complete(decode_row(row).body, body)
    except (AttributeError, KeyError, TypeError) as error:
        raise no_row(row, "valuations", error) from error


def as_of_row(row: bytes) -> int:
    """As of when an account's valuation is, in Unix ms.

    Raises:
        BadRow: ``row`` is no row of an account's valuation.
    """
    as_of_ms = decode_row(row).body.get("as_of_ms")
    if type(as_of_ms) is not int:
        raise no_row(row, "valuations", TypeError(f"expected as_of_ms in Unix ms, found {as_of_ms!r:.200}"))
    return as_of_ms


def unknown_figures(account_order: tuple[int, int], position: tuple[int, int], as_of_ms: int) -> Body:
    """The columns of an account of which its venue can say nothing, as those of a suspect one.

    Args:
        account_order: Term and version of its row.
        position: The log offset of the last record folded, ``NOWHERE`` where that cannot be read either.
        as_of_ms: As of when they were known last, Unix ms.
    """
    return {
        "account_order": list(account_order),
        "position": list(position),
        "status": SUSPECT,
        "stale": 0,
        "unpriced": 0,
        "upnl": None,
        "notional": None,
        "equity": None,
        "available_balance": None,
        "liquidatable": None,
        "distance_bps": None,
        "as_of_ms": as_of_ms,
        "positions": [],
        "owner": None,
        "last_complete": None,
    }
