"""Asks the nodes of one chain for accounts: one endpoint after the other, until one gives an answer that can be used.

An endpoint that is behind gives right answers of an old slot: they are used only where no other endpoint has a newer
one. Which endpoint is asked first turns with every question, so that what one of them leaves out another one says.
What no endpoint gives at once, since it is too much, is asked for in parts.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from prometheus_client import Counter

from models.flash.chain_accounts import discriminator_text
from streams.ingest.flash.account_book import Witness
from streams.ingest.flash.slot_bound import SlotAhead
from streams.ingest.flash.solana_answers import (
    CLOCK_ADDRESS,
    ChainTime,
    ListedAccounts,
    SeenAccounts,
    read_accounts,
    read_programme_accounts,
    read_programme_addresses,
    read_slot,
    read_time,
)
from streams.node.rpc import BadAnswer, RpcError, TooMuch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from models.flash.chain_accounts import Layer
    from streams.ingest.flash.slot_bound import SlotBound
    from streams.node.rpc import Call, Endpoint
    from streams.process.backoff import Backoff
    from streams.process.clock import Clock

_log = logging.getLogger(__name__)

_FAULTS = Counter(
    "tidemark_flash_node_faults_total", "Questions that an endpoint did not answer.", ("deployment", "layer", "cause")
)

# The most that nodes of Solana take in one question.
_ASKED_AT_ONCE = 100
_ANSWER_WITHIN_S = 30.0
BEHIND_SLOTS = 150
"""A node that is so many slots behind does not keep up; one is 0.4 s on Solana, and less on the rollup."""

# The bytes of no account: addresses alone take some 200 bytes each, so that 400,000 of them are an answer.
_NO_BYTES = {"offset": 0, "length": 0}


class _OfSlot(Protocol):
    """An answer, which is as of a slot."""

    @property
    def slot(self) -> int:
        """As of which slot it is."""


A = TypeVar("A", bound=_OfSlot)


class _Said(NamedTuple, Generic[A]):
    """An answer, and which endpoint gave it."""

    answer: A
    endpoint: str


class LayerNode:
    """The nodes of one chain.

    Args:
        deployment: The deployment, for logs and metrics.
        layer: Which chain.
        endpoints: Its http(s) endpoints, in order of preference; at least one.
        commitment: How sure a node has to be of what it says.
        bound: Tells which slots are believed.
        backoff: Tells how long to wait before all endpoints are asked again.

    Attributes:
        highest_slot: The highest slot that any answer or notification was of.
    """

    def __init__(
        self,
        deployment: str,
        layer: Layer,
        endpoints: Sequence[Endpoint],
        *,
        commitment: str,
        bound: SlotBound,
        backoff: Backoff,
    ) -> None:
        self.layer = layer
        self.highest_slot = 0
        self._deployment = deployment
        self._endpoints = endpoints
        self._commitment = commitment
        self._how = {"encoding": "base64", "commitment": commitment}
        self._bound = bound
        self._backoff = backoff
        self._asked = 0
        self._beginning = asyncio.Lock()
        # The types of which no endpoint gives all accounts in one answer.
        self._is_too_much: set[str] = set()

    def note_slot(self, slot: int) -> None:
        """Note that the chain has come to a slot.

        Raises:
            SlotAhead: It cannot have come so far.
        """
        self._bound.take(slot)
        self.highest_slot = max(self.highest_slot, slot)

    async def begin(self) -> None:
        """Where nothing is known of the chain, ask every endpoint how far it is, again until one says so."""
        async with self._beginning:
            while not self._bound.is_known:
                said = await asyncio.gather(*map(self._slot_of, self._endpoints))
                slots = [slot for slot in said if slot is not None]
                if slots:
                    self._bound.begin(slots)
                    _log.info("chain begun deployment=%s layer=%s slots=%s", self._deployment, self.layer, slots)
                else:
                    await asyncio.sleep(self._backoff.next_s())

    async def once_begun(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run what hears of slots, once it is known where the chain is: what it heard before would not be believed."""
        await self.begin()
        await run()

    async def programme_accounts(self, programme: str, account: str) -> SeenAccounts | ListedAccounts:
        """All accounts of one type, or only their addresses where no endpoint gives more in one answer.

        Args:
            programme: The programme that owns them.
            account: The type, by whose discriminator they are chosen.
        """
        options = {**self.chosen_by(account), "withContext": True}
        whole: Call = ("getProgramAccounts", [programme, options])
        addresses: Call = ("getProgramAccounts", [programme, {**options, "dataSlice": _NO_BYTES}])
        self._backoff.reset()
        while True:
            try:
                seen = None if account in self._is_too_much else await self._round(whole, read_programme_accounts)
            except TooMuch:
                seen = None
                self._is_too_much.add(account)
            # What an endpoint refuses for its size in words of its own may be given in parts as well.
            if seen is not None:
                return seen.answer
            listed = await self._round(addresses, read_programme_addresses)
            if listed is not None:
                return listed.answer
            await asyncio.sleep(self._backoff.next_s())

    async def time(self, clock: Clock) -> ChainTime:
        """The time of the chain; one that lies in our future is a fault of its endpoint."""
        call: Call = ("getMultipleAccounts", [[CLOCK_ADDRESS], self._how])
        self._backoff.reset()
        while True:
            said = await self._round(call, lambda result: read_time(clock.now_ms(), result))
            if said is not None:
                return said.answer
            await asyncio.sleep(self._backoff.next_s())

    def chosen_by(self, account: str) -> dict[str, Any]:
        """The options by which a node gives the accounts of one type, with all of their bytes."""
        return {
            "encoding": "base64",
            "commitment": self._commitment,
            "filters": [{"memcmp": {"offset": 0, "bytes": discriminator_text(account)}}],
        }

    async def accounts(self, pubkeys: Sequence[str], first: int | None = None) -> AsyncIterator[SeenAccounts]:
        """Accounts by their addresses, in answers of at most a hundred, each as of one slot, with who answered.

        Args:
            pubkeys: The addresses.
            first: The number, of any size, of the endpoint that is asked first; None to go on with the next one.
        """
        begins = range(0, len(pubkeys), _ASKED_AT_ONCE)
        waiting = [list(pubkeys[begin : begin + _ASKED_AT_ONCE]) for begin in reversed(begins)]
        while waiting:
            some = waiting.pop()
            try:
                answer = await self._accounts_of(some, first)
            except TooMuch:
                # One account that is larger than an answer is none of the venue's; it stays as it was.
                if len(some) > 1:
                    waiting += some[len(some) // 2 :], some[: len(some) // 2]
                continue
            yield answer

    async def _accounts_of(self, pubkeys: list[str], first: int | None) -> SeenAccounts:
        """Ask until there is an answer.

        Raises:
            TooMuch: It would be larger than any that is taken.
        """
        self._backoff.reset()
        while True:
            call: Call = ("getMultipleAccounts", [pubkeys, self._how])
            said = await self._round(call, partial(read_accounts, pubkeys), first)
            if said is not None:
                return said.answer._replace(witness=Witness(said.endpoint, is_only=len(self._endpoints) == 1))
            await asyncio.sleep(self._backoff.next_s())

    async def _round(self, call: Call, read: Callable[[Any], A], first: int | None = None) -> _Said[A] | None:
        """Ask each endpoint once, until one answers; it is the newest of those that are behind where all of them are.

        Args:
            call: What to ask.
            read: Reads an answer.
            first: The endpoint that is asked first, None for the next one.

        Returns:
            None where none answered.

        Raises:
            TooMuch: None answered, and the answer of one is larger than any that is taken.
        """
        await self.begin()
        behind: _Said[A] | None = None
        too_much: TooMuch | None = None
        for endpoint in self._in_turn(first):
            try:
                answer = await self._answer(endpoint, call, read)
            except (RpcError, RecursionError) as error:
                self._fault(endpoint, _cause_of(error), str(error))
                too_much = error if isinstance(error, TooMuch) else too_much
                continue
            if answer.slot >= self.highest_slot - BEHIND_SLOTS:
                return _Said(answer, endpoint.label)
            self._fault(endpoint, "behind", f"slot {answer.slot} of {self.highest_slot}")
            if behind is None or answer.slot > behind.answer.slot:
                behind = _Said(answer, endpoint.label)
        if behind is None and too_much is not None:
            raise too_much
        return behind

    async def _answer(self, endpoint: Endpoint, call: Call, read: Callable[[Any], A]) -> A:
        """Ask one endpoint.

        Raises:
            RpcError: It gives no answer that can be used.
        """
        (outcome,) = await endpoint.ask([call], _ANSWER_WITHIN_S)
        if isinstance(outcome, RpcError):
            raise outcome
        answer = read(outcome)
        self.note_slot(answer.slot)
        return answer

    async def _slot_of(self, endpoint: Endpoint) -> int | None:
        """How far an endpoint says that the chain is, None where it says nothing that can be."""
        try:
            (outcome,) = await endpoint.ask([("getSlot", [{"commitment": self._commitment}])], _ANSWER_WITHIN_S)
            if isinstance(outcome, RpcError):
                raise outcome
            return self._bound.expect_possible(read_slot(outcome))
        except (RpcError, RecursionError) as error:
            self._fault(endpoint, _cause_of(error), str(error))
            return None

    def _in_turn(self, first: int | None) -> Iterator[Endpoint]:
        if first is None:
            first = self._asked
            self._asked += 1
        for number in range(len(self._endpoints)):
            yield self._endpoints[(first + number) % len(self._endpoints)]

    def _fault(self, endpoint: Endpoint, cause: str, reason: str) -> None:
        _FAULTS.labels(self._deployment, self.layer, cause).inc()
        _log.warning(
            "node not used deployment=%s layer=%s endpoint=%s cause=%s reason=%s",
            self._deployment,
            self.layer,
            endpoint.label,
            cause,
            reason,
        )


def _cause_of(error: RpcError | RecursionError) -> str:
    match error:
        case SlotAhead():
            return "slot ahead"
        case BadAnswer() | RecursionError():
            # What is nested as deeply as JSON may be cannot even be shown.
            return "bad answer"
        case _:
            return type(error).__name__
