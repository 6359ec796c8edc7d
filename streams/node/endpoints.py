"""A deployment's node: several endpoints, and the one policy for what each of them answers or refuses.

* A refusal is understood by what was asked, and not by its words, which only choose what is tried first.
* What can be divided is divided at the endpoint that refused it: a batch here, a range of logs by who asks for it
  (``TooMuch``). What seems to limit our rate is first tried elsewhere, or later; if it comes again, with less.
* What cannot be divided is asked of the next endpoint. Where all in order refuse it, they are asked again after a
  while, several times; then who asked is told.
* An answer that is not what it should be is asked for elsewhere. If another endpoint has a good one, the first is put
  aside; if all of them give bad ones, no endpoint is at fault.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import Counter

from models.errors import TidemarkError
from streams.node.blocks import read_header, read_optional_header
from streams.node.own_word import Asked, kind_of, read_all, said_by, tell
from streams.node.rpc import BadAnswer, EndpointSlow, NoContract, RpcError
from streams.node.standing import OlderHead, OtherChain, Patience, Standing
from streams.node.turn import NoOther, Request, Turn, expect_to_fit, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from streams.node.blocks import Header
    from streams.node.rpc import Call, Endpoint

__all__ = ["NoOther", "Node", "OlderHead", "OtherChain", "Patience", "Question", "WrongChain"]

_T = TypeVar("_T")
Question = tuple["Call", "Callable[[Any], _T]"]
"""A call and what reads its result; reading raises BadAnswer where the result is not what it should be."""

_log = logging.getLogger(__name__)

_REPEATED = Counter(
    "tidemark_rpc_repeated_bad_answers_total",
    "Answers that no endpoint gives as they should be, which are gone on without.",
    ("deployment",),
)

# Endpoints behind one balancer differ by a block or two all the time; more is a node that does not keep up.
_OLDER_HEAD_BLOCKS = 5
_LATEST: tuple[str, list[Any]] = ("eth_getBlockByNumber", ["latest", False])
_BATCH_CALLS = 50
_BATCHES_IN_FLIGHT = 4
# What is asked for very often, as in a join, is to survive a node that refuses a quarter of its calls.
_INSISTING_ROUNDS = 12
_INSISTING_AGAIN_S = (0.1, 10.0)
_SHOWN_CHARACTERS = 200


class WrongChain(TidemarkError):
    """Every endpoint serves another chain than the one configured. Correct ``chain_id`` or ``rpc``."""


class Node:
    """Asks the first endpoint that is in order; waits, and never gives up, while none is.

    Args:
        deployment: Name for logs and metrics.
        endpoints: In order of preference.
        chain_id: The chain they all must serve.
        patience: How long to wait for what.
    """

    def __init__(
        self, deployment: str, endpoints: Sequence[Endpoint], chain_id: int, patience: Patience | None = None
    ) -> None:
        self.deployment = deployment
        self.highest = -1
        self._patience = patience or Patience()
        self._standings = [Standing(deployment, endpoint, chain_id, self._patience, _now_s) for endpoint in endpoints]
        self._chain_id = chain_id
        self._advanced_s = 0.0
        _REPEATED.labels(deployment)

    @property
    def endpoints(self) -> int:
        """How many endpoints there are, in order or not."""
        return len(self._standings)

    def insisting(self) -> Node:
        """Return this node, with the same endpoints and what is known of them, for who asks very many questions."""
        other = copy.copy(self)
        other._patience = replace(  # noqa: SLF001 - of the same class
            self._patience, rounds=_INSISTING_ROUNDS, again_s=_INSISTING_AGAIN_S
        )
        return other

    async def ask(self, calls: Sequence[Call], read: Callable[[list[Any]], _T], *, is_divisible: bool = False) -> _T:
        """Ask one endpoint all ``calls`` and return what ``read`` makes of their results.

        Args:
            calls: Asked as one batch, unless the endpoint takes none of that size.
            read: Raises BadAnswer where the results are not what they should be; then another endpoint is asked.
            is_divisible: The caller would rather ask for less than wait for another endpoint.

        Raises:
            TooMuch: Less is to be asked for, where it ``is_divisible``.
            CallReverted: A contract refuses a call; no other endpoint is asked then.
            RpcError: Every endpoint in order refuses, or answers what it should not, several times.
            WrongChain: Every endpoint serves another chain.
        """
        answer, _ = await self.ask_elsewhere(calls, read, than=(), is_divisible=is_divisible)
        return answer

    async def ask_elsewhere(
        self,
        calls: Sequence[Call],
        read: Callable[[list[Any]], _T],
        *,
        than: Collection[str],
        is_divisible: bool = False,
    ) -> tuple[_T, str]:
        """Ask as ``ask`` does, but none of the endpoints ``than``, and tell who answered.

        Args:
            calls: Asked as one batch, unless the endpoint takes none of that size.
            read: Raises BadAnswer where the results are not what they should be; then another endpoint is asked.
            than: Labels of the endpoints that are not to be asked. Where there are some, no endpoint is waited for that
                is not back within a second.
            is_divisible: The caller would rather ask for less than wait for another endpoint.

        Returns:
            What ``read`` makes of the results, and the label of the endpoint that answered.

        Raises:
            NoOther: No other endpoint is in order.
            TooMuch, CallReverted, RpcError, WrongChain: As of ``ask``.
        """
        turn = Turn(self._patience, than)
        ((answer, standing),) = await self._answers([Asked(calls, read)], turn, is_divisible=is_divisible)
        return answer, standing.label

    async def ask_each_endpoint(
        self,
        calls: Sequence[Call],
        read: Callable[[list[Any]], _T],
        *,
        within_s: float,
        than: Collection[str] = (),
    ) -> dict[str, _T | RpcError]:
        """Ask every endpoint the same, side by side, and return what each of them says.

        One that is put aside is waited for where it is back within a second. Nobody answers for another one.

        Args:
            calls: Asked as one batch, unless an endpoint takes none of that size.
            read: Raises BadAnswer where the results are not what they should be.
            within_s: How long an endpoint has for its answer, in s.
            than: Labels of the endpoints that are not to be asked.

        Returns:
            By the labels of the endpoints in their order what ``read`` makes of the results, or how it failed at last.
        """
        standings = [standing for standing in self._standings if standing.label not in than]
        said = await asyncio.gather(*(said_by(one, Asked(calls, read), self._patience, within_s) for one in standings))
        return {standing.label: one for standing, one in zip(standings, said, strict=True)}

    async def ask_many(self, questions: Sequence[Question[_T]]) -> list[_T]:
        """Ask any number of questions in bounded batches and return what each makes of its result, in order.

        A question that an endpoint does not answer goes to the next one, and the others' answers are kept.

        Raises:
            CallReverted: A contract refuses a call; no other endpoint is asked then.
            RpcError: Every endpoint in order refuses a call, or answers what it should not, several times.
            WrongChain: Every endpoint serves another chain.
        """
        answers: list[_T] = await self._in_batches(questions, keeps_bad=False)
        return answers

    async def ask_each(self, questions: Sequence[Question[_T]]) -> list[_T | BadAnswer]:
        """Ask as ``ask_many`` does, and return in place of an answer the fault that every endpoint's answer has.

        Each of these is counted and said in the log; a view that answers nothing anywhere is none of them.

        Raises:
            CallReverted, RpcError, WrongChain: As of ``ask_many``.
        """
        answers: list[_T | BadAnswer] = await self._in_batches(questions, keeps_bad=True)
        return answers

    async def tell_each(self, call: Call, tries: int, *, others_s: float) -> list[RpcError | None]:
        """Tell every endpoint the same thing, side by side, also those that are put aside.

        Args:
            call: What to tell.
            tries: How often an endpoint is told that gives no answer, 1 or more.
            others_s: How long the others are waited for once one has accepted, in s.

        Returns:
            For each endpoint in its order None where it accepted, or how it failed at last.
        """
        telling = [asyncio.ensure_future(tell(one, call, tries, self._patience)) for one in self._standings]
        try:
            for told in asyncio.as_completed(telling):
                if await told is None:
                    break
            await asyncio.wait(telling, timeout=others_s)
        finally:
            for one in telling:
                one.cancel()
        return [
            one.result() if one.done() and not one.cancelled() else EndpointSlow(f"{standing.label}: no answer yet")
            for standing, one in zip(self._standings, telling, strict=True)
        ]

    def distrust(self, label: str, reason: str) -> None:
        """Put an endpoint aside that contradicts what others say.

        Args:
            label: The endpoint's.
            reason: What it said, for the log.
        """
        for standing in self._standings:
            if standing.label == label:
                standing.put_aside(OlderHead(reason))

    async def head(self) -> Header:
        """Return the newest block, of an endpoint whose head is not older than what is known where there is one."""
        while True:
            header, standing = await self._newest()
            now_s = _now_s()
            is_leap = header.number > self.highest + _OLDER_HEAD_BLOCKS
            if is_leap and not await self._has(standing, header):
                msg = f"expected endpoint {standing.label} to have block {header.number}, its head, found no such block"
                standing.put_aside(BadAnswer(msg))
                continue
            if header.number > self.highest:
                self.highest, self._advanced_s = header.number, now_s
                return header
            if now_s - self._advanced_s > self._patience.stuck_s:
                self._advanced_s = now_s
                await self._compare_heads(header, standing)
            is_alone = self._in_order() == [standing]
            if header.number + _OLDER_HEAD_BLOCKS >= self.highest or is_alone:
                return header
            msg = f"expected a head near {self.highest} at endpoint {standing.label}, found {header.number}"
            standing.put_aside(OlderHead(msg))

    def expect_head(self, number: int) -> None:
        """Make known that the chain has reached ``number``: a head well below it is an older one."""
        self.highest = max(self.highest, number)

    async def header(self, number: int) -> Header | None:
        """Return the block of that number, None where the node does not have it yet."""
        return (await self.headers([number]))[0]

    async def header_of_past(self, number: int) -> Header:
        """Return a block that the chain is known to have reached: an endpoint without it is behind."""
        call, read = _past_header(number)
        return await self.ask([call], _only(read))

    async def headers_of_past(self, numbers: Sequence[int]) -> list[Header]:
        """Return blocks that the chain is known to have reached: one that is null is asked for elsewhere, and again."""
        return await self.ask_many(list(map(_past_header, numbers)))

    async def headers(self, numbers: Sequence[int]) -> list[Header | None]:
        """Return the blocks of these numbers, None for those the node does not have yet."""
        return await self.ask_many(list(map(_header, numbers)))

    async def finalized(self) -> int | None:
        """Return the number of the node's ``finalized`` block, None where it does not offer the tag."""
        asked = Asked(
            [("eth_getBlockByNumber", ["finalized", False])], lambda results: read_optional_header(results[0])
        )
        try:
            ((header, _),) = await self._answers([asked], Turn(replace(self._patience, rounds=1)))
        except RpcError:
            return None
        return None if header is None else header.number

    async def _in_batches(self, questions: Sequence[Question[Any]], *, keeps_bad: bool) -> list[Any]:
        room = asyncio.Semaphore(_BATCHES_IN_FLIGHT)

        async def ask(some: Sequence[Question[Any]]) -> list[Any]:
            async with room:
                asked = [Asked([call], _only(read)) for call, read in some]
                found = await self._answers(asked, Turn(self._patience), keeps_bad=keeps_bad)
                return [answer for answer, _ in found]

        batches = [questions[start : start + _BATCH_CALLS] for start in range(0, len(questions), _BATCH_CALLS)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(batch)) for batch in batches]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [result for task in tasks for result in task.result()]

    async def _newest(self) -> tuple[Header, Standing]:
        asked = Asked([_LATEST], _only(read_header))
        (found,) = await self._answers([asked], Turn(self._patience))
        return found

    async def _answers(
        self, questions: Sequence[Asked[_T]], turn: Turn, *, is_divisible: bool = False, keeps_bad: bool = False
    ) -> list[tuple[Any, Standing]]:
        """Ask until each question is answered: what one endpoint does not answer, the next one is asked."""
        found: dict[int, tuple[Any, Standing]] = {}
        left = dict(enumerate(questions))
        while left:
            first = next(iter(left))
            calls = [call for question in left.values() for call in question.calls]
            try:
                standing = await self._next(turn, calls)
            except BadAnswer as error:
                if not keeps_bad or isinstance(error, NoContract):
                    raise
                # The first of those that are left is the one that every endpoint failed.
                self._name(left.pop(first).calls[0], error)
                found[first] = error, self._standings[0]
                turn = Turn(self._patience)
                continue
            span = _span(calls) if is_divisible else None
            expect_to_fit(standing, span)
            outcomes = await standing.send(calls, is_separable=len(questions) > 1)
            answers, faults = read_all(left, outcomes)
            if answers:
                found |= {at: (answer, standing) for at, answer in answers.items()}
                standing.note_answered(map(kind_of, calls), span)
                if first in answers:
                    turn.answered_by(standing)
                turn.progressed()
            left = {at: left[at] for at in faults}
            if faults:
                at, fault = next(iter(faults.items()))
                judge(standing, fault, turn, Request(kind_of(left[at].calls[0]), span, is_divisible))
        return [found[at] for at in range(len(questions))]

    async def _next(self, turn: Turn, calls: Sequence[Call]) -> Standing:
        kinds = {kind_of(call) for call in calls}
        while True:
            in_order = sorted(self._in_order(), key=lambda standing: standing.is_unable(kinds))
            for standing in in_order:
                if not turn.is_over_for(standing):
                    return standing
            moment_s = turn.moment_s(self._standings)
            if moment_s is not None:
                await asyncio.sleep(moment_s)
                continue
            if turn.has_failed:
                await turn.next_round()
                continue
            if all(standing.is_wrong_chain for standing in self._standings):
                msg = f"expected chain {self._chain_id} of {self.deployment}, found another one at every endpoint"
                raise WrongChain(msg)
            wait_s = min(s.aside_until_s for s in self._standings) - _now_s()
            _log.warning("no endpoint in order deployment=%s wait_s=%.1f", self.deployment, wait_s)
            await asyncio.sleep(max(0.0, wait_s))

    def _in_order(self) -> list[Standing]:
        return [standing for standing in self._standings if standing.is_in_order]

    async def _compare_heads(self, header: Header, asked: Standing) -> None:
        """Ask all others for their heads. Where every endpoint says less than is known, that was said in error."""
        heads = [header.number]
        for standing in self._standings:
            if standing is asked:
                continue
            try:
                other = await self._ask_directly(standing, _LATEST, read_header)
                heads.append(other.number if await self._has(standing, other) else -1)
            except RpcError as error:
                if standing.is_in_order:
                    standing.put_aside(error)
        newest = max(heads)
        if newest > self.highest or len(heads) == len(self._standings):
            self.highest = newest

    async def _has(self, standing: Standing, header: Header) -> bool:
        """Tell whether an endpoint also knows a block by its number: a head may be told in error, and once only."""
        try:
            found = await self._ask_directly(standing, *_header(header.number))
        except RpcError:
            return False
        return found is not None and found.hash == header.hash

    async def _ask_directly(self, standing: Standing, call: Call, read: Callable[[Any], _T]) -> _T:
        (outcome,) = await standing.send([call], is_separable=False)
        if isinstance(outcome, RpcError):
            raise outcome
        return read(outcome)

    def _name(self, call: Call, error: BadAnswer) -> None:
        _REPEATED.labels(self.deployment).inc()
        _log.error(
            "answer is bad at every endpoint, going on without deployment=%s asked=%s reason=%s",
            self.deployment,
            str(call)[:_SHOWN_CHARACTERS],
            error,
        )


def _only(read: Callable[[Any], _T]) -> Callable[[list[Any]], _T]:
    return lambda results: read(results[0])


def _header(number: int) -> Question[Header | None]:
    def read(answer: object) -> Header | None:
        header = read_optional_header(answer)
        if header is not None and header.number != number:
            msg = f"expected block {number}, found block {header.number}"
            raise BadAnswer(msg)
        return header

    return ("eth_getBlockByNumber", [hex(number), False]), read


def _past_header(number: int) -> Question[Header]:
    call, read = _header(number)

    def read_known(answer: object) -> Header:
        header = read(answer)
        return read_header(answer) if header is None else header

    return call, read_known


def _span(calls: Sequence[Call]) -> int | None:
    """Count the blocks of the range of logs among the calls, None where there is none."""
    for method, params in calls:
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            return int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
    return None


def _now_s() -> float:
    return asyncio.get_running_loop().time()
