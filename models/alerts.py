"""Which alarms of an account are on, and the transitions by which they came on and went off, once each.

``liquidatable``: the contract would let the account be liquidated. ``stale`` and ``unpriced``: a position's mark is
stale, or there is none. ``unknown``: the account is suspect or its deployment unsupported.

What cannot be seen stays as it was: an account is neither called liquidatable nor recovered while it is unpriced, and
nothing but ``unknown`` is said of one that is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from models.codec import ORDER_BYTES
from models.errors import BadRow
from models.provenance import MADE_FROM, with_inputs
from models.valuations import SUSPECT, UNSUPPORTED

if TYPE_CHECKING:
    from collections.abc import Mapping

Body = dict[str, Any]

# Alarms are bits of a number: one is compared for every valuation, and kept for every account that has any on.
QUIET = 0
LIQUIDATABLE, STALE, UNPRICED, UNKNOWN = 1, 2, 4, 8

KINDS = {
    LIQUIDATABLE: ("liquidatable", "recovered"),
    STALE: ("stale", "fresh"),
    UNPRICED: ("unpriced", "priced"),
    UNKNOWN: ("unknown", "known"),
}
"""What a transition is called that turns an alarm on, and one that turns it off. An alarm is called by the former."""

# Of each alarm: a mark that comes and goes does not push out when the account became liquidatable. 32 of 400 bytes are
# 13 kB a row.
TRANSITIONS_OF_ONE_ALARM = 8
_ALARM_OF = {kind: alarm for alarm, kinds in KINDS.items() for kind in kinds}
_COUNTS = ("block", "status", "stale", "unpriced")
_FIGURES = (*_COUNTS, "upnl", "notional", "available_balance", "distance_bps", "liquidating")


class _Cells(msgspec.Struct):
    alarms: tuple[str, ...]


_decoder = msgspec.json.Decoder(_Cells)


def alarms_of_row(value: bytes) -> int:
    """The alarms that are on by an encoded row of the ``alerts`` table, its ``ORDER_BYTES`` included.

    Raises:
        BadRow: It is no such row.
    """
    try:
        return sum(_ALARM_OF[name] for name in _decoder.decode(memoryview(value)[ORDER_BYTES:]).alarms)
    except (msgspec.DecodeError, KeyError) as error:
        msg = f"expected a row of alerts, found {value!r:.200} ({error!r})"
        raise BadRow(msg) from error


def alarms_of(valuation: Mapping[str, Any], standing: int) -> int:
    """The alarms that are on by a valuation.

    Args:
        valuation: Body of the account's ``valuations`` row.
        standing: The alarms that were on; what the valuation cannot tell is as it was.
    """
    if valuation["status"] in (SUSPECT, UNSUPPORTED):
        return standing | UNKNOWN
    if valuation["unpriced"]:
        alarms = standing & LIQUIDATABLE | UNPRICED
    else:
        alarms = LIQUIDATABLE if valuation["liquidatable"] else QUIET
    return alarms | STALE if valuation["stale"] else alarms


def with_transitions(
    key: bytes, standing: Mapping[str, Any] | None, alarms: int, valuation: Mapping[str, Any], made: Mapping[str, Any]
) -> Body:
    """The body of an account's ``alerts`` row after a valuation by which other alarms are on than the row says.

    Args:
        key: The account's key; with kind and ordinal it makes a transition's id.
        standing: The row's body, None where there is none.
        alarms: The alarms that are on now.
        valuation: Body of the ``valuations`` row that shows it.
        made: That row's provenance.
    """
    before = QUIET if standing is None else sum(_ALARM_OF[name] for name in standing["alarms"])
    count: int = 0 if standing is None else standing["count"]
    transitions: list[Body] = [] if standing is None else standing["transitions"]
    for alarm, (on, off) in KINDS.items():
        if (alarms ^ before) & alarm:
            count += 1
            kind = on if alarms & alarm else off
            new = _transition(f"{key.decode()}:{kind}:{count}", kind, valuation, made)
            transitions = _newest([new, *transitions], alarm)
    return {
        "alarms": [on for alarm, (on, _) in KINDS.items() if alarms & alarm],
        "count": count,
        "transitions": transitions,
    }


def _transition(transition_id: str, kind: str, valuation: Mapping[str, Any], made: Mapping[str, Any]) -> Body:
    return {
        "id": transition_id,
        "kind": kind,
        "as_of_ms": valuation["as_of_ms"],
        **{name: valuation[name] for name in _FIGURES if name in valuation},
        MADE_FROM: with_inputs(made, valuation),
    }


def _newest(transitions: list[Body], alarm: int) -> list[Body]:
    """Newest first, without the last of ``alarm`` where there are too many of it."""
    of_alarm = [at for at, transition in enumerate(transitions) if _ALARM_OF[transition["kind"]] == alarm]
    if len(of_alarm) > TRANSITIONS_OF_ONE_ALARM:
        del transitions[of_alarm[-1]]
    return transitions
