"""One websocket of a chain's node: subscribed to accounts, and opened again after silence or a fault.

Whatever happened between two connections is not told on the second, so whoever follows reads all accounts again when
one is open. Slots are subscribed to as well: a node that says none is stuck, however few accounts change.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import orjson
from prometheus_client import Counter

from streams.ingest.flash.slot_bound import SlotAhead
from streams.ingest.flash.slot_deadline import SlotDeadline
from streams.ingest.flash.solana_answers import SeenAccount, read_notification
from streams.node.rpc import BadAnswer
from streams.process.reconnecting import stay_connected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streams.process.backoff import Backoff

_log = logging.getLogger(__name__)

_ENDED = Counter(
    "tidemark_flash_sockets_ended_total", "Connections to a node that ended.", ("deployment", "layer", "cause")
)

# The largest account has 10 MiB, which are 14 MiB as base64.
_MAX_FRAME_BYTES = 16 * 1024 * 1024
_CONNECT_TIMEOUT_S = 15.0
_SLOT = "slotSubscribe"


class Subscription(NamedTuple):
    """What to subscribe to: a method, its parameters, and the account where it is about a single one."""

    method: str
    params: list[Any]
    account: str | None = None


class _Ended(Exception):
    """A connection is not used any longer."""


class Hearing(NamedTuple):
    """Who is told what a socket hears.

    Attributes:
        opened: All is subscribed to: what happened before is not told.
        account: An account, as a node said it.
        slot: The chain has come to a slot. It raises ``BadAnswer`` at one that is not believed.
    """

    opened: Callable[[], None]
    account: Callable[[SeenAccount], Awaitable[None]]
    slot: Callable[[int], None]


def count_end(counter: Counter, label: tuple[str, str, str], cause: str, wait_s: float) -> None:
    """Count and log that a connection to a node ended.

    Args:
        counter: Counts it, by deployment, layer and cause.
        label: Deployment, layer and name of the endpoint.
        cause: Why it ended.
        wait_s: How long is waited before the next one, in s.
    """
    deployment, layer, endpoint = label
    counter.labels(deployment, layer, cause).inc()
    _log.warning(
        "connection to a node ended deployment=%s layer=%s endpoint=%s cause=%s wait_s=%.1f",
        deployment,
        layer,
        endpoint,
        cause,
        wait_s,
    )


class LayerSocket:
    """Stays connected to one ws(s) endpoint.

    Args:
        session: HTTP client.
        url: Where the endpoint is; it may hold a key, and is never logged.
        label: Names it in logs: deployment, layer and number.
        subscriptions: What to subscribe to.
        hearing: Who is told.
        silent_after_s: A connection on which no higher slot is said for so long, in s, is closed and opened again.
        backoff: Tells how long to wait between two connections.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        label: tuple[str, str, str],
        subscriptions: Sequence[Subscription],
        hearing: Hearing,
        silent_after_s: float,
        backoff: Backoff,
    ) -> None:
        self._session = session
        self._url = url
        self._label = label
        self._wanted = [*subscriptions, Subscription(_SLOT, [])]
        self._hearing = hearing
        self._silent_after_s = silent_after_s
        self._backoff = backoff
        self._asked: dict[int, Subscription] = {}
        self._subjects: dict[int, str | None] = {}

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await stay_connected(self._connection, self._backoff, partial(count_end, _ENDED, self._label))

    async def _connection(self) -> str:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                socket = await self._session.ws_connect(self._url, max_msg_size=_MAX_FRAME_BYTES, heartbeat=20.0)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return type(error).__name__
        try:
            self._asked = dict(enumerate(self._wanted, start=1))
            self._subjects = {}
            for number, one in self._asked.items():
                await socket.send_json({"jsonrpc": "2.0", "id": number, "method": one.method, "params": one.params})
            return await self._receive(socket)
        except _Ended as error:
            return str(error)
        except SlotAhead:
            return "slot ahead"
        except (BadAnswer, RecursionError):
            # What is nested as deeply as JSON may be cannot even be shown.
            return "bad frame"
        except ConnectionError as error:
            return type(error).__name__
        finally:
            await socket.close()

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        deadline = SlotDeadline(self._silent_after_s)
        while True:
            try:
                async with deadline.waiting():
                    message = await socket.receive()
            except TimeoutError:
                return "silent"
            match message.type:
                case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
                    with deadline.taking():
                        await self._take(message.data, deadline)
                case aiohttp.WSMsgType.ERROR:
                    return type(message.data).__name__
                case _:
                    return "closed"

    async def _take(self, frame: str | bytes, deadline: SlotDeadline) -> None:
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            msg = f"expected JSON of a node, found {frame[:80]!r}"
            raise BadAnswer(msg) from error
        if not isinstance(message, dict):
            msg = f"expected a JSON object of a node, found {frame[:80]!r}"
            raise BadAnswer(msg)
        if "method" not in message:
            self._subscribed(message)
            return
        heard = read_notification(message, self._subjects)
        if heard is None:
            return
        self._hearing.slot(heard.slot)
        deadline.hear(heard.slot)
        if heard.account is not None:
            await self._hearing.account(heard.account)

    def _subscribed(self, answer: dict[str, Any]) -> None:
        asked = answer.get("id")
        if not isinstance(asked, int):
            msg = f"expected an answer with the number of a request, found {asked!r:.80}"
            raise BadAnswer(msg)
        one = self._asked.pop(asked, None)
        if one is None:
            return
        number = answer.get("result")
        if isinstance(number, int) and not isinstance(number, bool):
            self._subjects[number] = one.account
        elif one.method != _SLOT:
            # A node without slots is only noticed later when it is stuck.
            msg = f"refused {one.method}"
            raise _Ended(msg)
        if not self._asked:
            self._backoff.reset()
            self._hearing.opened()
