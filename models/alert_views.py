"""Alerts as users see them: money is exact decimal text, an instant is written twice, and no field is null."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.alerts import HEDGER_KINDS, KINDS, all_transitions
from models.errors import BadRow
from models.ids import split_key
from models.instants import ns_text, rfc3339
from models.money import show_e18
from models.provenance import MADE_FROM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

View = dict[str, Any]

_AS_THEY_ARE = ("hedger", "block", "stale", "unpriced", "liquidating")
_MONEY = ("upnl", "notional", "available_balance")
_CALLED_OFF = {on: (on, off) for on, off in KINDS.values()}
_HEDGER_ON, _ = HEDGER_KINDS


def alerts_view(key: str, body: Mapping[str, Any]) -> View:
    """Make the view of an account's alerts: which alarms are on since when, and the newest transitions, newest first.

    Args:
        key: ``<deployment>:<address>``.
        body: Body of its ``alerts`` row.

    Raises:
        BadRow: The body lacks what it must have.
    """
    deployment, address = split_key(key.encode())
    try:
        transitions = all_transitions(body)
        since_ms = {name: _since_ms(_CALLED_OFF[name], transitions) for name in body["alarms"] if name in _CALLED_OFF}
        hedgers_ms = _hedgers_since_ms(body.get("hedgers_since_ms", {}), transitions)
        if hedgers_ms:
            since_ms[_HEDGER_ON] = min(hedgers_ms.values())
        return {
            "account": key,
            "deployment": deployment,
            "address": address,
            "alarms": {name: _instant("since", unix_ms) for name, unix_ms in since_ms.items()},
            **({"hedgers": {one: _instant("since", ms) for one, ms in hedgers_ms.items()}} if hedgers_ms else {}),
            "transitions": [_transition(transition) for transition in transitions],
        }
    except (AttributeError, KeyError, TypeError, ValueError, StopIteration) as error:
        msg = f"expected the body of an alerts row, found {dict(body)!r:.200} ({error!r})"
        raise BadRow(msg) from error


def _since_ms(kinds: tuple[str, str], transitions: Sequence[Mapping[str, Any]]) -> int:
    """When an alarm was seen to come on that is on: its newest transition."""
    return _seen_ms(next(one for one in transitions if one["kind"] in kinds))


def _hedgers_since_ms(as_of_ms: Mapping[str, int], transitions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The same of each hedger that is on; as of when it came on where there was no room for its transition."""
    came_on: dict[str, Mapping[str, Any]] = {}
    for one in transitions:
        if one["kind"] == _HEDGER_ON:
            came_on.setdefault(one["hedger"], one)
    return {hedger: _seen_ms(came_on[hedger]) if hedger in came_on else ms for hedger, ms in as_of_ms.items()}


def _seen_ms(transition: Mapping[str, Any]) -> int:
    """At which instant a transition was seen: the oldest mark that showed it may be older than the account's position.

    Rows of before do not say it.
    """
    return int(transition.get(MADE_FROM, {}).get("at_ms", transition["as_of_ms"]))


def _transition(transition: Mapping[str, Any]) -> View:
    view: View = {
        "id": transition["id"],
        "kind": transition["kind"],
        "status": transition["status"],
        # Of an account whose first record could not be read nothing is known as of any instant.
        **_instant("as_of", transition["as_of_ms"] or _seen_ms(transition)),
        **{name: transition[name] for name in _AS_THEY_ARE if name in transition},
        **{name: show_e18(transition[name]) for name in _MONEY if transition[name] is not None},
    }
    if transition["distance_bps"] is not None:
        view["distance_bps"] = transition["distance_bps"]
    return view


def _instant(name: str, unix_ms: int) -> View:
    # What is no number is no instant, though a truth value can be written as one.
    return {name: rfc3339(unix_ms), f"{name}_ns": ns_text(int(unix_ms))}
