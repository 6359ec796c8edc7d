"""Which alarms of an account are on, and the transitions by which they came on and went off, once each.

``liquidatable``: the contract would let the account be liquidated. ``stale`` and ``unpriced``: a position's mark is
stale, or there is none. ``unknown``: the account is suspect or its deployment unsupported. ``hedger_liquidatable``: the
contract would let a hedger be liquidated toward the account; each hedger of an account comes and goes by itself.

What cannot be seen stays as it was: an account is neither called liquidatable nor recovered while it is unpriced, and
nothing but ``unknown`` is said of one that is unknown.

What is said of hedgers stands in columns of its own, which whoever knows of none passes over: workers of two versions
read each other's rows while one takes the place of the other (docs/operations.md).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from models.body_reader import no_row
from models.codec import ORDER_BYTES, decode_row, encode_body
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
# 32 of 400 bytes are 13 kB a row; each also names the marks that the account was valued by, which may be more bytes.
TRANSITIONS_OF_ONE_ALARM = 8
# Of all hedgers together. A record may have 1 MB, of which these leave more than half to the account's own.
HEDGER_TRANSITIONS = 128
HEDGER_TRANSITIONS_BYTES = 300_000
HEDGER_KINDS = ("hedger_liquidatable", "hedger_recovered")
"""The same of a hedger of an account; such a transition names its ``hedger``."""

TRANSITION_KINDS = (*KINDS.values(), HEDGER_KINDS)
"""What transitions are called, two of each alarm."""

_ALARM_OF = {kind: alarm for alarm, kinds in KINDS.items() for kind in kinds}
_NAME_OF = {kind: kinds[0] for kinds in TRANSITION_KINDS for kind in kinds}
_COUNTS = ("block", "status", "stale", "unpriced")
_FIGURES = (*_COUNTS, "upnl", "notional", "available_balance", "distance_bps", "liquidating")


class _Cells(msgspec.Struct):
    alarms: tuple[str, ...]
    hedgers_since_ms: dict[str, int | None] = {}


class _TransitionCells(msgspec.Struct):
    """What is read of a transition when the next one is put before it."""

    id: str
    kind: str


class _HedgerTransitionCells(_TransitionCells):
    hedger: str


class _AllCells(_Cells, kw_only=True):
    count: int
    transitions: list[_TransitionCells]
    hedger_transitions: list[_HedgerTransitionCells] = []
    hedger_transitions_gone: int = 0


class Standing(NamedTuple):
    """What is on: alarms of the account, and the hedgers that can be liquidated toward it."""

    alarms: int
    hedgers: frozenset[str]


NOTHING_ON = Standing(QUIET, frozenset())


_decoder = msgspec.json.Decoder(_Cells)
_all_decoder = msgspec.json.Decoder(_AllCells)


def standing_of_row(value: bytes) -> Standing:
    """What is on by an encoded row of the ``alerts`` table, its ``ORDER_BYTES`` included.

    Raises:
        BadRow: It is no such row.
    """
    try:
        cells = _decoder.decode(memoryview(value)[ORDER_BYTES:])
        return Standing(_bits(cells.alarms), frozenset(cells.hedgers_since_ms))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise no_row(value, "alerts", error) from error


def alerts_of_row(value: bytes) -> Body:
    """The body of an encoded row of the ``alerts`` table, to which transitions can be added.

    Raises:
        BadRow: It is no such row.
    """
    body = decode_row(value).body
    try:
        cells = _all_decoder.decode(memoryview(value)[ORDER_BYTES:])
        for transition in cells.hedger_transitions:
            ordinal_of({"id": transition.id})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise no_row(value, "alerts", error) from error
    return body


def without_transitions(alarms: int, count: int) -> Body:
    """The body of an account whose transitions are none, or are not known.

    Args:
        alarms: Those that are on.
        count: As many transitions as there may have been.
    """
    return {"alarms": _names(alarms), "count": count, "transitions": []}


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
    row = without_transitions(QUIET, 0) if standing is None else standing
    before = Standing(_bits(row["alarms"]), frozenset(row.get("hedgers_since_ms", ())))
    after = Standing(alarms, hedgers_of(valuation, before.hedgers))
    count: int = row["count"]
    transitions: list[Body] = row["transitions"]
    of_hedgers: list[Body] = row.get("hedger_transitions", [])
    seen = _seen_in(valuation, made)
    for kind, about in _changes(before, after):
        count += 1
        new = {"id": f"{key.decode()}:{kind}:{count}", "kind": kind, **about, **seen}
        if about:
            of_hedgers = [new, *of_hedgers]
        else:
            transitions = _newest([new, *transitions])
    body: Body = {
        "alarms": _names(alarms),
        "count": count,
        "transitions": transitions,
    }
    return body | _hedger_columns(row, after.hedgers, of_hedgers, valuation["as_of_ms"])


def _hedger_columns(row: Mapping[str, Any], on: frozenset[str], transitions: list[Body], as_of_ms: int | None) -> Body:
    """The columns about hedgers; each is absent where it says nothing.

    Args:
        row: The body as it was.
        on: The hedgers that can be liquidated now.
        transitions: Those of hedgers, newest first, also those for which there may be no place.
        as_of_ms: As of when those came on that were not on before, Unix ms.
    """
    since_ms = row.get("hedgers_since_ms", {})
    kept = _kept(transitions, on)
    gone = max(
        (ordinal_of(one) for at, one in enumerate(transitions) if at not in kept),
        default=row.get("hedger_transitions_gone", 0),
    )
    columns: Body = {
        "hedgers_since_ms": {hedger: since_ms.get(hedger, as_of_ms) for hedger in sorted(on)},
        "hedger_transitions": [one for at, one in enumerate(transitions) if at in kept],
        "hedger_transitions_gone": gone,
    }
    return {name: column for name, column in columns.items() if column}


def _kept(transitions: list[Body], on: frozenset[str]) -> set[int]:
    """The places of the hedgers' transitions that a row has room for: first those since which a hedger is on."""
    newest: dict[str, int] = {}
    for at, one in enumerate(transitions):
        newest.setdefault(one["hedger"], at)
    first = [at for hedger, at in newest.items() if hedger in on]
    kept: set[int] = set()
    counts: Counter[str] = Counter()
    size = 0
    for at in dict.fromkeys((*first, *range(len(transitions)))):
        hedger = transitions[at]["hedger"]
        if counts[hedger] == TRANSITIONS_OF_ONE_ALARM:
            continue
        size += len(encode_body(transitions[at]))
        if len(kept) == HEDGER_TRANSITIONS or size > HEDGER_TRANSITIONS_BYTES:
            break
        counts[hedger] += 1
        kept.add(at)
    return kept


def _bits(names: Iterable[str]) -> int:
    """The alarms of these names; a worker of another version may have named some that are none here."""
    return sum(_ALARM_OF.get(name, QUIET) for name in names)


def _names(alarms: int) -> list[str]:
    return [on for alarm, (on, _) in KINDS.items() if alarms & alarm]


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
    """The alarm that a transition turns on or off: its name, and the hedger where it is one's, else ``""``.

    One of a kind that is none here has that kind for its name: a worker of another version may have written it.
    """
    kind = transition["kind"]
    return _NAME_OF.get(kind, kind), transition.get("hedger", "")


def ordinal_of(transition: Mapping[str, Any]) -> int:
    """A transition's place among all of its account, from 1 on, with which its id ends."""
    return int(transition["id"].rpartition(":")[2])


def all_transitions(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The transitions of a row's body, the account's and its hedgers', newest first; those of kinds known here."""
    every = (*body["transitions"], *body.get("hedger_transitions", ()))
    return sorted((one for one in every if one["kind"] in _NAME_OF), key=ordinal_of, reverse=True)
