"""A deployment of Flash, from the nodes of its two chains to ``flash-accounts`` and ``flash-references``.

Everything is written raw, before anything of it is decoded; what cannot be decoded is refused by who folds it.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

import aiohttp

from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from models.heartbeats import ChainBeat, chain_key
from streams.ingest.flash.account_journal import AccountJournal
from streams.ingest.flash.known_accounts import read_known
from streams.ingest.flash.layer_follower import LayerFollower
from streams.ingest.flash.layer_node import LayerNode
from streams.ingest.flash.layer_socket import Hearing, LayerSocket
from streams.ingest.flash.layer_urls import LayerUrls
from streams.ingest.flash.table_file import table_of
from streams.ingest.outlet import opened_outlet
from streams.ingest.prices.price_tasks import RECONNECT_S, together
from streams.kafka.topics import DEAD_LETTERS, LEASES, require_topic
from streams.node.rpc import HttpEndpoint
from streams.process.backoff import Backoff
from streams.replicas.heartbeat_writer import HeartbeatWriter
from streams.replicas.turns import turn
from streams.settings import BadSettings
from streams.settings.flash.flash_settings import flash_deployments

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

    from models.flash.chain_accounts import Layer
    from models.heartbeats import Beat
    from streams.ingest.flash.yellowstone import YellowstoneStream
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.settings.flash.flash_settings import FlashSettings

# A chain says a slot every 0.4 s; so many that are missing are no pause.
_SILENT_AFTER_S = 15.0
_ASKED_EVERY_S = 5.0


async def run(settings: Settings, name: str, clock: Clock) -> None:
    """Keep the topics in step with both chains of the deployment ``name`` until cancelled.

    Args:
        settings: Name Kafka, and the deployment with its endpoints.
        name: The deployment.
        clock: Tells when something was received.

    Raises:
        BadSettings: The deployment, its endpoints, its table or Kafka are not configured.
        BadTopic: A topic is missing: run ``tidemark topics create``.
        NotAcknowledged: The broker did not take a record.
        Superseded: Another ingest of the deployment took over.
    """
    deployments = flash_deployments(settings)
    if name not in deployments:
        msg = (
            f"expected a deployment {name!r} of kind flash in the configuration, found {sorted(deployments) or 'none'}"
        )
        raise BadSettings(msg)
    deployment = deployments[name]
    table = table_of(f"deployments.{name}.table", deployment.table)
    urls: dict[Layer, LayerUrls] = {
        "base": LayerUrls(f"deployments.{name}.base_rpc", deployment.base_rpc, deployment.base_grpc),
        "rollup": LayerUrls(f"deployments.{name}.rollup_rpc", deployment.rollup_rpc, deployment.rollup_grpc),
    }
    async with aiohttp.ClientSession() as session, opened_outlet(settings.bootstrap) as outlet:
        await require_topic(settings, FLASH_ACCOUNTS, FLASH_REFERENCES, DEAD_LETTERS, LEASES)
        # Two writers would do no harm, since the newest slot holds; they would only say everything twice.
        async with turn(settings, "flash", name, clock):
            journal = AccountJournal(settings, name, table, outlet, clock)
            await read_known(settings, name, journal, clock)
            await journal.say_table()
            following = FlashFollow(name, deployment, journal=journal, session=session, urls=urls, clock=clock)
            beats = HeartbeatWriter(settings, clock, following.beats).run()
            await together(*following.tasks(), beats)


class FlashFollow:
    """Follows both chains of a deployment.

    Args:
        name: The deployment.
        deployment: Its settings.
        journal: Takes what the nodes say.
        session: HTTP client.
        urls: The endpoints of each chain.
        clock: Tells when something was received.
    """

    def __init__(
        self,
        name: str,
        deployment: FlashSettings,
        *,
        journal: AccountJournal,
        session: aiohttp.ClientSession,
        urls: Mapping[Layer, LayerUrls],
        clock: Clock,
    ) -> None:
        self._name = name
        self._deployment = deployment
        self._journal = journal
        self._clock = clock
        self._session = session
        self._urls = urls
        self.nodes: dict[Layer, LayerNode] = {layer: self._node(layer, one) for layer, one in urls.items()}
        self.followers: dict[Layer, LayerFollower] = {
            layer: LayerFollower(node, journal, clock, reread_every_s=self._reread_every_s(urls[layer]))
            for layer, node in self.nodes.items()
        }

    def tasks(self) -> Iterator[Coroutine[None, None, None]]:
        """Everything that runs until cancelled."""
        for layer, follower in self.followers.items():
            node = self.nodes[layer]
            yield follower.run()
            yield follower.settle()
            hearing = Hearing(follower.note_gap, follower.hear, follower.hear_slot)
            for number, url in enumerate(self._urls[layer].heard, start=1):
                socket = LayerSocket(
                    self._session,
                    url,
                    label=(self._name, layer, f"#{number}"),
                    subscriptions=follower.subscriptions,
                    hearing=hearing,
                    silent_after_s=_SILENT_AFTER_S,
                    backoff=Backoff(*RECONNECT_S),
                )
                yield node.once_begun(socket.run)
            for number, url in enumerate(self._urls[layer].streamed, start=1):
                stream = self._streaming()(
                    url,
                    label=(self._name, layer, f"grpc #{number}"),
                    programme=self._journal.programme,
                    begins=follower.beginnings,
                    commitment=self._deployment.commitment,
                    hearing=hearing,
                    silent_after_s=_SILENT_AFTER_S,
                    backoff=Backoff(*RECONNECT_S),
                )
                yield node.once_begun(stream.run)
        yield self._say_references()
        yield self._say_clock()

    def _streaming(self) -> type[YellowstoneStream]:
        """What streams over gRPC, which not every installation has.

        Raises:
            BadSettings: The extra is not installed.
        """
        try:
            module = import_module("streams.ingest.flash.yellowstone")
        except ModuleNotFoundError as error:
            msg = f"deployments.{self._name}: expected {error.name} for its grpc, found none: get tidemark[yellowstone]"
            raise BadSettings(msg) from error
        kind: type[YellowstoneStream] = module.YellowstoneStream
        return kind

    def beats(self, process: str, at_ms: int) -> dict[str, Beat]:
        """What to say at an instant: both chains are followed as of the older of the two.

        A slot has no time of its own, so it is that at which it was heard of.
        """
        heard_ms = min(follower.heard_ms for follower in self.followers.values())
        slot = self.nodes["rollup"].highest_slot
        return {chain_key(self._name): ChainBeat(process, at_ms, heard_ms, slot, heard_ms // 1_000)}

    async def _say_references(self) -> None:
        await self.followers["base"].is_read.wait()
        while True:
            await self._journal.say_references()
            await asyncio.sleep(self._deployment.reference_interval_ms / 1_000)

    async def _say_clock(self) -> None:
        while True:
            slot, unix_s = await self.nodes["base"].time(self._clock)
            await self._journal.say_clock("base", slot, unix_s)
            await asyncio.sleep(self._deployment.clock_interval_ms / 1_000)

    def _reread_every_s(self, urls: LayerUrls) -> float:
        every_s = self._deployment.reread_interval_ms / 1_000
        # What is not heard of has to be asked for, and in time to be called fresh.
        return every_s if urls.heard or urls.streamed else min(every_s, _ASKED_EVERY_S)

    def _node(self, layer: Layer, urls: LayerUrls) -> LayerNode:
        endpoints = [HttpEndpoint(self._session, url, f"#{number}") for number, url in enumerate(urls.asked, start=1)]
        return LayerNode(
            self._name,
            layer,
            endpoints,
            commitment=self._deployment.commitment,
            bound=self._journal.bounds[layer],
            backoff=Backoff(*RECONNECT_S),
        )
