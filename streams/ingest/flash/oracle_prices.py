"""Ingest of prices from the accounts of Flash's oracle, which the nodes of a chain say as any other account."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from models.flash.chain_accounts import LAYER_OF
from models.flash.flash_accounts import CustomOracle
from streams.ingest.flash.layer_node import LayerNode
from streams.ingest.flash.layer_socket import Hearing, LayerSocket, Subscription
from streams.ingest.flash.layer_urls import LayerUrls
from streams.ingest.flash.oracle_frames import OracleReader
from streams.ingest.flash.slot_bound import SlotBound
from streams.ingest.flash.table_file import table_of
from streams.ingest.prices.frame_sink import PriceSink
from streams.ingest.prices.price_tasks import RECONNECT_S, together
from streams.node.rpc import HttpEndpoint
from streams.process.backoff import Backoff
from streams.settings import BadSettings
from streams.settings.flash.market_sessions import session_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

    from streams.ingest.flash.solana_answers import SeenAccount
    from streams.ingest.prices.price_frames import Frame
    from streams.ingest.prices.price_site import PriceSite
    from streams.settings.flash.oracle_source import FlashOracleSource

# A session of a market begins on a minute.
_SESSIONS_EVERY_S = 30.0


class OracleFollower:
    """Hands the prices of one source to ``price-ticks``.

    Args:
        site: Where it stands.

    Raises:
        BadSettings: Its table cannot be read, or does not list a symbol that is to be followed.
    """

    def __init__(self, site: PriceSite) -> None:
        source: FlashOracleSource = site.source
        self._site = site
        self._layer = LAYER_OF[CustomOracle.__name__]
        self._urls = LayerUrls(f"sources.{site.name}.rpc", source.rpc)
        endpoints = [HttpEndpoint(site.session, url, f"#{at}") for at, url in enumerate(self._urls.asked, start=1)]
        self._node = LayerNode(
            site.name,
            self._layer,
            endpoints,
            commitment=source.commitment,
            bound=SlotBound(site.clock, self._layer),
            backoff=Backoff(*RECONNECT_S),
        )
        self._readers = {
            address: OracleReader(symbol, partial(session_of, symbol, source.sessions))
            for symbol, address in _oracles(site.name, source).items()
        }
        # The chain's time is that of all its nodes, and is not compared with ours.
        self._sink = PriceSink(site.settings, site.name, site.outlet, site.clock, ahead_ms=lambda: 0)
        self._gap = asyncio.Event()

    @property
    def heard_ms(self) -> int:
        """When what the newest tick says happened, in Unix ms by our clock; 0 before the first."""
        return self._sink.heard_ms

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            NotAcknowledged: The broker did not take a record.
        """
        await together(*self._tasks())

    def _tasks(self) -> Iterator[Coroutine[None, None, None]]:
        source: FlashOracleSource = self._site.source
        options = {"encoding": "base64", "commitment": source.commitment}
        subscriptions = [Subscription("accountSubscribe", [one, options], one) for one in self._readers]
        yield self._poll(source.poll_interval_ms / 1_000)
        yield self._begin_sessions()
        for number, url in enumerate(self._urls.heard, start=1):
            socket = LayerSocket(
                self._site.session,
                url,
                label=(self._site.name, self._layer, f"#{number}"),
                subscriptions=subscriptions,
                hearing=Hearing(self._gap.set, self._take, self._node.note_slot),
                silent_after_s=source.silent_after_ms / 1_000,
                backoff=Backoff(*RECONNECT_S),
            )
            yield self._node.once_begun(socket.run)

    async def _poll(self, every_s: float) -> None:
        while True:
            self._gap.clear()
            async for answer in self._node.accounts(list(self._readers)):
                for seen in answer.accounts.values():
                    await self._take(seen)
            try:
                async with asyncio.timeout(every_s):
                    await self._gap.wait()
            except TimeoutError:
                continue

    async def _begin_sessions(self) -> None:
        while True:
            await asyncio.sleep(_SESSIONS_EVERY_S)
            for reader in self._readers.values():
                await self._sink.take(b"", partial(_again, reader))

    async def _take(self, seen: SeenAccount) -> None:
        reader = self._readers.get(seen.pubkey)
        if reader is not None and seen.data is not None:
            await self._sink.take(seen.data, partial(_read, reader))


def _read(reader: OracleReader, body: bytes, source: str, received_ms: int) -> Frame:
    return reader.read(body, source, received_ms)


def _again(reader: OracleReader, _body: bytes, source: str, received_ms: int) -> Frame:
    return reader.again(source, received_ms)


def _oracles(name: str, source: FlashOracleSource) -> Mapping[str, str]:
    listed = table_of(f"sources.{name}.table", source.table).oracles
    missing = sorted(set(source.symbols) - listed.keys())
    if missing:
        msg = f"expected symbols of the table in sources.{name}.symbols, found {missing}"
        raise BadSettings(msg)
    return {symbol: account for symbol, account in listed.items() if not source.symbols or symbol in source.symbols}
