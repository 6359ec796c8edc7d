"""A deployment's node: several endpoints, of which a faulty one is put aside for a while and the next one asked."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import Counter

from models.errors import TidemarkError
from streams.node.blocks import Header, read_header, read_optional_header
from streams.node.rpc import CallReverted, EndpointSlow, RateLimited, Refused, RpcError, TooMuch
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from streams.node.rpc import Call, Endpoint

_T = TypeVar("_T")
Question = tuple["Call", "Callable[[Any], _T]"]
"""A call and what reads its result; reading raises BadAnswer where the result is not what it should be."""

_log = logging.getLogger(__name__)

_REQUESTS = Counter("tidemark_rpc_requests_total", "Requests by outcome.", ("deployment", "endpoint", "outcome"))
_ASIDE = Counter("tidemark_rpc_endpoints_put_aside_total", "Endpoints put aside.", ("deployment", "endpoint", "cause"))


class WrongChain(TidemarkError):
    """Every endpoint serves another chain than the one configured. Correct ``chain_id`` or ``rpc``."""


class OtherChain(RpcError):
    """The endpoint serves another chain than the one configured."""


class NoOther(RpcError):
    """No other endpoint is in order than those that were asked already."""


class OlderHead(RpcError):
    """The endpoint's newest block is older than what is already known."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an endpoint, in seconds.

    ``answer_s``: for one answer. ``down_s``: bounds of the back-off while an endpoint is down or limits our rate.
    ``wrong_chain_s`` and ``older_head_s``: how long it is put aside for these. ``stuck_s``: a head that does not
    advance for so long is compared with the other endpoints' heads.
    """

    answer_s: float = 15.0
    down_s: tuple[float, float] = (0.5, 30.0)
    wrong_chain_s: float = 600.0
    older_head_s: float = 30.0
    stuck_s: float = 15.0


# Endpoints behind one balancer differ by a block or two all the time; more is a node that does not keep up.
_OLDER_HEAD_BLOCKS = 5
# One slow answer may be a large one; several in a row are a slow endpoint.
_SLOW_ANSWERS = 2
_BATCH_CALLS = 50
_BATCHES_IN_FLIGHT = 4


@dataclass(slots=True)
class _Standing:
    endpoint: Endpoint
    backoff: Backoff
    is_checked: bool = False
    is_wrong_chain: bool = False
    slow_answers: int = 0
    aside_until_s: float = 0.0


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
        self._patience = patience or Patience()
        self._standings = [_Standing(endpoint, Backoff(*self._patience.down_s)) for endpoint in endpoints]
        self._chain_id = chain_id
        self._highest = -1
        self._advanced_s = 0.0

    async def ask(self, calls: Sequence[Call], read: Callable[[list[Any]], _T], *, is_divisible: bool = False) -> _T:
        """Ask one endpoint all ``calls`` and return what ``read`` makes of their results.

        Args:
            calls: Asked as one batch.
            read: Raises BadAnswer where the results are not what they should be; then another endpoint is asked.
            is_divisible: The caller would rather ask for less than wait for another endpoint when one is slow.

        Raises:
            TooMuch: The answer is too large, or slow and ``is_divisible``.
            CallReverted: A contract refuses a call; no other endpoint is asked then.
            Refused: Every endpoint in order answers with an error of its own.
            WrongChain: Every endpoint serves another chain.
        """
        answer, _ = await self._ask(calls, read, is_divisible=is_divisible)
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
            calls: Asked as one batch.
            read: Raises BadAnswer where the results are not what they should be; then another endpoint is asked.
            than: Labels of the endpoints that are not to be asked. Where there are some, no endpoint is waited for.
            is_divisible: The caller would rather ask for less than wait for another endpoint when one is slow.

        Returns:
            What ``read`` makes of the results, and the label of the endpoint that answered.

        Raises:
            NoOther: No other endpoint is in order.
            TooMuch, CallReverted, Refused, WrongChain: As of ``ask``.
        """
        answer, standing = await self._ask(calls, read, is_divisible=is_divisible, but=than)
        return answer, standing.endpoint.label

    @property
    def endpoints(self) -> int:
        """How many endpoints there are, in order or not."""
        return len(self._standings)

    def distrust(self, label: str, reason: str) -> None:
        """Put an endpoint aside that contradicts what others say.

        Args:
            label: The endpoint's.
            reason: What it said, for the log.
        """
        for standing in self._standings:
            if standing.endpoint.label == label:
                self._put_aside(standing, OlderHead(reason))

    async def ask_many(self, questions: Sequence[Question[_T]]) -> list[_T]:
        """Ask any number of questions in bounded batches and return what each makes of its result, in order.

        Raises:
            TooMuch: The answer to a single call is too large.
            Refused: Every endpoint in order answers a call with an error of its own.
            WrongChain: Every endpoint serves another chain.
        """
        room = asyncio.Semaphore(_BATCHES_IN_FLIGHT)

        async def ask(some: Sequence[Question[_T]]) -> list[_T]:
            async with room:
                return await self._divide(some)

        batches = [questions[start : start + _BATCH_CALLS] for start in range(0, len(questions), _BATCH_CALLS)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(batch)) for batch in batches]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [result for task in tasks for result in task.result()]

    async def tell_each(self, call: Call, tries: int) -> list[RpcError | None]:
        """Tell every endpoint the same thing, one after the other, also those that are put aside.

        Args:
            call: What to tell.
            tries: How often an endpoint is told that gives no answer, 1 or more.

        Returns:
            For each endpoint in its order None where it accepted, or how it failed at last.
        """
        return [await self._tell(standing, call, tries) for standing in self._standings]

    async def head(self) -> Header:
        """Return the newest block, of an endpoint whose head is not older than what is known where there is one."""
        while True:
            header, standing = await self._ask([("eth_getBlockByNumber", ["latest", False])], _only_header)
            now_s = asyncio.get_running_loop().time()
            if header.number > self._highest:
                self._highest, self._advanced_s = header.number, now_s
                return header
            if now_s - self._advanced_s > self._patience.stuck_s:
                self._advanced_s = now_s
                await self._ask_the_others(standing)
            if header.number + _OLDER_HEAD_BLOCKS >= self._highest:
                return header
            msg = f"expected a head near {self._highest} at endpoint {standing.endpoint.label}, found {header.number}"
            self._put_aside(standing, OlderHead(msg))
            if not self._in_order():
                return header

    def expect_head(self, number: int) -> None:
        """Make known that the chain has reached ``number``: a head well below it is an older one."""
        self._highest = max(self._highest, number)

    async def header(self, number: int) -> Header | None:
        """Return the block of that number, None where the node does not have it yet."""
        return (await self.headers([number]))[0]

    async def headers(self, numbers: Sequence[int]) -> list[Header | None]:
        """Return the blocks of these numbers, None for those the node does not have yet."""
        return await self.ask_many(
            [(("eth_getBlockByNumber", [hex(number), False]), read_optional_header) for number in numbers]
        )

    async def finalized(self) -> int | None:
        """Return the number of the node's ``finalized`` block, None where it does not offer the tag."""
        try:
            header = await self.ask(
                [("eth_getBlockByNumber", ["finalized", False])], lambda results: read_optional_header(results[0])
            )
        except Refused:
            return None
        return None if header is None else header.number

    async def _ask(
        self,
        calls: Sequence[Call],
        read: Callable[[list[Any]], _T],
        *,
        is_divisible: bool = False,
        but: Collection[str] = (),
    ) -> tuple[_T, _Standing]:
        refused: dict[str, RpcError] = {
            label: NoOther(f"expected another endpoint than {', '.join(but)} in order, found none") for label in but
        }
        while True:
            standing = await self._next(refused)
            if standing is None:
                raise list(refused.values())[-1]
            try:
                answer = read(await self._try(standing, calls))
            except TooMuch:
                self._count(standing, "too much")
                raise
            except CallReverted:
                self._count(standing, "reverted")
                raise
            except Refused as error:
                self._count(standing, "refused")
                refused[standing.endpoint.label] = error
            except EndpointSlow as error:
                standing.slow_answers += 1
                if not is_divisible or standing.slow_answers > _SLOW_ANSWERS:
                    self._put_aside(standing, error)
                if is_divisible:
                    msg = f"{error}; asking for less"
                    raise TooMuch(msg) from error
            except RpcError as error:
                self._put_aside(standing, error)
            else:
                standing.backoff.reset()
                standing.slow_answers = 0
                self._count(standing, "answered")
                return answer, standing

    async def _tell(self, standing: _Standing, call: Call, tries: int) -> RpcError | None:
        failure: RpcError | None = None
        for _ in range(tries):
            try:
                await standing.endpoint.ask([call], self._patience.answer_s)
            except (Refused, RateLimited) as error:
                self._count(standing, "refused" if isinstance(error, Refused) else type(error).__name__)
                return error
            except RpcError as error:
                self._count(standing, type(error).__name__)
                failure = error
            else:
                self._count(standing, "answered")
                return None
        return failure

    async def _try(self, standing: _Standing, calls: Sequence[Call]) -> list[Any]:
        if not standing.is_checked:
            found = (await standing.endpoint.ask([("eth_chainId", [])], self._patience.answer_s))[0]
            standing.is_wrong_chain = found != hex(self._chain_id)
            if standing.is_wrong_chain:
                msg = f"expected chain {self._chain_id} at endpoint {standing.endpoint.label}, found {found!r}"
                raise OtherChain(msg)
            standing.is_checked = True
        return await standing.endpoint.ask(calls, self._patience.answer_s)

    async def _divide(self, questions: Sequence[Question[_T]]) -> list[_T]:
        def read(results: list[Any]) -> list[_T]:
            return [of(result) for (_, of), result in zip(questions, results, strict=True)]

        try:
            return await self.ask([call for call, _ in questions], read, is_divisible=len(questions) > 1)
        except TooMuch:
            if len(questions) == 1:
                raise
            half = len(questions) // 2
            return await self._divide(questions[:half]) + await self._divide(questions[half:])

    async def _ask_the_others(self, asked: _Standing) -> None:
        for standing in self._in_order():
            if standing is asked:
                continue
            try:
                header = _only_header(await self._try(standing, [("eth_getBlockByNumber", ["latest", False])]))
            except RpcError as error:
                self._put_aside(standing, error)
            else:
                self._highest = max(self._highest, header.number)

    def _in_order(self) -> list[_Standing]:
        now_s = asyncio.get_running_loop().time()
        return [standing for standing in self._standings if standing.aside_until_s <= now_s]

    async def _next(self, refused: Mapping[str, RpcError]) -> _Standing | None:
        while True:
            for standing in self._in_order():
                if standing.endpoint.label not in refused:
                    return standing
            if refused:
                return None
            if all(standing.is_wrong_chain for standing in self._standings):
                msg = f"expected chain {self._chain_id} of {self.deployment}, found another one at every endpoint"
                raise WrongChain(msg)
            wait_s = min(s.aside_until_s for s in self._standings) - asyncio.get_running_loop().time()
            _log.warning("no endpoint in order deployment=%s wait_s=%.1f", self.deployment, wait_s)
            await asyncio.sleep(max(0.0, wait_s))

    def _put_aside(self, standing: _Standing, error: RpcError) -> None:
        match error:
            case OtherChain():
                wait_s = self._patience.wrong_chain_s
            case OlderHead():
                wait_s = self._patience.older_head_s
            case _:
                wait_s = standing.backoff.next_s()
        # What answers there after a pause may be another node.
        standing.is_checked = False
        standing.aside_until_s = asyncio.get_running_loop().time() + wait_s
        cause = type(error).__name__
        self._count(standing, cause)
        _ASIDE.labels(self.deployment, standing.endpoint.label, cause).inc()
        _log.warning(
            "endpoint put aside deployment=%s endpoint=%s wait_s=%.1f cause=%s reason=%s",
            self.deployment,
            standing.endpoint.label,
            wait_s,
            cause,
            error,
        )

    def _count(self, standing: _Standing, outcome: str) -> None:
        _REQUESTS.labels(self.deployment, standing.endpoint.label, outcome).inc()


def _only_header(results: list[Any]) -> Header:
    return read_header(results[0])
