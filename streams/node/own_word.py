"""What is asked of an endpoint, and its own word: nobody else answers for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from streams.node.rpc import BadAnswer, CallReverted, EndpointSlow, RateLimited, Refused, RpcError
from streams.node.turn import MOMENT_S, NoOther, Request, Turn, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streams.node.rpc import Call, Outcome
    from streams.node.standing import Patience, Standing

_T = TypeVar("_T")

# An endpoint whose own word is wanted is asked so often: one failure may be of a moment.
_SAYS = 3


class Asked(NamedTuple, Generic[_T]):
    """Calls whose results are read together, since they are to be of one state."""

    calls: Sequence[Call]
    read: Callable[[list[Any]], _T]


async def said_by(standing: Standing, asked: Asked[_T], patience: Patience, within_s: float) -> _T | RpcError:
    """Ask an endpoint; return what it says, or how it failed at last.

    Args:
        standing: The endpoint's. One that is put aside is waited for where it is back within a second.
        asked: The question.
        patience: How long to wait for what.
        within_s: How long it has in all, in s.
    """
    fault: RpcError = NoOther(f"expected endpoint {standing.label} in order, found it put aside")
    request = Request(kind_of(asked.calls[0]), None, is_divisible=False)
    try:
        async with asyncio.timeout(within_s):
            for _ in range(_SAYS):
                wait_s = standing.aside_until_s - asyncio.get_running_loop().time()
                if wait_s > MOMENT_S:
                    break
                await asyncio.sleep(max(0.0, wait_s))
                outcomes = await standing.send(asked.calls, is_separable=False)
                answers, faults = read_all({0: asked}, outcomes)
                if answers:
                    standing.note_answered(map(kind_of, asked.calls), None)
                    return answers[0]
                fault = faults[0]
                judge(standing, fault, Turn(patience), request)
    except CallReverted as error:
        return error
    except TimeoutError:
        fault = EndpointSlow(f"{standing.label}: expected an answer within {within_s} s, found none")
        standing.put_aside(fault)
    return fault


async def tell(standing: Standing, call: Call, tries: int, patience: Patience) -> RpcError | None:
    """Tell an endpoint something, also one that is put aside; return None where it accepted, or how it failed at last.

    Args:
        standing: The endpoint's.
        call: What to tell.
        tries: How often it is told where it gives no answer, 1 or more.
        patience: How long to wait for what.
    """
    failure: RpcError | None = None
    for _ in range(tries):
        try:
            (outcome,) = await standing.endpoint.ask([call], patience.answer_s)
        except RpcError as error:
            outcome = error
        if not isinstance(outcome, RpcError):
            standing.count("answered")
            return None
        failure = outcome
        standing.count("refused" if isinstance(failure, Refused) else type(failure).__name__)
        if isinstance(failure, Refused | RateLimited):
            return failure
    return failure


def read_all(
    questions: Mapping[int, Asked[_T]], outcomes: Sequence[Outcome]
) -> tuple[dict[int, _T], dict[int, RpcError]]:
    """Read what became of each question's calls: answers and faults, by the questions' numbers."""
    answers: dict[int, _T] = {}
    faults: dict[int, RpcError] = {}
    start = 0
    for at, question in questions.items():
        results = outcomes[start : start + len(question.calls)]
        start += len(question.calls)
        fault = next((result for result in results if isinstance(result, RpcError)), None)
        if fault is not None:
            faults[at] = fault
            continue
        try:
            answers[at] = question.read(list(results))
        except BadAnswer as error:
            faults[at] = error
    return answers, faults


def kind_of(call: Call) -> str:
    """Name what an endpoint may not offer: a method, or a method at a tag such as ``finalized``."""
    method, params = call
    is_tag = bool(params) and isinstance(params[0], str) and params[0].isalpha()
    return f"{method} {params[0]}" if is_tag else method
