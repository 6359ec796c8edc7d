"""Which alarms of an account are on, and the transitions by which they came on and went off, once each.

``liquidatable``: the contract would let the account be liquidated. ``stale`` and ``unpriced``: a position's mark is
stale, or there is none. ``unknown``: the account is suspect or its deployment unsupported. ``hedger_liquidatable``: the
contract would let a hedger be liquidated toward the account; each hedger of an account comes and goes by itself.

What cannot be seen stays as it was: an account is neither called liquidatable nor recovered while it is unpriced, and
nothing but ``unknown`` is said of one that is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from models.codec import ORDER_BYTES
from models.errors import BadRow
from models.provenance import MADE_FROM, with_inputs
from models.valuations import LIQUIDATABLE_HEDGERS, SUSPECT, UNSUPPORTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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

# Of each alarm, and of each hedger: a mark that comes and goes does not push out when the account became liquidatable.
# 32 of 400 bytes are 13 kB a row, and a hedger that was ever liquidatable takes 3 kB more.
TRANSITIONS_OF_ONE_ALARM = 8
HEDGER_KINDS = ("hedger_liquidatable", "hedger_recovered")
"""The same of a hedger of an account; such a transition names its ``hedger``."""

TRANSITION_KINDS = (*KINDS.values(), HEDGER_KINDS)
"""What transitions are called, two of each alarm."""

_HEDGER_ALARM = HEDGER_KINDS[0]
_ALARM_OF = {kind: alarm for alarm, kinds in KINDS.items() for kind in kinds}
_NAME_OF = {kind: kinds[0] for kinds in TRANSITION_KINDS for kind in kinds}
_COUNTS = ("block", "status", "stale", "unpriced")
_FIGURES = (*_COUNTS, "upnl", "notional", "available_balance", "distance_bps", "liquidating")


class _Cells(msgspec.Struct):
    alarms: tuple[str, ...]
    hedgers: tuple[str, ...] = ()


class Standing(NamedTuple):
    """What is on: alarms of the account, and the hedgers that can be liquidated toward it."""

    alarms: int
    hedgers: frozenset[str]


NOTHING_ON = Standing(QUIET, frozenset())


_decoder = msgspec.json.Decoder(_Cells)


def standing_of_row(value: bytes) -> Standing:
    """What is on by an encoded row of the ``alerts`` table, its ``ORDER_BYTES`` included.

    Raises:
        BadRow: It is no such row.
    """
    try:
        cells = _decoder.decode(memoryview(value)[ORDER_BYTES:])
        return Standing(_bits(cells.alarms), frozenset(cells.hedgers))
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


def hedgers_of(valuation: Mapping[str, Any], standing: frozenset[str]) -> frozenset[str]:
    """The hedgers that can be liquidated toward an account by its valuation.

    Args:
        valuation: Body of the account's ``valuations`` row.
        standing: Those of whom that was known; what the valuation cannot tell is as it was.
    """
    if valuation["status"] in (SUSPECT, UNSUPPORTED) or valuation["unpriced"]:
        return standing
    return frozenset(valuation.get(LIQUIDATABLE_HEDGERS, ()))


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
    before = NOTHING_ON if standing is None else _standing_of_body(standing)
    after = Standing(alarms, hedgers_of(valuation, before.hedgers))
    count: int = 0 if standing is None else standing["count"]
    transitions: list[Body] = [] if standing is None else standing["transitions"]
    for kind, about in _changes(before, after):
        count += 1
        new = {"id": f"{key.decode()}:{kind}:{count}", "kind": kind, **about, **_seen_in(valuation, made)}
        transitions = _newest([new, *transitions])
    names = [on for alarm, (on, _) in KINDS.items() if alarms & alarm]
    body: Body = {"alarms": names, "count": count, "transitions": transitions}
    if after.hedgers:
        body |= {"alarms": [*names, _HEDGER_ALARM], "hedgers": sorted(after.hedgers)}
    return body


def _standing_of_body(body: Mapping[str, Any]) -> Standing:
    return Standing(_bits(body["alarms"]), frozenset(body.get("hedgers", ())))


def _bits(names: Iterable[str]) -> int:
    return sum(_ALARM_OF[name] for name in names if name != _HEDGER_ALARM)


def _changes(before: Standing, after: Standing) -> Iterator[tuple[str, Body]]:
    """What came on and went off: what each change is called, and whom it is about beside the account."""
    for alarm, (on, off) in KINDS.items():
        if (after.alarms ^ before.alarms) & alarm:
            yield on if after.alarms & alarm else off, {}
    for hedger in sorted(after.hedgers ^ before.hedgers):
        yield HEDGER_KINDS[hedger not in after.hedgers], {"hedger": hedger}


def _seen_in(valuation: Mapping[str, Any], made: Mapping[str, Any]) -> Body:
    return {
        "as_of_ms": valuation["as_of_ms"],
        **{name: valuation[name] for name in _FIGURES if name in valuation},
        MADE_FROM: with_inputs(made, valuation),
    }


def _newest(transitions: list[Body]) -> list[Body]:
    """Newest first, without the last of the newest one's alarm where there are too many of it."""
    alarm = alarm_of(transitions[0])
    same = [at for at, transition in enumerate(transitions) if alarm_of(transition) == alarm]
    if len(same) > TRANSITIONS_OF_ONE_ALARM:
        del transitions[same[-1]]
    return transitions


def alarm_of(transition: Mapping[str, Any]) -> tuple[str, str]:
    """The alarm that a transition turns on or off: its name, and the hedger where it is one's, else ``""``."""
    return _NAME_OF[transition["kind"]], transition.get("hedger", "")
