"""Accounts of a chain over Yellowstone gRPC, which some nodes offer beside websockets: a second way to the same topic.

It says each write with its number within the slot, so two states of one slot are in order.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc
from prometheus_client import Counter

from streams.ingest.flash.layer_socket import count_end
from streams.ingest.flash.slot_bound import SlotAhead
from streams.ingest.flash.slot_deadline import SlotDeadline
from streams.ingest.flash.yellowstone_messages import SUBSCRIBE, pong_request, read_update, subscribe_request
from streams.node.rpc import BadAnswer
from streams.process.reconnecting import stay_connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.ingest.flash.layer_socket import Hearing
    from streams.process.backoff import Backoff

_log = logging.getLogger(__name__)

_ENDED = Counter(
    "tidemark_flash_streams_ended_total", "Streams of Yellowstone gRPC that ended.", ("deployment", "layer", "cause")
)

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class YellowstoneStream:
    """Stays subscribed at one endpoint.

    Args:
        url: Where it is, ``https://TOKEN@HOST:PORT`` or ``http://HOST:PORT``; it may hold a token, and is never logged.
        label: Names it in logs: deployment, layer and number.
        programme: Whose accounts are wanted, as base58.
        begins: How these begin, as base58.
        commitment: How sure the node has to be of what it says.
        hearing: Who is told.
        silent_after_s: A stream on which no higher slot is said for so long, in s, is ended and opened again.
        backoff: Tells how long to wait between two streams.
    """

    def __init__(
        self,
        url: str,
        *,
        label: tuple[str, str, str],
        programme: str,
        begins: list[str],
        commitment: str,
        hearing: Hearing,
        silent_after_s: float,
        backoff: Backoff,
    ) -> None:
        self._url = urlsplit(url)
        self._label = label
        self._request = subscribe_request(programme, begins, commitment)
        self._hearing = hearing
        self._silent_after_s = silent_after_s
        self._backoff = backoff

    async def run(self) -> None:
        """Stay subscribed until cancelled."""
        await stay_connected(self._stream, self._backoff, partial(count_end, _ENDED, self._label))

    async def _stream(self) -> str:
        said: asyncio.Queue[bytes] = asyncio.Queue()
        said.put_nowait(self._request)
        async with self._channel() as channel:
            subscribe = channel.stream_stream(SUBSCRIBE)
            call = subscribe(_sent(said), metadata=self._metadata())
            is_open, deadline = False, SlotDeadline(self._silent_after_s)
            try:
                while True:
                    async with deadline.waiting():
                        update = await call.read()
                    if update is grpc.aio.EOF:
                        return "closed"
                    if not is_open:
                        # The first word says that the subscription stands: what was before is not told.
                        is_open = True
                        self._backoff.reset()
                        self._hearing.opened()
                    with deadline.taking():
                        await self._take(update, said, deadline)
            except TimeoutError:
                return "silent"
            except SlotAhead:
                return "slot ahead"
            except BadAnswer as error:
                _log.warning("bad update of a node stream reason=%s", error)
                return "bad update"
            except grpc.aio.AioRpcError as error:
                return str(error.code().name).lower()
            finally:
                call.cancel()

    async def _take(self, update: bytes, said: asyncio.Queue[bytes], deadline: SlotDeadline) -> None:
        match read_update(update):
            case None:
                said.put_nowait(pong_request())
            case int() as slot:
                self._hearing.slot(slot)
                deadline.hear(slot)
            case account:
                self._hearing.slot(account.slot)
                deadline.hear(account.slot)
                await self._hearing.account(account)

    def _channel(self) -> grpc.aio.Channel:
        options = [("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)]
        is_secure = self._url.scheme == "https"
        target = f"{self._url.hostname}:{self._url.port or (443 if is_secure else 80)}"
        if is_secure:
            return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options)
        return grpc.aio.insecure_channel(target, options)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-token", self._url.username),) if self._url.username else ()


async def _sent(said: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await said.get()
