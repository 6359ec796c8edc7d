"""Whether the nodes of both chains of Flash are as they should be, each endpoint asked and heard by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

import aiohttp

from models.findings import Finding, Verdict, fine
from models.flash.chain_accounts import discriminator_text
from models.flash.flash_accounts import Basket, Market
from streams.ingest.flash.layer_node import BEHIND_SLOTS
from streams.ingest.flash.layer_socket import Hearing, LayerSocket
from streams.ingest.flash.layer_urls import LayerUrls
from streams.ingest.flash.solana_answers import CLOCK_ADDRESS, clock_unix_s, read_accounts, read_programme_addresses
from streams.ingest.flash.table_file import table_of
from streams.node.rpc import HttpEndpoint, RpcError
from streams.process.backoff import Backoff
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.flash.chain_accounts import Layer
    from streams.ingest.flash.solana_answers import SeenAccount
    from streams.node.rpc import Call
    from streams.process.clock import Clock
    from streams.settings.flash.flash_settings import FlashSettings

_ANSWER_WITHIN_S = 10.0
_SLOT_WITHIN_S = 10.0
_CLOCKS_DIFFER_S = 15
# Of each chain one type of account is counted that the ingest reads there, by the question that some providers refuse.
_COUNTED = {"base": Market.__name__, "rollup": Basket.__name__}


class _Asked(NamedTuple):
    """What an endpoint answered: the slot and the time of its chain, and how many accounts it lists."""

    slot: int
    unix_s: int
    listed: int


async def check_flash_nodes(name: str, deployment: FlashSettings, head_s: float, clock: Clock) -> list[Finding]:
    """Check the endpoints of both chains.

    Args:
        name: The deployment's name.
        deployment: Its settings.
        head_s: How old the time of a chain may be, in s.
        clock: Tells the instant.
    """
    found: list[Finding] = []
    try:
        programme = table_of(f"deployments.{name}.table", deployment.table).programme
        layers: dict[Layer, LayerUrls] = {
            "base": LayerUrls(f"deployments.{name}.base_rpc", deployment.base_rpc, deployment.base_grpc),
            "rollup": LayerUrls(f"deployments.{name}.rollup_rpc", deployment.rollup_rpc, deployment.rollup_grpc),
        }
    except BadSettings as error:
        return [Finding(f"nodes of {name}", Verdict.WRONG, str(error), f"correct deployments.{name}")]
    async with aiohttp.ClientSession() as session:
        for layer, urls in layers.items():
            checks = _LayerChecks(name, layer, deployment.commitment, programme, session)
            found += await checks.asked(urls.asked, head_s, clock)
            found += [await checks.heard(number, url) for number, url in enumerate(urls.heard, start=1)]
    return found


class _LayerChecks:
    """Checks the endpoints of one chain.

    Args:
        name: The deployment's name.
        layer: Which chain.
        commitment: How sure a node has to be of what it says.
        programme: The venue's programme, as base58.
        session: HTTP client.
    """

    def __init__(
        self, name: str, layer: Layer, commitment: str, programme: str, session: aiohttp.ClientSession
    ) -> None:
        self._name = name
        self._layer = layer
        self._commitment = commitment
        self._programme = programme
        self._session = session
        self._setting = f"deployments.{name}.{layer}_rpc"

    async def asked(self, urls: Sequence[str], head_s: float, clock: Clock) -> list[Finding]:
        """Ask every http(s) endpoint.

        Args:
            urls: The endpoints.
            head_s: How old the time of the chain may be, in s.
            clock: Tells the instant.
        """
        answers = [await self._answer(number, url) for number, url in enumerate(urls, start=1)]
        highest = max((one.slot for one in answers if isinstance(one, _Asked)), default=0)
        return [
            self._judged(number, one, highest, head_s, clock.now_ms() / 1_000)
            for number, one in enumerate(answers, start=1)
        ]

    async def heard(self, number: int, url: str) -> Finding:
        """Subscribe at a ws(s) endpoint as the ingest does, and wait for a slot; ``number`` says which one it is."""
        check = f"socket #{number} of the {self._layer} chain of {self._name}"
        slots: asyncio.Queue[int] = asyncio.Queue()
        socket = LayerSocket(
            self._session,
            url,
            label=(self._name, self._layer, f"#{number}"),
            subscriptions=(),
            hearing=Hearing(lambda: None, _passed_over, slots.put_nowait),
            silent_after_s=_SLOT_WITHIN_S,
            backoff=Backoff(_SLOT_WITHIN_S, _SLOT_WITHIN_S),
        )
        connected = asyncio.create_task(socket.run())
        try:
            async with asyncio.timeout(_SLOT_WITHIN_S):
                slot = await slots.get()
        except TimeoutError:
            return Finding(
                check, Verdict.WRONG, f"it says no slot in {_SLOT_WITHIN_S:.0f} s", f"correct {self._setting}"
            )
        finally:
            connected.cancel()
            await asyncio.wait([connected])
        return fine(check, f"it says slot {slot}")

    async def _answer(self, number: int, url: str) -> _Asked | RpcError:
        endpoint = HttpEndpoint(self._session, url, f"#{number}")
        sure = {"commitment": self._commitment, "encoding": "base64"}
        account = _COUNTED[self._layer]
        begins = {"memcmp": {"offset": 0, "bytes": discriminator_text(account)}}
        options = {**sure, "withContext": True, "dataSlice": {"offset": 0, "length": 0}, "filters": [begins]}
        try:
            clocks = await _one(endpoint, ("getMultipleAccounts", [[CLOCK_ADDRESS], sure]))
            seen = read_accounts([CLOCK_ADDRESS], clocks)
            listing = await _one(endpoint, ("getProgramAccounts", [self._programme, options]))
            listed = read_programme_addresses(listing)
            return _Asked(seen.slot, clock_unix_s(seen.accounts[CLOCK_ADDRESS]), len(listed.pubkeys))
        except RpcError as error:
            return error

    def _judged(self, number: int, answer: _Asked | RpcError, highest: int, head_s: float, now_s: float) -> Finding:
        check = f"rpc #{number} of the {self._layer} chain of {self._name}"
        correct = f"correct {self._setting} or its key"
        match answer:
            case RpcError():
                return Finding(check, Verdict.WRONG, f"no answer: {answer}", correct)
            case _Asked(slot, unix_s, listed):
                age_s = now_s - unix_s
                said = f"slot {slot}, {age_s:.0f} s old by this machine's clock, {listed} {_COUNTED[self._layer]}s"
                if listed == 0:
                    wrong = f"{said}: nothing of the programme {self._programme}"
                    return Finding(check, Verdict.WRONG, wrong, f"correct {self._setting}, or the table's programme")
                if slot < highest - BEHIND_SLOTS or age_s > head_s:
                    return Finding(check, Verdict.WARNING, said, "it lags behind, or the chain stands still")
                if age_s < -_CLOCKS_DIFFER_S:
                    return Finding(check, Verdict.WARNING, said, "let this machine's time service (NTP) work")
                return fine(check, said)
            case _:
                assert_never(answer)


async def _one(endpoint: HttpEndpoint, call: Call) -> Any:  # noqa: ANN401 - of each method
    (outcome,) = await endpoint.ask([call], _ANSWER_WITHIN_S)
    if isinstance(outcome, RpcError):
        raise outcome
    return outcome


async def _passed_over(_seen: SeenAccount) -> None:
    """Nothing is subscribed to but slots."""
