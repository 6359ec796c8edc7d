"""A node's headers and logs as it answers them, and the Block records made of them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from models.chain_records import Block, RawLog
from streams.node.answers import (
    read_address,
    read_bytes,
    read_hash,
    read_hex,
    read_number,
    read_object,
    read_time_s,
    reject,
)
from streams.node.rpc import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Header(NamedTuple):
    """A block's header; ``time_s`` is seconds since the Unix epoch, ``bloom`` is empty where the node tells none."""

    number: int
    hash: str
    parent: str
    time_s: int
    bloom: bytes = b""


class FoundLog(NamedTuple):
    """A log and the block it was found in."""

    number: int
    block_hash: str
    log: RawLog


class FoundLogs(NamedTuple):
    """The logs of one answer in chain order, and how many it said were removed by a reorganisation."""

    logs: list[FoundLog]
    removed: int


def read_header(answer: object) -> Header:
    """Read the block a node answered with.

    Raises:
        BadAnswer: It is no block, or a pending one.
    """
    block = read_object("a block", answer)
    return Header(
        read_number(block.get("number")),
        read_hash(block.get("hash")),
        read_hash(block.get("parentHash")),
        read_time_s(block),
        _bloom(block.get("logsBloom")),
    )


def read_optional_header(answer: object) -> Header | None:
    """Read a block, or None where the node has none of that number or hash.

    Raises:
        BadAnswer: It is something else.
    """
    return None if answer is None else read_header(answer)


def read_logs(answer: object) -> FoundLogs:
    """Read an ``eth_getLogs`` answer; removed logs are left out, repeated ones too, the rest is put in chain order.

    Raises:
        BadAnswer: It is no list of logs, a log lacks a field or its block, two logs claim one place, or the logs of a
            block are not counted in the order of its transactions.
    """
    found: dict[tuple[int, int, str], FoundLog] = {}
    removed = 0
    if not isinstance(answer, list):
        reject("a list of logs", answer)
    for one in answer:
        log = read_object("a log", one)
        if _is_removed(log.get("removed")):
            removed += 1
            continue
        told = _found_log(log)
        if found.setdefault((told.number, told.log.log_index, told.block_hash), told) != told:
            msg = f"expected one log at index {told.log.log_index} of block {told.number}, found two that differ"
            raise BadAnswer(msg)
    logs = sorted(found.values(), key=lambda told: (told.number, told.block_hash, told.log.log_index))
    for before, after in pairwise(logs):
        _expect_order(before, after)
    return FoundLogs(logs, removed)


def make_blocks(headers: Sequence[Header], logs: Iterable[FoundLog]) -> list[Block]:
    """Make one Block record of each header, with its logs.

    Raises:
        BadAnswer: A log names a block that is not among the headers, or another hash for it: the node's answers were
            given on different branches and are to be asked for again.
    """
    of_block: dict[tuple[int, str], list[RawLog]] = {(header.number, header.hash): [] for header in headers}
    for found in logs:
        place = (found.number, found.block_hash)
        if place not in of_block:
            msg = f"expected logs of the blocks asked for, found one of block {found.number} {found.block_hash}"
            raise BadAnswer(msg)
        of_block[place].append(found.log)
    return [
        Block(header.number, header.hash, header.parent, header.time_s, tuple(of_block[header.number, header.hash]))
        for header in sorted(headers)
    ]


def _found_log(log: dict[str, Any]) -> FoundLog:
    topics = log.get("topics")
    if not isinstance(topics, list):
        reject("a log's topics", topics)
    raw = RawLog(
        address=read_address(log.get("address")),
        topics=tuple(read_hash(topic) for topic in topics),
        data=read_hex(log.get("data")),
        tx=read_hash(log.get("transactionHash")),
        tx_index=read_number(log.get("transactionIndex")),
        log_index=read_number(log.get("logIndex")),
    )
    return FoundLog(read_number(log.get("blockNumber")), read_hash(log.get("blockHash")), raw)


def _expect_order(before: FoundLog, after: FoundLog) -> None:
    """Expect logs of one block to be counted on through it; some nodes count them anew in every transaction."""
    if before.block_hash != after.block_hash:
        return
    first, second = before.log, after.log
    if first.tx_index > second.tx_index or (first.tx_index == second.tx_index) != (first.tx == second.tx):
        msg = (
            f"expected the logs of block {before.number} to be counted in the order of its transactions, found index "
            f"{first.log_index} in transaction {first.tx_index} and {second.log_index} in transaction {second.tx_index}"
        )
        raise BadAnswer(msg)


def _is_removed(answer: object) -> bool:
    if answer not in (None, True, False, "true", "false"):
        reject("whether a log was removed", answer)
    return answer in (True, "true")


def _bloom(answer: object) -> bytes:
    # A bloom only hints: one that cannot be read is none.
    try:
        return read_bytes(answer)
    except BadAnswer:
        return b""
