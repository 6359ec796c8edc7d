"""One endpoint's old state is no fact (kind F), and what users chose is never why something ends (kind D)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from eth_abi.abi import encode
from prometheus_client import REGISTRY

from streams.ingest.symmio.enumeration import Owner, find_owners
from streams.node.contract_views import ContractViews
from streams.node.contracts import is_contract
from streams.node.rpc import BadAnswer, NoContract, RpcError
from streams.settings import SymmioSettings
from tests.support.chain import DIAMOND, Chain
from tests.support.scripted_node import Refusal, ScriptedNode, node_over
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable

MULTI, OWNER = "0x" + "3a" * 20, "0x" + "0e" * 20
FIRST, SECOND = "0x" + "a1" * 20, "0x" + "a2" * 20


def synced() -> ScriptedNode:
    chain = Chain()
    chain.mine(10)
    return ScriptedNode(chain)


def syncing(until_s: float = float("inf")) -> ScriptedNode:
    node = synced()
    node.edits["eth_getCode"] = lambda code: "0x" if asyncio.get_running_loop().time() < until_s else code
    return node


def down(until_s: float) -> ScriptedNode:
    node = synced()

    def rule(_method: str, _params: list[Any]) -> None:
        if asyncio.get_running_loop().time() < until_s:
            raise Refusal(-32000, "back soon", 503)

    node.rule = rule
    return node


@pytest.mark.parametrize(
    ("nodes", "is_there"),
    [
        pytest.param(lambda: [synced()], True, id="there"),
        pytest.param(lambda: [syncing(), synced()], True, id="one is syncing"),
        pytest.param(lambda: [synced(), syncing()], True, id="the second is syncing"),
        pytest.param(lambda: [syncing(), down(60.0)], True, id="one is syncing and the other one away for a minute"),
        pytest.param(lambda: [syncing(1.0)], True, id="the only one is syncing for a moment"),
        pytest.param(lambda: [syncing()], False, id="the only one says so again and again"),
        pytest.param(lambda: [syncing(), syncing()], False, id="all say so"),
        pytest.param(lambda: [syncing(), down(1e9)], False, id="none contradicts for long"),
    ],
)
def test_that_there_is_no_contract_is_not_believed_of_one_endpoint(
    nodes: Callable[[], list[ScriptedNode]],
    is_there: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert is_there == run_in_no_time(is_contract(node_over(*nodes()), DIAMOND), 0.001)


def test_whether_there_is_a_contract_is_unknown_where_nobody_tells() -> None:
    node = synced()

    def rule(method: str, _params: list[Any]) -> None:
        if method == "eth_getCode":
            raise Refusal(-32601, "the method does not exist")

    node.rule = rule

    with pytest.raises(RpcError, match="does not exist"):
        run_in_no_time(is_contract(node_over(node), DIAMOND))


def test_a_block_that_the_chain_has_reached_is_asked_for_where_it_is() -> None:
    behind, ahead = synced(), synced()
    behind.edits["eth_getBlockByNumber"] = lambda _: None

    assert 5 == run_in_no_time(node_over(behind, ahead).header_of_past(5)).number


class Views(ScriptedNode):
    """Answers the views of a MultiAccount with two accounts of one owner, named as the test says."""

    def __init__(self, *names: bytes) -> None:
        super().__init__(Chain())
        self.names = names
        self.spoil: Callable[[int, bytes], str] = lambda _size, answer: "0x" + answer.hex()

    def _result(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - JSON
        if method != "eth_call":
            return super()._result(method, params)
        data = params[0]["data"]
        selector, words = data[2:10], [int(data[at : at + 64], 16) for at in range(10, len(data), 64)]
        named = list(zip((FIRST, SECOND), self.names, strict=True))
        match len(words):
            case 3:
                some = named[words[1] : words[1] + words[2]]
                return self.spoil(len(some), encode(["(address,bytes)[]"], [some]))
            case 1 if f"0x{words[0]:040x}" == OWNER:
                return "0x" + encode(["uint256"], [len(named)]).hex()
            case 1:
                return "0x" + encode(["address"], [OWNER]).hex()
            case _:
                raise AssertionError(selector)


def owners(*nodes: ScriptedNode) -> dict[str, Owner]:
    settings = SymmioSettings(chain_id=31_337, diamond=DIAMOND, multi_accounts=(MULTI,))
    return run_in_no_time(find_owners(node_over(*nodes), ContractViews(DIAMOND, 5), settings, [FIRST]))


@pytest.mark.parametrize("name", [b"hold\xff\xfe", b"\xc3", b"\x00", "Größe".encode("latin-1"), b"\xed\xa0\x80"])
def test_a_name_of_any_bytes_is_read_with_what_is_no_text_replaced(name: bytes) -> None:
    found = owners(Views(name, b"plain"))

    assert name.decode(errors="replace") == found[FIRST].name
    assert "plain" == found[SECOND].name


def test_what_no_endpoint_tells_readably_is_gone_on_without_and_said(caplog: pytest.LogCaptureFixture) -> None:
    both = Views(b"bad", b"plain"), Views(b"bad", b"plain")
    for one in both:
        # Whatever holds the first account does not decode.
        one.spoil = lambda _size, answer: "0x12" if FIRST[2:] in answer.hex() else "0x" + answer.hex()
    before = _repeated()

    found = owners(*both)

    assert {FIRST: Owner(OWNER, MULTI, ""), SECOND: Owner(OWNER, MULTI, "plain")} == found
    # The page, and the account alone.
    assert 2.0 == _repeated() - before
    assert "bad at every endpoint" in caplog.text
    assert "put aside" not in caplog.text


def test_what_one_endpoint_tells_badly_is_taken_of_the_other_which_is_then_asked_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = Views(b"one", b"two"), Views(b"one", b"two")
    first.spoil = lambda _size, _answer: "0x12"

    assert {"one", "two"} == {owner.name for owner in owners(first, second).values()}
    assert "cause=BadAnswer" in caplog.text


def test_a_view_that_answers_nothing_is_asked_for_elsewhere_and_nowhere_gone_on_without() -> None:
    first, second = Views(b"one", b"two"), Views(b"one", b"two")
    first.spoil = lambda _size, _answer: "0x"

    assert {"one", "two"} == {owner.name for owner in owners(first, second).values()}
    with pytest.raises(NoContract):
        owners(first)
    assert issubclass(NoContract, BadAnswer)


def _repeated() -> float:
    return REGISTRY.get_sample_value("tidemark_rpc_repeated_bad_answers_total", {"deployment": "d"}) or 0.0
