"""The standing of one endpoint: whether it is in order, how much it takes at once, and what it does not answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from streams.node.allowance import Allowance
from streams.node.answers import read_chain_id
from streams.node.rpc import (
    BadAnswer,
    CallReverted,
    EndpointDown,
    EndpointSlow,
    RateLimited,
    Refused,
    RpcError,
    TooMuch,
)
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.node.rpc import Call, Endpoint, Outcome

_log = logging.getLogger(__name__)

_REQUESTS = Counter("tidemark_rpc_requests_total", "Requests by outcome.", ("deployment", "endpoint", "outcome"))
_ASIDE = Counter("tidemark_rpc_endpoints_put_aside_total", "Endpoints put aside.", ("deployment", "endpoint", "cause"))
_BATCH = Gauge("tidemark_rpc_batch_calls", "Calls in one request at most.", ("deployment", "endpoint"))
_WIDTH = Gauge("tidemark_rpc_log_range_blocks", "Blocks in one range of logs at most.", ("deployment", "endpoint"))

_MOST_CALLS = 100
_MOST_BLOCKS = 50_000
# One slow answer may be a large one; several in a row are a slow endpoint.
_SLOW_ANSWERS = 2
# Enough for an endpoint that refuses a quarter of its calls.
_TRIES = 4
# Logs and the header that tells of which state they are.
_PAIR = 2
_AGAIN_S = (0.1, 1.0)
# What an endpoint does not answer though another one does, it is asked last for so long, then for twice as long.
_UNABLE_S = (5.0, 300.0)


class OtherChain(RpcError):
    """The endpoint serves another chain than the one configured."""


class OlderHead(RpcError):
    """The endpoint's newest block is older than what is already known, or it contradicts what others say."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an endpoint, in seconds.

    ``answer_s``: for one answer. ``down_s``: bounds of the back-off while an endpoint is down or limits our rate.
    ``wrong_chain_s`` and ``older_head_s``: how long it is put aside for these. ``stuck_s``: a head that does not
    advance for so long is compared with the other endpoints' heads. ``rounds``: how often all endpoints in order are
    asked what each of them refuses. ``again_s``: bounds of the back-off between these rounds.
    """

    answer_s: float = 15.0
    down_s: tuple[float, float] = (0.5, 30.0)
    wrong_chain_s: float = 600.0
    older_head_s: float = 30.0
    stuck_s: float = 15.0
    rounds: int = 5
    again_s: tuple[float, float] = (0.1, 2.0)


class Standing:
    """What is known of one endpoint; it is asked through here, in batches that it takes.

    ``width`` is how many blocks a range of logs may have there, ``limited`` how often in a row it was put aside because
    it seemed to limit our rate, ``slow_answers`` how many answers in a row did not come in time.

    Args:
        deployment: Name for logs and metrics.
        endpoint: The endpoint.
        chain_id: The chain it must serve.
        patience: How long to wait for what.
        clock_s: Tells the time, in s.
    """

    def __init__(
        self, deployment: str, endpoint: Endpoint, chain_id: int, patience: Patience, clock_s: Callable[[], float]
    ) -> None:
        self.label = endpoint.label
        self.endpoint = endpoint
        self.width = Allowance(_MOST_BLOCKS, clock_s)
        self.limited = 0
        self.slow_answers = 0
        self.aside_until_s = float("-inf")
        self.is_wrong_chain = False
        self._deployment = deployment
        self._chain_id = chain_id
        self._patience = patience
        self._clock_s = clock_s
        self._batch = Allowance(_MOST_CALLS, clock_s)
        self._backoff = Backoff(*patience.down_s)
        self._is_checked = False
        self._unable: dict[str, tuple[float, float]] = {}

    @property
    def is_in_order(self) -> bool:
        """Whether it is to be asked now."""
        return self.aside_until_s <= self._clock_s()

    @property
    def is_slow(self) -> bool:
        """Whether so many answers in a row did not come in time that asking for less does not help."""
        return self.slow_answers > _SLOW_ANSWERS

    def is_unable(self, kinds: Iterable[str]) -> bool:
        """Tell whether it lately did not answer a question of one of these kinds that another endpoint answered."""
        now_s = self._clock_s()
        return any(now_s < self._unable[kind][0] for kind in kinds if kind in self._unable)

    def note_unable(self, kind: str) -> None:
        """Note that it refused a question of a kind that another endpoint answered: it is asked last for a while."""
        shortest_s, longest_s = _UNABLE_S
        until_s, last_s = self._unable.get(kind, (0.0, 0.0))
        if self._clock_s() >= until_s:
            wait_s = min(longest_s, max(shortest_s, 2 * last_s))
            self._unable[kind] = self._clock_s() + wait_s, wait_s

    def note_answered(self, kinds: Iterable[str], span: int | None) -> None:
        """Note that it answered.

        Args:
            kinds: Of which kinds the questions were.
            span: Of how many blocks the range of logs among them was, 1 or more; None where there was none.
        """
        self.slow_answers = self.limited = 0
        self._backoff.reset()
        for kind in kinds:
            self._unable.pop(kind, None)
        if span is not None:
            self.width.took(span)
            self.show()
        self.count("answered")

    def count(self, outcome: str) -> None:
        """Count a request by its outcome."""
        _REQUESTS.labels(self._deployment, self.label, outcome).inc()

    def show(self) -> None:
        """Show how much it takes at once among the metrics."""
        _BATCH.labels(self._deployment, self.label).set(self._batch.size)
        _WIDTH.labels(self._deployment, self.label).set(self.width.size)

    def put_aside(self, error: RpcError) -> None:
        """Ask it nothing for a while, because of ``error``."""
        match error:
            case OtherChain():
                wait_s = self._patience.wrong_chain_s
            case OlderHead():
                wait_s = self._patience.older_head_s
            case _:
                wait_s = self._backoff.next_s()
        if isinstance(error, EndpointDown | OtherChain):
            # What answers there after a pause may be another node.
            self._is_checked = False
        self.aside_until_s = self._clock_s() + wait_s
        cause = type(error).__name__
        self.count(cause)
        _ASIDE.labels(self._deployment, self.label, cause).inc()
        _log.warning(
            "endpoint put aside deployment=%s endpoint=%s wait_s=%.1f cause=%s reason=%s",
            self._deployment,
            self.label,
            wait_s,
            cause,
            error,
        )

    async def send(self, calls: Sequence[Call], *, is_separable: bool) -> list[Outcome]:
        """Ask the calls, in batches that the endpoint takes.

        A batch of which every call is refused may be too large, whatever the refusal says: less is asked until a part
        of it is answered or a single call is refused. So may one of which only the first calls are answered, where all
        are to be of one state.

        Args:
            calls: At least one.
            is_separable: Whether an answer to some of them is of use without the others'.

        Returns:
            What became of each call, in order.
        """
        if (unfit := await self._chain_fault()) is not None:
            return [unfit] * len(calls)
        outcomes: list[Outcome] = []
        sending = _Sending(self._batch.size)
        while len(outcomes) < len(calls):
            some = calls[len(outcomes) : len(outcomes) + sending.size]
            told = await self._exchange(some)
            fault = _fault_of_all(told)
            part = None if is_separable or fault is not None else _fault_after_first(told)
            if part is not None:
                if not await self._asks_again(sending, len(some), part):
                    return outcomes + told + [part] * (len(calls) - len(outcomes) - len(told))
                continue
            if fault is None:
                # Some refuse what is beyond the first calls of a batch: one of which a part is answered proves nothing.
                if not any(map(_is_fault, told)):
                    self._note_batch(len(some), has_shrunk=sending.has_shrunk)
                sending = _Sending(self._batch.size)
            elif len(some) > 1 and self._may_be_too_many(fault):
                self._shrink(sending, len(some), fault)
                continue
            elif not is_separable and len(some) < len(calls) and sending.may_ask_again(fault):
                # What was answered so far would be asked anew otherwise.
                await asyncio.sleep(sending.backoff.next_s())
                continue
            elif not (is_separable and len(some) == 1 and sending.may_skip(fault)):
                return outcomes + [fault] * (len(calls) - len(outcomes))
            outcomes += told
        return outcomes

    async def _asks_again(self, sending: _Sending, size: int, fault: RpcError) -> bool:
        """Wait to ask a batch again of which only the first calls were answered, or less of it; False to give it up.

        Two calls of one state are never taken apart where the endpoint has answered as many at once before.
        """
        if sending.may_ask_again(fault):
            await asyncio.sleep(sending.backoff.next_s())
            return True
        is_to_shrink = size > _PAIR or not self._batch.is_proven(size)
        if is_to_shrink:
            sending.shrink(self._batch.smaller(size))
        return is_to_shrink

    def _shrink(self, sending: _Sending, size: int, fault: RpcError) -> None:
        # What was taken before is asked once more first: a refusal may be for a moment.
        if sending.is_repeated or not self._batch.is_proven(size) or isinstance(fault, EndpointSlow):
            sending.shrink(self._batch.smaller(size))
        sending.is_repeated = True

    async def _exchange(self, calls: Sequence[Call]) -> list[Outcome]:
        try:
            return await self.endpoint.ask(calls, self._patience.answer_s)
        except EndpointSlow as error:
            self.slow_answers += 1
            if len(calls) > 1:
                # An endpoint that takes its time over each call is put aside in between, and must not forget it.
                self._batch.refused(len(calls))
            return [error] * len(calls)
        except RpcError as error:
            return [error] * len(calls)

    async def _chain_fault(self) -> RpcError | None:
        if self._is_checked:
            return None
        (found,) = await self._exchange([("eth_chainId", [])])
        if isinstance(found, RpcError):
            return found
        try:
            chain_id = read_chain_id(found)
        except BadAnswer as error:
            return error
        self.is_wrong_chain = chain_id != self._chain_id
        if self.is_wrong_chain:
            return OtherChain(f"expected chain {self._chain_id} at endpoint {self.label}, found {chain_id}")
        self._is_checked = True
        return None

    def _may_be_too_many(self, fault: RpcError) -> bool:
        match fault:
            case EndpointSlow():
                return not self.is_slow
            case RateLimited():
                return self.limited > 0
            case EndpointDown(was_reached=was_reached):
                return was_reached and self.limited > 0
            case _:
                return True

    def _note_batch(self, size: int, *, has_shrunk: bool) -> None:
        if has_shrunk:
            self._batch.settle(size, is_trial=size >= self._batch.taken)
            _log.info("batch shrunk deployment=%s endpoint=%s calls=%d", self._deployment, self.label, size)
        else:
            self._batch.took(size)
        self.show()


class _Sending:
    """How far the sending of some calls is: how many are asked at a time, and what was tried with the next ones."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.has_shrunk = False
        self.is_repeated = False
        self.backoff = Backoff(*_AGAIN_S)
        self._tries = 0

    def shrink(self, size: int) -> None:
        """Ask for ``size`` calls at a time from here on, as often as was left at first."""
        self.size, self.has_shrunk, self._tries = size, True, 0

    def may_ask_again(self, fault: RpcError) -> bool:
        """Tell whether to ask the next calls once more after a fault."""
        self._tries += 1
        return self._tries < _TRIES and isinstance(fault, Refused | TooMuch | BadAnswer | RateLimited)

    def may_skip(self, fault: RpcError) -> bool:
        """Tell whether the next call alone may be at fault: it would spoil every batch that it is in."""
        self._tries += 1
        return self._tries < _TRIES and isinstance(fault, Refused | TooMuch | BadAnswer)


def _fault_after_first(outcomes: Sequence[Outcome]) -> RpcError | None:
    """Return the first error where the first call was answered: a refusal of that one is about what it asks."""
    if isinstance(outcomes[0], RpcError):
        return None
    return next((one for one in outcomes if _is_fault(one)), None)


def _fault_of_all(outcomes: Sequence[Outcome]) -> RpcError | None:
    """Return the first error where no call was answered."""
    if not all(map(_is_fault, outcomes)):
        return None
    first: RpcError = outcomes[0]
    return first


def _is_fault(outcome: Outcome) -> bool:
    """Tell whether a call was not answered; that a contract refused it is an answer."""
    return isinstance(outcome, RpcError) and not isinstance(outcome, CallReverted)
