"""What the endpoints say of the chain one by one, and what they agree on: none decides alone what is for good.

* Something is so where two endpoints say it; where there are two, both have to. Where one alone has answered for a
  minute, it does.
* An endpoint that is well behind two others has no say. Of two, that one is ahead of the other proves nothing, since it
  may say so in error: one has no say only if its blocks' times do not keep step with time and the other's do, since it
  stands still then, or is catching up. Where neither's do, the chain stands still.
* One that does not answer in time is not asked again for a while: nothing waits for it twice.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from streams.funder.agreement import ENOUGH, agreed, highest_agreed, is_agreed
from streams.funder.chain_errors import NodeDown, answered_in_time, reverted
from streams.funder.clocks import REMEMBERED_S, Clocks, times_of
from streams.funder.node_questions import LATEST, PENDING, read_next_s, receipts_of
from streams.node.answers import read_block_number, read_number, read_time_s
from streams.node.rpc import CallReverted, EndpointDown, EndpointSlow, RateLimited, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from streams.funder.clocks import Times
    from streams.node.answers import Receipt
    from streams.node.endpoints import Node
    from streams.node.rpc import Call
    from streams.process.clock import Clock

_log = logging.getLogger(__name__)

K = TypeVar("K")
T = TypeVar("T")

# A pass waits so long for an endpoint that hangs, and then does without it: for 4 s at first, half a minute in the end.
_SAID_WITHIN_S = 2.5
_SILENT_S = (4.0, 30.0)
# More than a busy endpoint may need that time for is asked in parts of so many.
_A_PART = 25
# Backends of one endpoint, and endpoints, differ by a block or two all the time.
_WELL_BEHIND_BLOCKS = 5
# The time of an endpoint's head passes as time does, within a factor of two, over so many seconds.
_PACE_OVER_S = 30.0


class Head(NamedTuple):
    """The newest block, and how many transactions the signer has in the chain up to it."""

    block: int
    nonce: int


class Sight(NamedTuple):
    """The chain as one endpoint has it: its head, and those receipts that were asked for and are there."""

    head: Head
    receipts: dict[str, Receipt]


class Sights(NamedTuple):
    """The chain as each endpoint has it, and what they agree on."""

    told: Sequence[Sight]
    enough: int = 1

    @property
    def are_enough(self) -> bool:
        """Whether as many endpoints answered as can say that something is for good."""
        return len(self.told) >= self.enough

    @property
    def head(self) -> Head:
        """The newest block, and the nonce, that two endpoints have come to."""
        return Head(
            highest_agreed([one.head.block for one in self.told]),
            highest_agreed([one.head.nonce for one in self.told]),
        )

    def receipt(self, hashes: Collection[str]) -> Receipt | None:
        """Find the receipt of any of some transactions, which they all but one may miss.

        The one that two endpoints have comes first, then that two have none, then whatever there is. Of those that are
        the same, it is one that says the most.
        """
        found = [self._receipt_of(one, hashes) for one in self.told]
        there = [one for one in found if one is not None]
        for receipt in sorted(there, key=lambda one: (one.succeeded is None, one.cost_wei is None)):
            if is_agreed(_is_same(receipt, other) for other in found):
                return receipt
        if len(self.told) > ENOUGH and is_agreed(one is None for one in found):
            return None
        return next((one for one in there if one.succeeded is not None), next(iter(there), None))

    def are_deep(self, receipt: Receipt, depth: int) -> bool:
        """Whether a receipt's block is as deep as is final at two endpoints, which have it there."""
        return is_agreed(
            _is_same(receipt, one.receipts.get(receipt.hash)) and one.head.block - receipt.block >= depth
            for one in self.told
        )

    @staticmethod
    def _receipt_of(one: Sight, hashes: Collection[str]) -> Receipt | None:
        return next((one.receipts[sent] for sent in hashes if sent in one.receipts), None)


class Latest(NamedTuple):
    """An endpoint's newest block: its number, and its time, Unix s."""

    block: int
    time_s: int


class AgreedChain:
    """The questions to a chain on whose answers something depends for good: every endpoint is asked.

    Args:
        node: The endpoints.
        clock: Ours; it tells which of two that are far apart is near it.
    """

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node = node
        self._paces: dict[str, _Pace] = {}
        # Until when an endpoint is not asked, and for how long that is in all.
        self._silent: dict[str, tuple[float, float]] = {}
        # When the first question was asked.
        self._began_s: float | None = None
        # Those that had no say last, since they are out of step.
        self._out_of_step: set[str] = set()
        # When an endpoint had its say last, and what its clock was then.
        self._heard_s: dict[str, float] = {}
        self._clocks = Clocks(node.deployment, clock)
        self._agreed_block = -1
        self._advanced_s = 0.0

    @property
    def enough(self) -> int:
        """How many have to say what is for good: two, where so many had their say within the last minute.

        In the first minute every endpoint counts as heard, but for those that are out of step.
        """
        if self._began_s is not None and _now_s() - self._began_s < REMEMBERED_S:
            return min(ENOUGH, max(1, self._node.endpoints - len(self._out_of_step)))
        heard = sum(_now_s() - heard_s < REMEMBERED_S for heard_s in self._heard_s.values())
        return min(ENOUGH, max(1, heard))

    def agree(self, said: Iterable[bool]) -> bool:
        """Whether endpoints that answered say something, as many as can say it for good.

        Args:
            said: What each of them says.
        """
        votes = list(said)
        return is_agreed(votes) and sum(votes) >= self.enough

    async def times(self) -> Times:
        """Find the time that the next block would have.

        Raises:
            NodeDown: No endpoint answers, or fewer did within the last minute than can say it.
        """
        return self._clocks.times(await self._told_times(), self.enough)

    async def agreed_time_s(self) -> int:
        """The time that the next block has by two endpoints at least, Unix s.

        Raises:
            NodeDown: As of ``times``.
        """
        return (await self.times()).agreed_s

    async def shown_time_s(self) -> int:
        """The time that the next block has by whoever answers, Unix s: for what is shown, and decides nothing.

        Raises:
            NodeDown: No endpoint answers.
        """
        return times_of((await self._told_times()).values()).agreed_s

    async def final_time_s(self, depth: int) -> int:
        """The time of the newest block that is ``depth`` blocks deep by two endpoints, Unix s.

        It is 0 on a shorter chain, and while too few endpoints answer.

        Args:
            depth: After how many blocks a block is taken as final.

        Raises:
            NodeDown: No endpoint answers.
        """
        blocks = await self._of_each([], lambda latest, _: latest.block)
        newest = highest_agreed(blocks)
        if newest < depth or len(blocks) < self.enough:
            return 0
        block: Call = ("eth_getBlockByNumber", [hex(newest - depth), False])
        times_s = await self._of_each([block], lambda _, results: read_time_s(results[0]))
        return 0 if len(times_s) < self.enough else highest_agreed(times_s)

    async def sights(self, signer: str, hashes: Sequence[str]) -> Sights:
        """Find how each endpoint has the signer's nonce, and receipts of transactions.

        Args:
            signer: Its address.
            hashes: The transactions'.

        Raises:
            NodeDown: No endpoint answers.
        """
        nonce: Call = ("eth_getTransactionCount", [signer, "latest"])

        def question(some: Sequence[str]) -> tuple[list[Call], Callable[[Latest, list[Any]], Sight]]:
            receipts, read_receipts = receipts_of(some)

            def read(latest: Latest, results: list[Any]) -> Sight:
                return Sight(Head(latest.block, read_number(results[0])), read_receipts(results[1:]))

            return [nonce, *receipts], read

        told = await self._parts_of_each(hashes, question)
        # The head is the first one: what comes after it may be known of no receipt yet.
        sights = [
            Sight(parts[0].head, {sent: receipt for part in parts for sent, receipt in part.receipts.items()})
            for parts in told
        ]
        return Sights(sights, self.enough)

    def is_old(self, block: int) -> bool:
        """Whether a head is well below one that two endpoints had within the last half minute.

        Args:
            block: Its number.
        """
        is_fresh = _now_s() - self._advanced_s < _PACE_OVER_S
        return is_fresh and block + _WELL_BEHIND_BLOCKS < self._agreed_block

    def note_head(self, block: int) -> None:
        """Note a head that counts; a chain that turned to a shorter branch is believed after half a minute.

        Args:
            block: Its number.
        """
        if block > self._agreed_block or _now_s() - self._advanced_s >= _PACE_OVER_S:
            self._agreed_block, self._advanced_s = block, _now_s()

    async def _of_each(self, calls: Sequence[Call], read: Callable[[Latest, list[Any]], T]) -> list[T]:
        """What each endpoint answers that has a say.

        Args:
            calls: Asked beside the newest block, of one state where the endpoint has one.
            read: Reads their results.

        Raises:
            NodeDown: No endpoint answers.
            Reverted: A contract refuses one of the calls by what two endpoints say, or all that answer.
        """
        return list((await self._by_label(calls, read)).values())

    async def _parts_of_each(
        self,
        asked: Sequence[K],
        question: Callable[[Sequence[K]], tuple[Sequence[Call], Callable[[Latest, list[Any]], T]]],
    ) -> list[list[T]]:
        """What each endpoint answers that has a say, part after part, so that none takes long; raises as ``_of_each``.

        Args:
            asked: What to ask for; nothing is one part too.
            question: Makes the calls for some of it, and what reads their results.
        """
        parts = [asked[start : start + _A_PART] for start in range(0, len(asked), _A_PART)] or [asked]
        said = [await self._by_label(*question(part)) for part in parts]
        whole = [label for label in said[0] if all(label in part for part in said)]
        if not whole:
            msg = f"expected an endpoint to answer all of {len(parts)} parts of a question, found none that does"
            raise NodeDown(msg)
        return [[part[label] for part in said] for label in whole]

    async def _by_label(self, calls: Sequence[Call], read: Callable[[Latest, list[Any]], T]) -> dict[str, T]:
        """What each endpoint answers that has a say, by its label; raises what ``_of_each`` does."""
        said = await self._said_by_each(calls, read)
        if is_agreed(isinstance(one, CallReverted) for one in said.values()):
            refusals = [reverted(one) for one in said.values() if isinstance(one, CallReverted)]
            # A reason that one endpoint alone tells may be made up.
            reason = agreed([str(one) for one in refusals])
            raise next((one for one in refusals if str(one) == reason), refusals[0])
        return {label: one for label, one in said.items() if not isinstance(one, CallReverted)}

    async def _said_by_each(
        self, calls: Sequence[Call], read: Callable[[Latest, list[Any]], T]
    ) -> dict[str, T | CallReverted]:
        """What each endpoint answers that has a say, or that a contract refuses there, by its label.

        Raises:
            NodeDown: No endpoint answers.
        """

        def read_all(results: list[Any]) -> tuple[Latest, T]:
            latest = Latest(read_block_number(results[0]), read_time_s(results[0]))
            return latest, read(latest, results[1:])

        now_s = _now_s()
        if self._began_s is None:
            self._began_s = now_s
        asked = [LATEST, *calls]
        told = await self._node.ask_each_endpoint(
            asked,
            read_all,
            within_s=_SAID_WITHIN_S,
            than=[label for label, (until_s, _) in self._silent.items() if now_s < until_s],
        )
        self._note_silent(told)
        refused = {label: one for label, one in told.items() if isinstance(one, CallReverted)}
        answers = {label: one for label, one in told.items() if not isinstance(one, RpcError)}
        if not answers and not refused:
            # Nobody had a say in time: whoever comes first is better than none.
            async with answered_in_time(asked[-1][0]):
                answer, label = await self._node.ask_elsewhere(asked, read_all, than=())
            answers = {label: answer}
        return {**refused, **self._with_a_say(answers)}

    async def _told_times(self) -> dict[str, int]:
        return await self._by_label([PENDING], lambda latest, results: read_next_s(latest.time_s, *results))

    def _note_silent(self, told: Mapping[str, object]) -> None:
        now_s = _now_s()
        for label, one in told.items():
            if isinstance(one, EndpointDown | EndpointSlow | RateLimited):
                shortest_s, longest_s = _SILENT_S
                until_s, last_s = self._silent.get(label, (0.0, 0.0))
                if now_s < until_s:
                    # Several questions at once met the same silence.
                    continue
                wait_s = min(longest_s, max(shortest_s, 2 * last_s))
                self._silent[label] = now_s + wait_s, wait_s
            elif not isinstance(one, RpcError):
                self._silent.pop(label, None)

    def _with_a_say(self, told: Mapping[str, tuple[Latest, T]]) -> dict[str, T]:
        """Leave out what endpoints say that are behind; these are not asked first for a while."""
        if not told:
            return {}
        for label, (latest, _) in told.items():
            self._paces.setdefault(label, _Pace(latest.time_s, _now_s())).note(latest.time_s, _now_s())
        counted: dict[str, T] = {}
        for label, (latest, answer) in told.items():
            ahead = sum(latest.block + _WELL_BEHIND_BLOCKS < other.block for other, _ in told.values())
            are_others_in_step = all(self._paces[other].is_in_step for other in told if other != label)
            is_out_of_step = not self._paces[label].is_in_step and are_others_in_step
            if ahead >= ENOUGH or (len(told) == ENOUGH and is_out_of_step):
                self._node.distrust(label, f"expected a head that keeps step with others', found {latest}")
                self._out_of_step.add(label)
                self._heard_s.pop(label, None)
                self._clocks.forget(label)
            else:
                counted[label] = answer
                self._out_of_step.discard(label)
                self._heard_s[label] = _now_s()
        self.note_head(highest_agreed([told[label][0].block for label in counted]))
        return counted


class _Pace:
    """Whether the time of an endpoint's head passes as time does.

    Args:
        time_s: Its time at first, Unix s.
        now_s: When that was, in s.
    """

    def __init__(self, time_s: int, now_s: float) -> None:
        self.is_in_step = True
        self._time_s, self._since_s = time_s, now_s

    def note(self, time_s: int, now_s: float) -> None:
        """Take in what its time is now."""
        passed_s = now_s - self._since_s
        if passed_s >= _PACE_OVER_S:
            self.is_in_step = passed_s <= 2 * (time_s - self._time_s) <= 4 * passed_s
            self._time_s, self._since_s = time_s, now_s


def _is_same(receipt: Receipt, other: Receipt | None) -> bool:
    """Whether two endpoints tell the same of a transaction, as far as both tell it."""
    return (
        other is not None
        and (receipt.hash, receipt.block_hash, receipt.gas_used) == (other.hash, other.block_hash, other.gas_used)
        and _are_one(receipt.succeeded, other.succeeded)
        and _are_one(receipt.cost_wei, other.cost_wei)
    )


def _are_one(said: int | None, other: int | None) -> bool:
    return None in (said, other) or said == other


def _now_s() -> float:
    return asyncio.get_running_loop().time()
