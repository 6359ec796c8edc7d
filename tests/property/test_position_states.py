"""In whatever order and however often the engine's records and the chain's states come, the same ones stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from models.position_states import EMPTY
from models.symmio.position_states import released, with_chain_states, with_engine_state, without_blocks_above
from tests.support.positions import MADE, TIME_S, chain_state, engine_state, standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.symmio.engine_states import EngineState

ACTIONS = ("SendQuote", "FillLimitOrderOpen", "InstantRFQ", "RequestToClosePosition")


class Rollback(NamedTuple):
    offset: int
    ancestor: int


Happening = dict[str, Any] | Rollback
seconds = st.integers(TIME_S, TIME_S + 40)


@st.composite
def engines(draw: st.DrawFn) -> list[EngineState]:
    """Versions of some ids; a temporary quote id always becomes the same quote."""
    states = []
    for at in range(draw(st.integers(0, 5))):
        quote, version = draw(st.integers(1, 3)), 0
        for _ in range(draw(st.integers(1, 3))):
            version += draw(st.integers(1, 2))
            ids = draw(st.sampled_from([(quote, None), (quote, -quote), (None, -quote)]))
            states.append(
                engine_state(
                    id=f"{at}",
                    version=version,
                    quote_id=ids[0],
                    temp_quote_id=ids[1],
                    modify_time=draw(seconds),
                    last_seen_action=draw(st.sampled_from(ACTIONS)),
                    should_send=draw(st.booleans()),
                )
            )
    return states


@st.composite
def chains(draw: st.DrawFn) -> list[Happening]:
    """Logs in the order of their chain, with rollbacks between them."""
    happened: list[Happening] = []
    block = 100
    for offset in range(draw(st.integers(0, 6))):
        if happened and draw(st.integers(0, 3)) == 0:
            block -= draw(st.integers(1, 2))
            happened.append(Rollback(offset, block))
            continue
        block += 1
        changes = {"quote_id": draw(st.integers(1, 3)), "last_seen_action": draw(st.sampled_from(ACTIONS))}
        happened.append(
            chain_state((offset, 0, 0), id=f"log {offset}", block=block, modify_time=draw(seconds), **changes)
        )
    return happened


def fold(steps: Sequence[EngineState | Happening], *, gaps: bool) -> Mapping[str, Any]:
    body: Mapping[str, Any] = EMPTY
    for step in steps:
        if isinstance(step, Rollback):
            body = without_blocks_above(body, step.ancestor, (step.offset, -1))
        elif isinstance(step, dict):
            body = with_chain_states(body, [step], fresh=True, gaps=gaps, now_ms=TIME_S * 1000)
        else:
            body = with_engine_state(body, step, MADE, fresh=True, gaps=gaps)
    return body


@given(engines(), chains(), st.booleans(), st.data())
def test_neither_order_nor_redelivery_changes_what_stands(
    engine: list[EngineState],
    chain: list[Happening],
    gaps: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    plain = fold([*engine, *chain], gaps=gaps)
    twice = data.draw(st.lists(st.sampled_from(engine), max_size=5)) if engine else []
    shuffled = data.draw(st.permutations([*engine, *twice]))
    # The chain's records come in their order, and from some point on once more; the engine's anywhere between.
    again, until = sorted(data.draw(st.tuples(st.integers(0, len(chain)), st.integers(0, len(chain)))))
    merged: list[EngineState | Happening] = [*chain[:until], *chain[again:]]
    for state in shuffled:
        merged.insert(data.draw(st.integers(0, len(merged))), state)

    assert standing(plain) == standing(fold(merged, gaps=gaps))


@given(engines(), chains())
def test_in_gaps_mode_no_state_of_the_chain_stands_beside_the_same_of_the_engine(
    engine: list[EngineState], chain: list[Happening]
) -> None:
    body = released(fold([*chain, *engine], gaps=True), (TIME_S + 1_000) * 1000)
    chained = [one for one in body["states"] if one["source"] == "chain"]
    spoken = [one for one in body["states"] if one["source"] == "engine"]

    assert not any(
        own["quote_id"] == other.get("quote_id")
        and own["last_seen_action"] == other["last_seen_action"]
        and abs(own["modify_time"] - other["modify_time"]) <= 10
        for own in chained
        for other in spoken
    )


@given(chains())
def test_what_stands_of_the_chain_is_what_a_chain_without_the_blocks_that_left_it_says(chain: list[Happening]) -> None:
    left: list[dict[str, Any]] = []
    for step in chain:
        if isinstance(step, Rollback):
            left = [one for one in left if one["block"] <= step.ancestor]
        else:
            left.append(step)

    assert standing(fold(left, gaps=False)) == standing(fold(chain, gaps=False))


@given(engines(), chains(), st.booleans())
def test_every_change_is_counted_and_no_state_changes_under_the_same_number(
    engine: list[EngineState],
    chain: list[Happening],
    gaps: bool,  # noqa: FBT001
) -> None:
    body = fold([*engine, *chain], gaps=gaps)
    numbers = [one["seq"] for one in body["states"]]

    assert len(set(numbers)) == len(numbers)
    assert max(numbers, default=0) <= body["count"]
