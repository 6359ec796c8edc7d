"""An account's newest position states, folded from what the solver's engine says and from what the chain does.

A state is a notification as clients read it. Those of the engine are known by id, the latest version stands. Those made
of the chain are known by where their log stands, so that what is delivered again makes no second one; they go when
their block does. In ``gaps`` mode they only stand where the engine says nothing of the same: they wait until it has had
the time to, and give way when it speaks later.

Whatever order the two sources come in, the states that stand in the end are the same. Only what is pushed depends on
when it came.

Each names in ``made_from`` the instant at which it last changed. One that was made of the chain says in ``at`` where
its log stands: the offset of its block in ``chain-blocks``, in the partition of its deployment's name, the transaction
and the log. One of the engine's names the partition and offset of the record of ``position-states-in`` that changed it
last: all of the account's records up to that one make it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from models.provenance import MADE_FROM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from models.chain_records import LogOffset
    from models.symmio.engine_states import EngineState

Body = dict[str, Any]

ENGINE, CHAIN = "engine", "chain"

# Clients ask for at most 100 at once. With the longest texts 128 states of 6 kB are 770 kB; mostly they are 55 kB.
STATES_MAX = 128
# An engine's id goes through few actions, and one is said again for each partial fill: 115 kB a row at the most.
_ACTIONS_MAX = 8
_TIMES_MAX = 4

GAP_S = 10
"""An engine that speaks of a quote and an action says it within so many seconds of the block, before or after. A
smaller gap would double what a slow engine says, a larger one delays what it never says."""

YOUNG_MS = 60_000
"""What is older than this is news to nobody: it is stored, and not pushed."""

# By which of its actions an engine says what a chain-made state does.
_SAME = {
    "SendQuote": frozenset({"SendQuote", "SendQuoteTransaction"}),
    "FillLimitOrderOpen": frozenset({"FillLimitOrderOpen", "InstantRFQ"}),
    "RequestToClosePosition": frozenset({"RequestToClosePosition", "InstantRequestToClosePosition"}),
    "FillLimitOrderClose": frozenset({"FillLimitOrderClose", "FillOrderInstantClose", "InstantRequestToClosePosition"}),
}


def with_engine_state(
    body: Mapping[str, Any], state: EngineState, made: Mapping[str, int], *, fresh: bool, gaps: bool
) -> Mapping[str, Any]:
    """Fold what the engine says.

    Args:
        body: Body of the account's row.
        state: The engine's record.
        made: The instant, and the record's partition and offset, as ``made_from`` has them.
        fresh: Whether it is news; what is not is never pushed.
        gaps: Whether chain-made states give way to it.

    Returns:
        The new body; ``body`` itself where the record changes nothing.
    """
    standing = next((one for one in body["states"] if one["source"] == ENGINE and one["id"] == state.id), None)
    count, said = body["count"], _engine_state(state)
    if standing is None or state.version > standing["version"]:
        count += 1
        older, newer = standing, {**said, "seq": count, "push": fresh and state.should_send}
    else:
        older, newer = said, standing
    told = _known(newer if older is None else _over(newer, older))
    if told != standing:
        told[MADE_FROM] = made
    states = [*(one for one in body["states"] if one is not standing), told]
    return _changed(body, states, gaps=gaps, made=made, count=count, quotes=_quotes(body["quotes"], told))


def with_chain_states(
    body: Mapping[str, Any], made: Iterable[Body], *, fresh: bool, gaps: bool, now_ms: int
) -> Mapping[str, Any]:
    """Fold what one account's transactions did; arguments as for ``with_engine_state``.

    Args:
        body: Body of the account's row.
        made: The states made of them (``models.symmio.chain_states``), in the order of the chain.
        fresh: Whether they are news.
        gaps: Whether they give way to what the engine says.
        now_ms: The instant, Unix ms; from then on they wait for the engine, if they are news.
    """
    new = [one for one in made if one["at"] > body["applied"]]
    if not new:
        return body
    until_ms = now_ms + GAP_S * 1000 if fresh and gaps else None
    numbered = [
        _known({**one, "seq": seq, "push": fresh and not gaps, "due_ms": until_ms, MADE_FROM: {"at_ms": now_ms}})
        for seq, one in enumerate(new, start=body["count"] + 1)
    ]
    states = [*body["states"], *numbered]
    return _changed(body, states, gaps=gaps, made={}, count=numbered[-1]["seq"], applied=new[-1]["at"])


def without_blocks_above(body: Mapping[str, Any], ancestor: int, position: LogOffset) -> Mapping[str, Any]:
    """Withdraw the states that were made of blocks which left the chain.

    Args:
        body: Body of the account's row.
        ancestor: The newest block that stays.
        position: Log offset of the record that rolls the others back.

    Returns:
        The new body; ``body`` itself where none of them stands.
    """
    applied = [*position, -1]
    left = [one for one in body["states"] if one["source"] == ENGINE or one["block"] <= ancestor]
    if applied <= body["applied"] or len(left) == len(body["states"]):
        return body
    return {**body, "applied": applied, "states": left}


def due_ms(body: Mapping[str, Any]) -> int | None:
    """When the first state that waits is due, in Unix ms, None where none does."""
    return min((one["due_ms"] for one in body["states"] if "due_ms" in one), default=None)


def released(body: Mapping[str, Any], now_ms: int) -> Mapping[str, Any]:
    """Let the states stand whose time to wait is over; push those that are still young."""
    count, states = body["count"], []
    for one in body["states"]:
        if one.get("due_ms", math.inf) > now_ms:
            states.append(one)
            continue
        count += 1
        is_young = now_ms - one["modify_time"] * 1000 <= YOUNG_MS
        states.append(_known({**one, "seq": count, "push": is_young, "due_ms": None, MADE_FROM: {"at_ms": now_ms}}))
    return {**body, "count": count, "states": states} if count > body["count"] else body


def pushed_since(body: Mapping[str, Any], count: int) -> list[Body]:
    """The states to be pushed to a reader that last saw the row at ``count``, in the order in which they changed."""
    news = [one for one in body["states"] if one["seq"] > count and one["push"]]
    return sorted(news, key=lambda one: int(one["seq"]))


def _engine_state(state: EngineState) -> Body:
    return {
        "source": ENGINE,
        "id": state.id,
        "version": state.version,
        "create_time": state.create_time,
        "modify_time": state.modify_time,
        "quote_id": state.quote_id,
        "temp_quote_id": state.temp_quote_id,
        "filled_amount_open": state.filled_amount_open or None,
        "filled_amount_close": state.filled_amount_close or None,
        "avg_price_open": state.avg_price_open or None,
        "avg_price_close": state.avg_price_close or None,
        "last_seen_action": state.last_seen_action,
        "action_status": state.action_status,
        "failure_type": state.failure_type,
        "failure_message": state.failure_message,
        "error_code": state.error_code,
        "order_type": state.order_type,
        "state_type": state.state_type,
        "said": {state.last_seen_action: [state.modify_time]},
    }


def _over(newer: Body, older: Body) -> Body:
    """A version, with what earlier ones say beyond it: of which quote it is, and when which action was said."""
    times = {
        action: sorted({*newer["said"].get(action, ()), *older["said"].get(action, ())})[-_TIMES_MAX:]
        for action in {**older["said"], **newer["said"]}
    }
    ids = {name: older.get(name) if newer.get(name) is None else newer[name] for name in ("quote_id", "temp_quote_id")}
    newest = sorted(times, key=lambda action: (times[action][-1], action))[-_ACTIONS_MAX:]
    return {**newer, **ids, "said": {action: times[action] for action in newest}}


def _changed(
    body: Mapping[str, Any],
    states: Iterable[Body],
    *,
    gaps: bool,
    made: Mapping[str, int],
    **changes: Any,  # noqa: ANN401 - JSON
) -> Mapping[str, Any]:
    after = {**body, **changes}
    quotes = after["quotes"]
    known = [_with_quote(one, quotes, made) for one in states]
    standing = _without_what_engine_says(known) if gaps else known
    after["states"] = sorted(standing, key=_newness, reverse=True)[:STATES_MAX]
    # A record of long ago may be too old for the row: then nothing changed, though it was counted.
    if after["states"] == body["states"] and quotes == body["quotes"] and after["applied"] == body["applied"]:
        return body
    return after


def _known(state: Body) -> Body:
    """A state without what is not known of it: most of it is, and replicas hold the states of all accounts."""
    return {name: part for name, part in state.items() if part is not None}


def _newness(state: Mapping[str, Any]) -> tuple[int, int, list[int], str]:
    return state["modify_time"], state["create_time"], state.get("at", []), state["id"]


def _with_quote(state: Body, quotes: Mapping[str, int], made: Mapping[str, int]) -> Body:
    """Give a state the quote id that its temporary one became; ``made`` is what that was told by."""
    if "quote_id" in state or (quote_id := quotes.get(str(state["temp_quote_id"]))) is None:
        return state
    return {**state, "quote_id": quote_id, MADE_FROM: made}


def _quotes(quotes: Mapping[str, int], state: Mapping[str, Any]) -> Mapping[str, int]:
    """Temporary quote ids and what they became, the newest last."""
    name, quote_id = str(state.get("temp_quote_id")), state.get("quote_id")
    if quote_id is None or state.get("temp_quote_id") is None or quotes.get(name) == quote_id:
        return quotes
    joined = {**{temp: quote for temp, quote in quotes.items() if temp != name}, name: quote_id}
    return dict(list(joined.items())[-STATES_MAX:])


def _without_what_engine_says(states: Sequence[Body]) -> list[Body]:
    said: dict[tuple[int, str], list[int]] = {}
    for one in states:
        if one["source"] == ENGINE and "quote_id" in one:
            for action, times in one["said"].items():
                said.setdefault((one["quote_id"], action), []).extend(times)
    return [one for one in states if one["source"] == ENGINE or not _is_said(one, said)]


def _is_said(state: Mapping[str, Any], said: Mapping[tuple[int, str], list[int]]) -> bool:
    action = state["last_seen_action"]
    return any(
        abs(time - state["modify_time"]) <= GAP_S
        for same in _SAME.get(action, {action})
        for time in said.get((state["quote_id"], same), ())
    )
