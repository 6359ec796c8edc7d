"""One request's way from endpoint to endpoint: who failed it, what a fault means, and when to give up.

* ``NoOther``: nobody is left to be asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

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
    from collections.abc import Collection, Sequence

    from streams.node.standing import Patience, Standing

_ELSEWHERE_ROUNDS = 3
MOMENT_S = 1.0
"""An endpoint that is back within so many seconds is waited for where a certain one is wanted."""


class NoOther(RpcError):
    """No other endpoint is in order than those that were asked already."""


class _Failure(NamedTuple):
    standing: Standing
    fault: RpcError
    kind: str


class Turn:
    """What has become of a request so far: which endpoints failed it, and how many rounds of them are left.

    Args:
        patience: Says how many rounds there are.
        but: Labels of endpoints that are not to be asked.
    """

    def __init__(self, patience: Patience, but: Collection[str] = ()) -> None:
        self.but = but
        self._patience = patience
        self._failures: list[_Failure] = []
        self._failed: set[str] = set()
        self._last: RpcError | None = None
        self._rounds = 0
        self._backoff = Backoff(*patience.again_s)
        self.progressed()

    def is_over_for(self, standing: Standing) -> bool:
        """Tell whether an endpoint is not to be asked in this round."""
        return standing.label in self._failed or standing.label in self.but

    def is_first(self, standing: Standing) -> bool:
        """Tell whether an endpoint has not failed any part of the request that is left."""
        return not any(failure.standing is standing for failure in self._failures)

    def fail(self, standing: Standing, fault: RpcError, kind: str) -> None:
        """Note that an endpoint does not answer in this round.

        Args:
            standing: The endpoint's.
            fault: How it failed.
            kind: Of which kind the question was.
        """
        self._failures.append(_Failure(standing, fault, kind))
        self._failed.add(standing.label)
        # TooMuch tells who asks to divide what it asks: it is for what can be divided.
        self._last = Refused(str(fault), str(fault)) if isinstance(fault, TooMuch) else fault

    def moment_s(self, standings: Sequence[Standing]) -> float | None:
        """Return how long to wait for an endpoint that is back in a moment where some are not to be asked, in s."""
        if not self.but:
            return None
        now_s = asyncio.get_running_loop().time()
        backs_s = [s.aside_until_s - now_s for s in standings if not s.is_in_order and not self.is_over_for(s)]
        return next((back_s for back_s in sorted(backs_s) if back_s <= MOMENT_S), None)

    def progressed(self) -> None:
        """Note that a part was answered: what is left has as many rounds as at first."""
        self._rounds = min(_ELSEWHERE_ROUNDS, self._patience.rounds) if self.but else self._patience.rounds
        self._backoff.reset()

    def answered_by(self, standing: Standing) -> None:
        """Note that an endpoint answered what others had failed: they are at fault, or do not offer it."""
        for failure in self._failures:
            if failure.standing is standing:
                continue
            if isinstance(failure.fault, BadAnswer):
                failure.standing.put_aside(failure.fault)
            else:
                failure.standing.note_unable(failure.kind)
        self._failures.clear()

    async def next_round(self) -> None:
        """Wait for the next round.

        Raises:
            RpcError: There is none; it is the last failure, or NoOther.
        """
        self._rounds -= 1
        if self._rounds <= 0 or not self._failed:
            raise self._last or NoOther(f"expected another endpoint than {', '.join(self.but)} in order, found none")
        self._failed.clear()
        await asyncio.sleep(self._backoff.next_s())

    @property
    def has_failed(self) -> bool:
        """Whether an endpoint was asked in vain in this round, or some are not to be asked."""
        return bool(self._failed or self.but)


class Request(NamedTuple):
    """What was asked: its kind, the blocks of its range of logs where it has one, and whether who asks divides it."""

    kind: str
    span: int | None
    is_divisible: bool


def judge(standing: Standing, fault: RpcError, turn: Turn, request: Request) -> None:
    """Decide what an endpoint's fault means for it and for the request.

    Args:
        standing: The endpoint's.
        fault: How it failed.
        turn: What has become of the request so far.
        request: What was asked.

    Raises:
        TooMuch: Less is to be asked for.
        CallReverted: A contract refused a call.
    """
    is_aside = is_too_much = False
    match fault:
        case CallReverted():
            standing.count("reverted")
            raise fault
        case Refused() | TooMuch():
            standing.count("refused" if isinstance(fault, Refused) else "too much")
            # What was taken before is asked once more first, elsewhere or later: a refusal may be for a moment.
            is_proven = request.span is not None and standing.width.is_proven(request.span)
            is_too_much = request.is_divisible and not (is_proven and turn.is_first(standing))
        case BadAnswer():
            standing.count("bad")
        case EndpointSlow():
            is_too_much = request.is_divisible
            is_aside = standing.is_slow or not request.is_divisible
        case RateLimited() | EndpointDown(was_reached=True):
            # Words may be wrong about the cause: what comes again and again is also tried with less.
            is_too_much = request.is_divisible and standing.limited > 0
            standing.limited += 1
            is_aside = True
        case _:
            is_aside = True
    if is_aside:
        standing.put_aside(fault)
    if is_too_much:
        _expect_less(standing, fault, request.span)
    if not is_aside:
        turn.fail(standing, fault, request.kind)


def _expect_less(standing: Standing, fault: RpcError, span: int | None) -> None:
    if span is not None:
        standing.width.refused(span)
        standing.show()
    msg = f"{fault}; asking for less"
    raise TooMuch(msg, None if span is None else standing.width.size) from fault


def expect_to_fit(standing: Standing, span: int | None) -> None:
    """Let a range of logs pass that an endpoint takes.

    Raises:
        TooMuch: It has more blocks than that.
    """
    if span is not None and span > standing.width.size:
        msg = f"expected at most {standing.width.size} blocks to be asked of endpoint {standing.label}, found {span}"
        raise TooMuch(msg, standing.width.size)
