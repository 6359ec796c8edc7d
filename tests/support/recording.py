"""Recorded chains as the records ingest would write."""

from __future__ import annotations

import gzip
import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.chain_records import Block, RawLog, Watermark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.chain_records import ChainRecord

DATA = Path(__file__).parents[1] / "data"
GOLDEN_LOGS = DATA / "symmio" / "logs.json.gz"
GOLDEN_STATES = DATA / "symmio" / "states.json.gz"
SECOND_LOGS = DATA / "symmio" / "second" / "logs.json.gz"
SECOND_STATES = DATA / "symmio" / "second" / "states.json.gz"


def read_json(path: Path) -> Any:  # noqa: ANN401 - the files' own shapes
    """Read a gzipped JSON file."""
    with gzip.open(path) as file:
        return json.load(file)


def recorded_blocks(recording: dict[str, Any]) -> Iterator[Block]:
    """The blocks of a raw log file, in chain order, as chain-blocks would hold them."""
    for number, logs in groupby(recording["logs"], lambda log: int(log["blockNumber"], 16)):
        header = recording["blocks"][str(number)]
        yield Block(
            number,
            "0x" + header["hash"],
            "0x" + header["parentHash"],
            header["timestamp"],
            tuple(
                RawLog(
                    log["address"].lower(),
                    tuple(log["topics"]),
                    log["data"],
                    log["transactionHash"],
                    int(log["transactionIndex"], 16),
                    int(log["logIndex"], 16),
                )
                for log in logs
            ),
        )


def recorded_chain(recording: dict[str, Any], *, every: int = 20, depth: int = 10) -> Iterator[ChainRecord]:
    """The blocks with a watermark after each ``every`` of them and at the end, ``depth`` blocks behind the head."""
    block = None
    for at, block in enumerate(recorded_blocks(recording), start=1):
        yield block
        if at % every == 0:
            yield Watermark(block.number, block.time_s, block.number - depth)
    if block is not None:
        yield Watermark(block.number, block.time_s, block.number - depth)
