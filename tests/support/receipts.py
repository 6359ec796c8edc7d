"""Receipts of a made-up block, as a node tells them, and the root that its header has for them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from models.bloom import bits_of
from models.receipts import Receipt, ReceiptLog, receipts_root

if TYPE_CHECKING:
    from tests.support.chain import ChainBlock

_OTHER_CONTRACT = "0x" + "0e" * 20
_GAS = 21_000


@lru_cache(maxsize=20_000)
def receipts_of(block: ChainBlock) -> tuple[dict[str, Any], ...]:
    """Its receipts; a log index that no log of the block has is a log of some other contract."""
    by_index = {int(log["logIndex"], 16): log for log in block.logs}
    count = 1 + max((int(log["transactionIndex"], 16) for log in block.logs), default=-1)
    logs: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    hashes = [f"0x{block.number:032x}{index:032x}" for index in range(count)]
    for log in block.logs:
        hashes[int(log["transactionIndex"], 16)] = log["transactionHash"]
    at = 0
    for index in range(1 + max(by_index, default=-1)):
        if index in by_index:
            at = int(by_index[index]["transactionIndex"], 16)
        logs[at].append(by_index.get(index, {"address": _OTHER_CONTRACT, "topics": [], "data": "0x"}))
    return tuple(
        {
            "transactionHash": hashes[index],
            "transactionIndex": hex(index),
            "blockNumber": hex(block.number),
            "blockHash": block.hash,
            "type": "0x2",
            "status": "0x1",
            "cumulativeGasUsed": hex(_GAS * (index + 1)),
            "logsBloom": _bloom(found),
            "logs": found,
        }
        for index, found in enumerate(logs)
    )


@lru_cache(maxsize=20_000)
def vouched(block: ChainBlock) -> dict[str, Any]:
    """What its header says of its receipts."""
    receipts = receipts_of(block)
    return {
        "receiptsRoot": receipts_root([_receipt(one) for one in receipts]),
        "logsBloom": _bloom([log for one in receipts for log in one["logs"]]),
        "transactions": [one["transactionHash"] for one in receipts],
    }


def _bloom(logs: list[dict[str, Any]]) -> str:
    bits = 0
    for log in logs:
        bits |= bits_of(log["address"])
    return f"0x{bits:0512x}"


def _receipt(answer: dict[str, Any]) -> Receipt:
    return Receipt(
        kind=2,
        outcome=b"\x01",
        gas=int(answer["cumulativeGasUsed"], 16),
        bloom=bytes.fromhex(answer["logsBloom"][2:]),
        logs=tuple(
            ReceiptLog(
                bytes.fromhex(log["address"][2:]),
                tuple(bytes.fromhex(topic[2:]) for topic in log["topics"]),
                bytes.fromhex(log["data"][2:]),
            )
            for log in answer["logs"]
        ),
    )
