"""A server of Yellowstone gRPC over a simulated chain, made of its published interface by another way than ours.

Messages are written by hand, field by field, as protobuf puts them on the wire; so the numbers of the interface stand
here once more, and a mistake in ours is seen.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from models.flash.solana_keys import key_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tidemark.demo.solana_node import Change, SolanaChain

_VARINT, _BYTES = 0, 2


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def field(number: int, value: int | bytes) -> bytes:
    """A field: a number, or bytes, of which a message is some."""
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value)
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def account_update(pubkey: str, owner: str, data: bytes | None, slot: int, write_version: int = 0) -> bytes:
    """SubscribeUpdate.account."""
    info = field(1, _key(pubkey)) + field(2, 0 if data is None else 1_000) + field(3, _key(owner))
    info += field(4, 0) + field(5, 2**64 - 1) + field(6, data or b"") + field(7, write_version)
    return field(1, b"type 0") + field(2, field(1, info) + field(2, slot) + field(3, 0))


def slot_update(slot: int) -> bytes:
    """SubscribeUpdate.slot, confirmed."""
    return field(1, b"slots") + field(3, field(1, slot) + field(2, slot - 1) + field(3, 1))


def ping_update() -> bytes:
    """SubscribeUpdate.ping."""
    return field(6, b"")


class YellowstoneServer:
    """Streams the changes of a chain to whoever subscribes.

    Attributes:
        requests: Every message of a client, as it came.
        tokens: The ``x-token`` of each stream.
        streams: How many are open.
    """

    def __init__(self, chain: SolanaChain) -> None:
        self._chain = chain
        self._server = grpc.aio.server()
        self._writes = 0
        self._calls: list[asyncio.Queue[bytes | None]] = []
        self.requests: list[bytes] = []
        self.tokens: list[str | None] = []
        self.port = 0

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._calls)

    async def start(self) -> None:
        """Serve on any free port of loopback."""
        handler = grpc.stream_stream_rpc_method_handler(self._subscribe)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("geyser.Geyser", {"Subscribe": handler}),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def stop(self) -> None:
        """Serve no more."""
        self.drop()
        await self._server.stop(0.5)

    def drop(self) -> None:
        """End every stream."""
        for queue in self._calls:
            queue.put_nowait(None)

    def send(self, update: bytes) -> None:
        """Send something to everybody."""
        for queue in self._calls:
            queue.put_nowait(update)

    async def _subscribe(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        self.tokens.append(dict(context.invocation_metadata()).get("x-token"))
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()

        def tell(change: Change) -> None:
            if change.pubkey is None:
                queue.put_nowait(slot_update(change.slot))
                return
            self._writes += 1
            data = None if change.account is None else change.account.data
            queue.put_nowait(account_update(change.pubkey, change.programme, data, change.slot, self._writes))

        async def read() -> None:
            async for request in requests:
                self.requests.append(request)

        reading = asyncio.create_task(read())
        self._calls.append(queue)
        self._chain.listen(tell)
        try:
            yield ping_update()
            while (update := await queue.get()) is not None:
                yield update
        finally:
            self._chain.unlisten(tell)
            self._calls.remove(queue)
            reading.cancel()


def _key(text: str) -> bytes:
    found = key_of(text)
    assert found is not None
    return found
