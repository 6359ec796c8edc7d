"""A chain of our own making: blocks with logs, forks of any depth, or the blocks of a recording."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

DIAMOND = "0x" + "d1" * 20
RECORDING = Path(__file__).parents[1] / "data" / "symmio"


@dataclass(frozen=True, eq=False)
class ChainBlock:
    number: int
    hash: str
    parent: str
    time_s: int
    logs: tuple[dict[str, Any], ...]

    def header(self) -> dict[str, Any]:
        return {
            "number": hex(self.number),
            "hash": self.hash,
            "parentHash": self.parent,
            "timestamp": hex(self.time_s),
            "logsBloom": "0x" + "00" * 256,
        }


class Chain:
    """The canonical branch, index by number; blocks of left branches are no longer served."""

    def __init__(self) -> None:
        self.blocks: list[ChainBlock] = []
        self._salt = 0

    @property
    def head(self) -> ChainBlock:
        return self.blocks[-1]

    def mine(self, count: int = 1, logs: int = 1) -> None:
        """Add blocks, each with so many logs of DIAMOND."""
        for _ in range(count):
            number = len(self.blocks)
            parent = self.blocks[-1].hash if self.blocks else _hash("genesis")
            block_hash = _hash(f"{parent} {self._salt}")
            found = tuple(_log(number, block_hash, index) for index in range(logs))
            self.blocks.append(ChainBlock(number, block_hash, parent, 1_700_000_000 + number, found))

    def reorganise(self, depth: int, length: int, logs: int = 1) -> None:
        """Leave the last ``depth`` blocks and add ``length`` others."""
        del self.blocks[len(self.blocks) - depth :]
        self._salt += 1
        self.mine(length, logs)

    def by_hash(self, block_hash: str) -> ChainBlock | None:
        return next((block for block in self.blocks if block.hash == block_hash), None)


def recorded_chain(directory: Path = RECORDING) -> Chain:
    """The recorded deployment's chain; blocks that the recording leaves out are filled in between."""
    recording = orjson.loads(gzip.decompress((directory / "logs.json.gz").read_bytes()))
    headers = {int(number): header for number, header in recording["blocks"].items()}
    logs: dict[int, list[dict[str, Any]]] = {}
    for log in recording["logs"]:
        logs.setdefault(int(log["blockNumber"], 16), []).append(log)
    chain = Chain()
    time_s = min(header["timestamp"] for header in headers.values())
    for number in range(recording["end"] + 1):
        header, child = headers.get(number), headers.get(number + 1)
        parent = chain.blocks[-1].hash if chain.blocks else _hash("genesis")
        if header is not None:
            block_hash, time_s = "0x" + header["hash"], header["timestamp"]
        elif child is not None:
            block_hash = "0x" + child["parentHash"]
        else:
            block_hash = _hash(parent)
        chain.blocks.append(ChainBlock(number, block_hash, parent, time_s, tuple(logs.get(number, ()))))
    return chain


def recorded_diamond(directory: Path = RECORDING) -> str:
    return str(orjson.loads(gzip.decompress((directory / "logs.json.gz").read_bytes()))["diamond"]).lower()


def _hash(text: str) -> str:
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def _log(number: int, block_hash: str, index: int) -> dict[str, Any]:
    return {
        "removed": False,
        "logIndex": hex(index),
        "transactionIndex": hex(index),
        "transactionHash": _hash(f"tx {block_hash} {index}"),
        "blockHash": block_hash,
        "blockNumber": hex(number),
        "address": DIAMOND,
        "data": "0x" + f"{number:064x}",
        "topics": [_hash("Tick(uint256)")],
    }
