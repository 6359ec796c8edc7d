"""Asks the nodes of one chain for accounts: one endpoint after the other, until one gives an answer that can be used.

An endpoint that is behind gives right answers of an old slot: they are used only where no other endpoint has a newer
one. Which endpoint is asked first turns with every question, so that what one of them leaves out another one says.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import Counter

from models.flash.chain_accounts import discriminator_text
from streams.ingest.flash.solana_answers import SeenAccounts, read_accounts, read_programme_accounts
from streams.node.rpc import BadAnswer, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from models.flash.chain_accounts import Layer
    from streams.node.rpc import Call, Endpoint
    from streams.process.backoff import Backoff

_log = logging.getLogger(__name__)

_FAULTS = Counter(
    "tidemark_flash_node_faults_total", "Questions that an endpoint did not answer.", ("deployment", "layer", "cause")
)

# The most that nodes of Solana take in one question.
_ASKED_AT_ONCE = 100
_ANSWER_WITHIN_S = 30.0
# Slots are 0.4 s on Solana and less on the rollup; a node that is so many behind does not keep up.
_BEHIND_SLOTS = 150

T = TypeVar("T")


class LayerNode:
    """The nodes of one chain.

    Args:
        deployment: The deployment, for logs and metrics.
        layer: Which chain.
        endpoints: Its http(s) endpoints, in order of preference; at least one.
        commitment: How sure a node has to be of what it says.
        backoff: Tells how long to wait before all endpoints are asked again.

    Attributes:
        highest_slot: The highest slot that any answer or notification was of.
    """

    def __init__(
        self, deployment: str, layer: Layer, endpoints: Sequence[Endpoint], *, commitment: str, backoff: Backoff
    ) -> None:
        self.layer = layer
        self.highest_slot = 0
        self._deployment = deployment
        self._endpoints = endpoints
        self._commitment = commitment
        self._backoff = backoff
        self._asked = 0

    def note_slot(self, slot: int) -> None:
        """Note that the chain has come to a slot."""
        self.highest_slot = max(self.highest_slot, slot)

    async def programme_accounts(self, programme: str, account: str) -> SeenAccounts:
        """All accounts of one type.

        Args:
            programme: The programme that owns them.
            account: The type, by whose discriminator they are chosen.
        """
        options = {**self.chosen_by(account), "withContext": True}
        return await self._ask(("getProgramAccounts", [programme, options]), read_programme_accounts)

    def chosen_by(self, account: str) -> dict[str, Any]:
        """The options by which a node gives the accounts of one type, with all of their bytes."""
        return {
            "encoding": "base64",
            "commitment": self._commitment,
            "filters": [{"memcmp": {"offset": 0, "bytes": discriminator_text(account)}}],
        }

    async def accounts(self, pubkeys: Sequence[str]) -> list[SeenAccounts]:
        """Accounts by their addresses, in answers of at most a hundred, each as of one slot."""
        answers = []
        for first in range(0, len(pubkeys), _ASKED_AT_ONCE):
            some = list(pubkeys[first : first + _ASKED_AT_ONCE])
            options = {"encoding": "base64", "commitment": self._commitment}
            call: Call = ("getMultipleAccounts", [some, options])
            answers.append(await self._ask(call, partial(read_accounts, some)))
        return answers

    async def _ask(self, call: Call, read: Callable[[Any], SeenAccounts]) -> SeenAccounts:
        """Ask until there is an answer; it is the newest of those that are behind where all of them are."""
        self._backoff.reset()
        while True:
            behind: SeenAccounts | None = None
            for endpoint in self._in_turn():
                answer = await self._answer(endpoint, call, read)
                if answer is None:
                    continue
                if answer.slot >= self.highest_slot - _BEHIND_SLOTS:
                    self.note_slot(answer.slot)
                    return answer
                self._fault(endpoint, "behind", f"slot {answer.slot} of {self.highest_slot}")
                behind = answer if behind is None or answer.slot > behind.slot else behind
            if behind is not None:
                return behind
            await asyncio.sleep(self._backoff.next_s())

    async def _answer(self, endpoint: Endpoint, call: Call, read: Callable[[Any], SeenAccounts]) -> SeenAccounts | None:
        try:
            (outcome,) = await endpoint.ask([call], _ANSWER_WITHIN_S)
            if isinstance(outcome, RpcError):
                raise outcome
            return read(outcome)
        except (RpcError, RecursionError) as error:
            # What is nested as deeply as JSON may be cannot even be shown.
            cause = "bad answer" if isinstance(error, BadAnswer | RecursionError) else type(error).__name__
            self._fault(endpoint, cause, str(error))
            return None

    def _in_turn(self) -> Iterator[Endpoint]:
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
