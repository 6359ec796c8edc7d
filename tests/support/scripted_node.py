"""A node that answers each HTTP body as a test says, without sockets, so that it runs on a virtual clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from streams.node.endpoints import Node, Patience
from streams.node.rpc import HttpEndpoint
from tests.support.chain import DIAMOND
from tests.support.hostile_node import Exchange, HostileSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.chain import Chain

CHAIN_ID = 31_337


class Refusal(Exception):
    """Is answered as an error of JSON-RPC, with an HTTP status."""

    def __init__(self, code: int, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class ScriptedNode:
    """Serves a chain; ``rule`` may refuse a call, ``batch_rule`` a batch, ``edits`` change results by method.

    ``asked`` has (method, params) of every call, ``sizes`` the number of calls in every request.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.rule: Callable[[str, list[Any]], None] = lambda _method, _params: None
        self.batch_rule: Callable[[int], Exchange | None] = lambda _size: None
        self.edits: dict[str, Callable[[Any], Any]] = {}
        self.asked: list[tuple[str, list[Any]]] = []
        self.sizes: list[int] = []

    def exchange(self, body: bytes) -> Exchange:
        asked = orjson.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        self.sizes.append(len(calls))
        if isinstance(asked, list) and (refused := self.batch_rule(len(calls))) is not None:
            return refused
        answers, status = [], 200
        for call in calls:
            self.asked.append((call["method"], call["params"]))
            try:
                self.rule(call["method"], call["params"])
                result = self._result(call["method"], call["params"])
                edit = self.edits.get(call["method"], lambda same: same)
                answers.append({"jsonrpc": "2.0", "id": call["id"], "result": edit(result)})
            except Refusal as refusal:
                status = refusal.status if not isinstance(asked, list) else 200
                error = {"code": refusal.code, "message": refusal.message}
                answers.append({"jsonrpc": "2.0", "id": call["id"], "error": error})
        return Exchange(status, orjson.dumps(answers if isinstance(asked, list) else answers[0]), 0.01)

    def widths(self) -> list[int]:
        """How many blocks each range of logs had that was asked for."""
        ranges = [params[0] for method, params in self.asked if method == "eth_getLogs"]
        return [int(one["toBlock"], 16) - int(one["fromBlock"], 16) + 1 for one in ranges]

    def _result(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - JSON
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_getLogs":
                first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
                return [log for block in self.chain.blocks[first : last + 1] for log in block.logs]
            case "eth_getBlockByNumber":
                number = self.chain.head.number if params[0] == "latest" else int(params[0], 16)
                return self.chain.blocks[number].header() if number <= self.chain.head.number else None
            case "eth_getCode":
                return "0x60"
            case _:
                raise Refusal(-32601, f"the method {method} does not exist")


def node_over(*nodes: ScriptedNode, patience: Patience | None = None) -> Node:
    """A Node that asks these in their order."""
    labels = {f"#{number}": one for number, one in enumerate(nodes, start=1)}
    served: Any = labels
    session: Any = HostileSession(served)
    return Node("d", [HttpEndpoint(session, label, label) for label in labels], CHAIN_ID, patience)


def logs_query(first: int, last: int) -> tuple[str, list[Any]]:
    return "eth_getLogs", [{"fromBlock": hex(first), "toBlock": hex(last), "address": [DIAMOND]}]
