"""One JSON-RPC endpoint of a node, over HTTP or websocket, and what may go wrong with it.

* ``RpcError``: the root; carries no URL, since that may hold a provider's key.
    * ``EndpointDown``: no connection, one that ended, an HTTP error, or an answer that is not JSON-RPC.
    * ``EndpointSlow``: no answer in time.
    * ``RateLimited``: the provider seems to ask us to come back later.
    * ``TooMuch``: the answer would be larger than the provider or we allow; ask for less.
    * ``Refused``: any other error the node answered with.
        * ``CallReverted``: a contract refused the call, and not the node.
    * ``BadAnswer``: an answer that is not what the method's description says.
        * ``NoContract``: a contract's view answered nothing.

Nobody can list the words of all providers, so words only choose what is tried first: ``endpoints.py`` decides what a
refusal means by what was asked.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import orjson

from models.errors import TidemarkError
from streams.process.http_bodies import WITHOUT_END, read_at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "BadAnswer",
    "Call",
    "CallReverted",
    "Endpoint",
    "EndpointDown",
    "EndpointSlow",
    "HttpEndpoint",
    "NoContract",
    "Outcome",
    "RateLimited",
    "Refused",
    "RpcError",
    "TooMuch",
    "WebsocketEndpoint",
]

Call = tuple[str, list[Any]]
"""A method's name and its parameters."""

Outcome = Any
"""A call's result, or the RpcError by which it failed."""

# 10,000 logs of SYMMIO are some 20 MB of JSON; four times that is no answer but an accident.
_MAX_ANSWER_BYTES = 80 * 1024 * 1024

_RATE_WORDS = ("rate limit", "rate-limit", "too many requests", "request count", "per second", "rps", "capacity",
               "throughput", "credits", "quota")  # fmt: skip
# Only these run a contract's code before they are answered.
_EXECUTING = frozenset({"eth_call", "eth_estimateGas"})
_EXECUTION_REVERTED = 3
_SUBSCRIBE = "eth_subscribe"
_MAX_SAID_CHARACTERS = 300
# Our own ids are counted from 1.
_MAX_ID_DIGITS = 20
_HEX = re.compile(r"0x([0-9a-fA-F]{2})+")


class RpcError(TidemarkError):
    """An endpoint did not give what was asked of it."""


class EndpointDown(RpcError):
    """The endpoint cannot be reached or does not speak JSON-RPC. Check its URL and key.

    Args:
        msg: The whole message, with the endpoint's label.
        was_reached: Whether it took the question, and answered no JSON-RPC or hung up: less may be answered.
    """

    def __init__(self, msg: str, *, was_reached: bool = False) -> None:
        super().__init__(msg)
        self.was_reached = was_reached


class EndpointSlow(RpcError):
    """The endpoint did not answer in time."""


class RateLimited(RpcError):
    """The provider's limit of requests is reached. Add another endpoint or a larger plan."""


class TooMuch(RpcError):
    """More was asked for than one answer may hold.

    Args:
        msg: The whole message.
        most: How many blocks to ask for instead, where it is known.
    """

    def __init__(self, msg: str, most: int | None = None) -> None:
        super().__init__(msg)
        self.most = most


class Refused(RpcError):
    """The node answered with an error of its own.

    Args:
        msg: The whole message, with the endpoint's label.
        said: The node's own text.
    """

    def __init__(self, msg: str, said: str) -> None:
        super().__init__(msg)
        self.said = said


class CallReverted(Refused):
    """A contract refused a call. Another endpoint with the same state would say the same.

    Args:
        msg: The whole message, with the endpoint's label.
        said: The node's own text.
        data: What the contract returned as its reason, empty where it or the node gives none.
        label: Names the endpoint, whose state may be an old one.
    """

    def __init__(self, msg: str, said: str, data: bytes, label: str) -> None:
        super().__init__(msg, said)
        self.data = data
        self.label = label


class BadAnswer(RpcError):
    """The node's answer is not of the shape its method promises."""


class NoContract(BadAnswer):
    """There is no contract, or a view answered nothing. Check its address, and that the node has that block's state."""


class Endpoint(Protocol):
    """A place that answers JSON-RPC. ``label`` names it in logs and metrics without its URL."""

    label: str

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[Outcome]:
        """Return what became of each call, in order; an error that concerns all of them is raised."""

    async def close(self) -> None:
        """Disconnect."""


class HttpEndpoint:
    """An http(s) endpoint; several calls travel as one JSON-RPC batch.

    Args:
        session: HTTP client; its owner closes it.
        url: Where the endpoint is; it may hold a key, and is never logged.
        label: Names it in logs and metrics.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, label: str) -> None:
        self.label = label
        self._session = session
        self._url = url
        self._ids = itertools.count(1)

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[Outcome]:
        """Return what became of each call, in order; an error that concerns all of them is raised."""
        requests = _requests(calls, self._ids)
        body = orjson.dumps(requests if len(requests) > 1 else requests[0])
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.post(
                    self._url, data=body, headers={"Content-Type": "application/json"}, timeout=WITHOUT_END
                ) as response,
            ):
                status, answer = response.status, await read_at_most(_MAX_ANSWER_BYTES, response, TooMuch)
        except TimeoutError as error:
            msg = f"expected endpoint {self.label} to answer {calls[0][0]} in {timeout_s} s, found no answer"
            raise EndpointSlow(msg) from error
        except (aiohttp.ClientError, OSError) as error:
            # The error's text may hold the URL, and that a key.
            msg = f"expected endpoint {self.label} to answer {calls[0][0]}, found {type(error).__name__}"
            raise EndpointDown(msg, was_reached=not isinstance(error, aiohttp.ClientConnectorError)) from None
        return _results(calls, requests, _answers(status, answer, self.label), self.label)

    async def close(self) -> None:
        """Does nothing: the session is its owner's to close."""


class WebsocketEndpoint:
    """A ws(s) endpoint, subscribed to ``newHeads``; after a fault it connects anew when it is asked again.

    ``heads`` counts the heads that it has announced.

    Args:
        session: HTTP client; its owner closes it.
        url: Where the endpoint is; it may hold a key, and is never logged.
        label: Names it in logs and metrics.
        on_head: Called for every new head.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, label: str, on_head: Callable[[], None]) -> None:
        self.label = label
        self.heads = 0
        self._session = session
        self._url = url
        self._on_head = on_head
        self._ids = itertools.count(1)
        self._connecting = asyncio.Lock()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._subscribing: asyncio.Future[dict[str, Any]] | None = None

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[Outcome]:
        """Return what became of each call, in order; an error that concerns all of them is raised."""
        requests = _requests(calls, self._ids)
        try:
            async with asyncio.timeout(timeout_s):
                answers = await self._exchange(requests)
        except TimeoutError as error:
            msg = f"expected endpoint {self.label} to answer {calls[0][0]} in {timeout_s} s, found no answer"
            raise EndpointSlow(msg) from error
        return _results(calls, requests, answers, self.label)

    async def subscribe(self, timeout_s: float) -> None:
        """Be connected and subscribed; a subscription that was refused is asked for again.

        Raises:
            EndpointDown: It does not take a websocket.
            EndpointSlow: It does not answer in time.
            RpcError: It takes a websocket and answers, and refuses the subscription.
        """
        try:
            async with asyncio.timeout(timeout_s):
                socket = await self._connect()
                if self._subscribing is None:
                    await self._ask_to_subscribe(socket)
                await self._subscribed()
        except TimeoutError as error:
            self._subscribing = None
            msg = f"expected endpoint {self.label} to take a subscription in {timeout_s} s, found no answer"
            raise EndpointSlow(msg) from error

    async def closed(self) -> None:
        """Return when the connection has ended."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def disconnect(self) -> None:
        """End the connection; the next question, or the next subscription, makes another one."""
        if self._socket is not None:
            await self._socket.close()
        await self.closed()

    async def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            await self._socket.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _exchange(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        socket = await self._connect()
        futures = [self._answers.setdefault(r["id"], asyncio.Future()) for r in requests]
        try:
            for request in requests:
                await socket.send_str(orjson.dumps(request).decode())
            return list(await asyncio.gather(*futures))
        except ConnectionError as error:
            msg = f"expected endpoint {self.label} to stay connected, found it closed"
            raise EndpointDown(msg, was_reached=True) from error
        finally:
            for request in requests:
                self._answers.pop(request["id"], None)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        async with self._connecting:
            if self._socket is not None and not self._socket.closed:
                return self._socket
            try:
                socket = await self._session.ws_connect(self._url, max_msg_size=_MAX_ANSWER_BYTES, heartbeat=20.0)
                await self._ask_to_subscribe(socket)
            except (aiohttp.ClientError, ConnectionError) as error:
                msg = f"expected endpoint {self.label} to take a websocket, found {type(error).__name__}"
                raise EndpointDown(msg) from None
            self._socket = socket
            self._reading = asyncio.create_task(self._read(socket), name=f"rpc {self.label}")
            return socket

    async def _ask_to_subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        (request,) = _requests([(_SUBSCRIBE, ["newHeads"])], self._ids)
        future = self._answers[request["id"]] = asyncio.get_running_loop().create_future()

        def forget(done: asyncio.Future[dict[str, Any]]) -> None:
            self._answers.pop(request["id"], None)
            # Nobody may wait for it: who only asks questions needs no subscription.
            if not done.cancelled():
                done.exception()

        future.add_done_callback(forget)
        self._subscribing = future
        await socket.send_json(request)

    async def _subscribed(self) -> None:
        if self._subscribing is None:
            return
        answer = await asyncio.shield(self._subscribing)
        error = answer.get("error")
        if error is None and answer.get("result") is not None:
            return
        self._subscribing = None
        if error is not None:
            raise _of_error(_SUBSCRIBE, error, self.label)
        msg = f"expected endpoint {self.label} to name a subscription, found {str(answer)[:80]}"
        raise BadAnswer(msg)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                break
            try:
                answer = orjson.loads(message.data)
            except orjson.JSONDecodeError:
                break
            if not isinstance(answer, dict):
                break
            if answer.get("method") == "eth_subscription":
                self.heads += 1
                self._on_head()
            else:
                self._take(answer)
        await socket.close()
        msg = f"expected endpoint {self.label} to stay connected, found it closed"
        for future in self._answers.values():
            if not future.done():
                future.set_exception(EndpointDown(msg, was_reached=True))

    def _take(self, answer: dict[str, Any]) -> None:
        request_id = _id_of(answer)
        if request_id is not None:
            futures = [self._answers[request_id]] if request_id in self._answers else []
        else:
            # An error that names no request may be about any of those that wait.
            futures = list(self._answers.values()) if answer.get("error") else []
        for future in futures:
            if not future.done():
                future.set_result(answer)


def _requests(calls: Sequence[Call], ids: itertools.count[int]) -> list[dict[str, Any]]:
    return [{"jsonrpc": "2.0", "id": next(ids), "method": method, "params": params} for method, params in calls]


def _answers(status: int, body: bytes, label: str) -> list[Any]:
    msg = f"expected endpoint {label} to answer, found HTTP {status} and {body[:80]!r}; check its URL and key"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise TooMuch(msg)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimited(msg)
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        raise EndpointSlow(msg)
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise EndpointDown(msg, was_reached=True) from error
    answers = answer if isinstance(answer, list) else [answer]
    # Some providers send JSON-RPC errors with HTTP 400 or 500: the error says more than the status.
    if status >= HTTPStatus.BAD_REQUEST and not any(isinstance(one, dict) and one.get("error") for one in answers):
        raise EndpointDown(msg, was_reached=True)
    return answers


def _results(calls: Sequence[Call], requests: list[dict[str, Any]], answers: list[Any], label: str) -> list[Outcome]:
    if not all(isinstance(answer, dict) for answer in answers):
        msg = f"expected JSON-RPC objects of endpoint {label}, found {str(answers)[:80]}"
        raise BadAnswer(msg)
    by_id = {_id_of(answer): answer for answer in answers}
    # A batch that is refused as a whole is answered by one error without an id. So is a single call by some nodes.
    for_all = by_id.get(None)
    if for_all is not None and len(calls) > 1:
        for_all = for_all if for_all.get("error") is not None else None
    return [
        _result(method, by_id.get(request["id"], for_all), label)
        for (method, _), request in zip(calls, requests, strict=True)
    ]


def _result(method: str, answer: dict[str, Any] | None, label: str) -> Outcome:
    if answer is None:
        return BadAnswer(f"expected an answer to {method} of endpoint {label}, found none in its batch")
    if answer.get("error") is not None:
        return _of_error(method, answer["error"], label)
    if "result" not in answer:
        return BadAnswer(f"expected a result of {method} of endpoint {label}, found {str(answer)[:80]}")
    return answer["result"]


def _id_of(answer: dict[str, Any]) -> int | None:
    """Read the id of an answer, which some nodes spell as a text."""
    match answer.get("id"):
        case bool():
            return None
        case int() as number:
            return number
        case float() as number if number.is_integer():
            return int(number)
        case str() as text if text.isdecimal() and len(text) <= _MAX_ID_DIGITS:
            return int(text)
        case _:
            return None


def _of_error(method: str, error: object, label: str) -> RpcError:
    fields = error if isinstance(error, dict) else {"message": error}
    code, said = fields.get("code"), str(fields.get("message", error))[:_MAX_SAID_CHARACTERS]
    msg = f"expected endpoint {label} to answer {method}, found error {code}: {said}"
    lower = said.lower()
    if method in _EXECUTING:
        data = _revert_data(fields.get("data"))
        # A contract may use any words in its reason, those of a provider's limits too.
        if data or code == _EXECUTION_REVERTED or "revert" in lower or "revert" in str(fields.get("data")).lower():
            return CallReverted(msg, said, data, label)
    return RateLimited(msg) if any(word in lower for word in _RATE_WORDS) else Refused(msg, said)


def _revert_data(data: object) -> bytes:
    """Read the reason of a revert from an error's ``data``.

    Some nodes nest it in an object of the same name, some put the word ``Reverted`` before it.
    """
    if isinstance(data, dict):
        data = data.get("data")
    text = data.removeprefix("Reverted ") if isinstance(data, str) else ""
    return bytes.fromhex(text[2:]) if _HEX.fullmatch(text) else b""
