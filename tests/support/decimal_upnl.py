"""What positions gain, in decimals and by code that takes nothing from ``models``: a second witness of its figures."""

from __future__ import annotations

import json
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.replay.bounded_log import LogRecord

_DIGITS = 200
_E18 = Decimal(10) ** 18
_OPEN = {4, 5, 6}
_STATUS, _QUANTITY, _CLOSED, _OPENED, _ACCOUNT, _SYMBOL, _SHORT = 0, 1, 2, 3, 7, 12, 13


def gain_e18(size_e18: int, opened_e18: int, mark: Decimal) -> int:
    """uPnL of a position of a signed size at a mark, truncated toward zero to 1e-18."""
    with localcontext() as context:
        context.prec = _DIGITS
        gain = (mark - Decimal(opened_e18) / _E18) * size_e18
        return int(gain.to_integral_value(rounding=ROUND_DOWN))


def mark_of_tick(record: LogRecord) -> Decimal:
    """The mark that a record of ``price-ticks`` says."""
    said = json.loads(record.value or b"")
    assert said["kind"] == "mark"
    return Decimal(said["mark"])


def newest_mark(records: Iterable[LogRecord], at_ms: int) -> Decimal | None:
    """The newest mark by event time of those written by an instant."""
    written = [one for one in records if one.time_ms <= at_ms]
    newest = max(written, key=lambda one: json.loads(one.value or b"")["event_ms"], default=None)
    return None if newest is None else mark_of_tick(newest)


def contract_positions(snapshot: dict[str, Any], account: str, market: int) -> list[tuple[int, int]]:
    """Signed size and opened price of each position of an account in a market, as the contract's own views answered."""
    return [
        ((-1) ** fields[_SHORT] * (fields[_QUANTITY] - fields[_CLOSED]), fields[_OPENED])
        for fields in snapshot["Q"].values()
        if (fields[_STATUS] in _OPEN, fields[_ACCOUNT].lower(), fields[_SYMBOL]) == (True, account, market)
    ]
