"""A node of Solana that does by a seed what bad ones do, and the ingest of Flash run against such nodes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from models.flash.flash_accounts import encode_account
from models.flash.solana_keys import key_text
from streams.ingest.flash.account_journal import AccountJournal
from streams.ingest.flash.flash_follow import FlashFollow
from streams.ingest.flash.layer_urls import LayerUrls
from streams.process.clock import SystemClock
from streams.settings import Settings
from streams.settings.flash.flash_settings import FlashSettings
from tests.support.flash import CUSTODIES, DELEGATION, MARKETS, NOW_S, POOL, PROGRAMME, key, market, the_pool, the_table
from tidemark.demo.solana_node import SolanaChain, SolanaNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from random import Random

    from streams.ingest.outlet import Outlet
    from tidemark.demo.solana_node import Change, _Subscription

_KEPT_FRAMES = 50


class HostileNode(SolanaNode):
    """A node that is behind, answers in part, says null, refuses, drops, repeats, delays, and lies of slots and owners.

    Args:
        chain: The chain.
        rng: Decides when.
        badness: How often, from 0 to 1.
    """

    def __init__(self, chain: SolanaChain, rng: Random, badness: float) -> None:
        super().__init__(chain)
        self._rng = rng
        self._badness = badness
        self._frames: list[bytes] = []

    def shown_slot(self) -> int:
        """Some answers are of a slot of long ago."""
        behind = self._rng.choice((1, 5, 200)) if self._is_bad() else 0
        return max(0, self.chain.slot - behind)

    def answer(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401
        """Some answers are null, lack accounts, have null for some that there are, or lie of slot and programme."""
        if self._is_bad():
            return None
        result = super().answer(method, params)
        if self._is_bad() and isinstance(result, dict):
            value = list(result["value"])
            where = self._rng.randrange(len(value) + 1)
            if method == "getMultipleAccounts" and where < len(value) and self._rng.random() < 0.5:
                value[where] = None
            else:
                del value[where : where + 1]
            return {**result, "value": value}
        if self._is_bad() and isinstance(result, dict):
            return {**result, "context": {"slot": self._rng.choice((2**63 - 1, 10**12, self.chain.slot + 10_000))}}
        if self._is_bad() and isinstance(result, dict):
            return {**result, "value": [self._of_another_programme(one) for one in result["value"]]}
        return result

    def _of_another_programme(self, shown: Any) -> Any:  # noqa: ANN401 - as nodes show it
        """An account as the base chain has one that is delegated: another programme owns it."""
        if shown is None or self._rng.random() < 0.5:
            return shown
        if "account" in shown:
            return {**shown, "account": {**shown["account"], "owner": DELEGATION}}
        return {**shown, "owner": DELEGATION}

    def respond(self, body: bytes) -> bytes:
        """Some answers are no JSON, or errors."""
        if self._is_bad():
            return self._rng.choice(
                (b"", b"<html>", b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"busy"}}')
            )
        return super().respond(body)

    def frames(self, change: Change, number: int, subscription: _Subscription) -> list[bytes]:
        """Some notifications are lost, repeated, or come again long after."""
        frames = super().frames(change, number, subscription)
        self._frames = [*self._frames, *frames][-_KEPT_FRAMES:]
        if self._is_bad():
            frames = []
        if self._is_bad() and self._frames:
            frames += self._rng.choices(self._frames, k=2)
        if self._is_bad():
            lie = b'"slot":%d' % self._rng.choice((2**63 - 1, 10**12))
            frames = [frame.replace(b'"slot":%d' % change.slot, lie) for frame in frames]
        return frames

    async def drop(self) -> None:
        """Close every websocket."""
        for socket in list(self.sockets):
            await socket.close()

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        if self._is_bad():
            raise web.HTTPServiceUnavailable
        return await super()._socket(request)

    def _is_bad(self) -> bool:
        return self._rng.random() < self._badness


class RecordingOutlet:
    """Keeps what is put, in order."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, bytes | None]] = []

    async def put(self, topic: str, record_key: bytes, value: bytes | None) -> None:
        """Take a record, after a turn of the loop, as Kafka does."""
        await asyncio.sleep(0)
        self.records.append((topic, record_key, value))

    def of(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        """The records of a topic."""
        return [(record_key, value) for name, record_key, value in self.records if name.endswith(topic)]


def two_chains() -> tuple[SolanaChain, SolanaChain]:
    """The base chain with the venue's markets, custodies and pool, and an empty rollup."""
    base, rollup = SolanaChain(NOW_S), SolanaChain(NOW_S)
    for address, parts in MARKETS.items():
        base.put(key_text(address), PROGRAMME, encode_account(market(*parts)))
    for symbol, custody in CUSTODIES.items():
        base.put(key_text(key(f"{symbol} custody")), PROGRAMME, encode_account(custody))
    base.put(key_text(POOL), PROGRAMME, encode_account(the_pool()))
    return base, rollup


async def going_on(base: SolanaChain, rollup: SolanaChain) -> None:
    """Let both chains go on at a pace that each may have, until cancelled; nothing of the venue changes by it."""
    while True:
        for _ in range(20):
            await asyncio.sleep(0.02)
            rollup.next_slot()
        base.next_slot()


def journal_of(outlet: RecordingOutlet) -> AccountJournal:
    """What writes the accounts of the venue to an outlet."""
    sent: Outlet = outlet  # type: ignore[assignment]
    return AccountJournal(Settings(), "flash", the_table(), sent, SystemClock())


@asynccontextmanager
async def following(
    base: Sequence[SolanaNode],
    rollup: Sequence[SolanaNode],
    outlet: RecordingOutlet,
    *,
    reread_ms: int = 200,
    streams: Sequence[str] = (),
    is_heard: bool = True,
) -> AsyncIterator[FlashFollow]:
    """The ingest, following nodes of both chains, and writing what is new to an outlet.

    Args:
        base: Nodes of the base chain; they are started and stopped.
        rollup: Those of the rollup.
        outlet: Takes the records; what is in it was written before.
        reread_ms: How often all accounts are read again.
        streams: Where the rollup is subscribed to over gRPC; then it is over no websocket.
        is_heard: Whether the rollup is subscribed to at all.
    """
    for node in (*base, *rollup):
        await node.start()
    section = FlashSettings(reread_interval_ms=reread_ms, reference_interval_ms=100, clock_interval_ms=100)
    clock = SystemClock()
    journal = journal_of(outlet)
    for topic in (FLASH_ACCOUNTS, FLASH_REFERENCES):
        for record_key, value in outlet.of(topic):
            journal.restore(record_key.decode().partition(":")[2], value)
    await journal.say_table()
    urls = {
        "base": LayerUrls("base", [*map(SecretStr, _urls(base))]),
        "rollup": LayerUrls(
            "rollup",
            [*map(SecretStr, _urls(rollup) if is_heard and not streams else [node.urls[0] for node in rollup])],
            [*map(SecretStr, streams)],
        ),
    }
    async with aiohttp.ClientSession() as session:
        followed = FlashFollow("flash", section, journal=journal, session=session, urls=urls, clock=clock)  # type: ignore[arg-type]
        tasks = [asyncio.create_task(one) for one in followed.tasks()]
        try:
            yield followed
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            for node in (*base, *rollup):
                await node.stop()


def _urls(nodes: Sequence[SolanaNode]) -> list[str]:
    return [url for node in nodes for url in node.urls]
