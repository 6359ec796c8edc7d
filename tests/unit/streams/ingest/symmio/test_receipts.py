"""Receipts as anvil told them, of three types of transactions, some of which failed, against the roots in headers."""

from __future__ import annotations

import copy
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from streams.ingest.symmio.receipts import Undecided, proven_logs
from streams.node.blocks import read_logs
from streams.node.endpoints import Node
from streams.node.rpc import Refused
from tests.support.hostile_node import spelled
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.ingest.symmio.told_logs import ToldLogs
    from streams.node.rpc import Call, Outcome

_RECORDED = Path(__file__).parents[4] / "data" / "receipts" / "anvil.json.gz"
_CHAIN_ID = 31_337


class RecordedEndpoint:
    """Answers with one recorded block, changed by ``edit``; it does not offer the methods ``refused``."""

    def __init__(
        self, number: int, edit: Callable[[dict[str, Any]], object], refused: Sequence[str] = (), label: str = "#1"
    ) -> None:
        self.label = label
        recorded = orjson.loads(gzip.decompress(_RECORDED.read_bytes()))
        self.block = copy.deepcopy(recorded[number - 1])
        edit(self.block)
        self._refused = refused

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[Outcome]:
        del timeout_s
        return [self._answer(*call) for call in calls]

    async def close(self) -> None:
        """Nothing is open."""

    def _answer(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - JSON
        if method in self._refused:
            return Refused(f"expected {method}, found no such method", "no such method")
        match method:
            case "eth_chainId":
                return hex(_CHAIN_ID)
            case "eth_getBlockByNumber":
                return self.block["header"]
            case "eth_getBlockReceipts":
                return self.block["receipts"]
            case _:
                return next(one for one in self.block["receipts"] if one["transactionHash"] == params[0])


def proven(*endpoints: RecordedEndpoint, number: int = 2) -> ToldLogs:
    node = Node("main", endpoints, _CHAIN_ID)
    return run_in_no_time(proven_logs(node, number, lambda _: True), 1e-6)


def told(endpoint: RecordedEndpoint) -> ToldLogs:
    """The logs as ``eth_getLogs`` would tell them: those in the receipts."""
    return frozenset(read_logs([log for one in endpoint.block["receipts"] for log in one["logs"]]).logs)


def nothing(_block: dict[str, Any]) -> None:
    """Leave it as it is."""


def lose_a_log(block: dict[str, Any]) -> None:
    next(one for one in block["receipts"] if one["logs"])["logs"].pop()


def lose_a_receipt(block: dict[str, Any]) -> None:
    block["receipts"].pop()


def fail_a_transaction(block: dict[str, Any]) -> None:
    block["receipts"][0]["status"] = "0x0"


def spell_otherwise(block: dict[str, Any]) -> None:
    block["receipts"] = spelled(list(reversed(block["receipts"])))


@pytest.mark.parametrize("number", [1, 2])
def test_receipts_that_come_to_the_root_are_the_logs(number: int) -> None:
    endpoint = RecordedEndpoint(number, nothing)

    assert told(endpoint) == proven(endpoint, number=number)


def test_types_and_outcomes_of_the_recording_are_several() -> None:
    receipts = RecordedEndpoint(2, nothing).block["receipts"]

    assert {("0x0", "0x1"), ("0x1", "0x0"), ("0x1", "0x1"), ("0x2", "0x1")} == {
        (one["type"], one["status"]) for one in receipts
    }


def test_receipts_in_another_order_and_spelling_are_the_same() -> None:
    assert told(RecordedEndpoint(2, nothing)) == proven(RecordedEndpoint(2, spell_otherwise))


@pytest.mark.parametrize("damage", [lose_a_log, lose_a_receipt, fail_a_transaction])
def test_receipts_that_do_not_come_to_the_root_decide_nothing(damage: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(Undecided, match="expected the receipts of block 2 to come to the root"):
        proven(RecordedEndpoint(2, damage))


@pytest.mark.parametrize("damage", [lose_a_log, lose_a_receipt, fail_a_transaction])
def test_another_endpoints_receipts_decide_then(damage: Callable[[dict[str, Any]], None]) -> None:
    whole = RecordedEndpoint(2, nothing, label="#2")

    assert told(whole) == proven(RecordedEndpoint(2, damage), whole)


def test_receipts_are_asked_for_one_by_one_where_a_blocks_are_not_offered() -> None:
    endpoint = RecordedEndpoint(2, nothing, refused=["eth_getBlockReceipts"])

    assert told(endpoint) == proven(endpoint)


def test_an_endpoint_that_offers_none_decides_nothing() -> None:
    with pytest.raises(Undecided):
        proven(RecordedEndpoint(2, nothing, refused=["eth_getBlockReceipts", "eth_getTransactionReceipt"]))
