"""A node's headers and logs as it answers them, and the Block records made of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from models.chain_records import Block, RawLog
from streams.node.rpc import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_T = TypeVar("_T")
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_BYTES = re.compile(r"0x(?:[0-9a-f]{2})*")


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


class _WireHeader(msgspec.Struct, rename="camel"):
    number: str
    hash: str
    parent_hash: str
    timestamp: str
    logs_bloom: str | None = None


class _WireLog(msgspec.Struct, rename="camel"):
    address: str
    topics: list[str]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool = False


def read_header(answer: object) -> Header:
    """Read the block a node answered with.

    Raises:
        BadAnswer: It is no block, or a pending one.
    """
    wire = _convert(answer, _WireHeader)
    return Header(
        _quantity(wire.number),
        _hex(_HASH, wire.hash),
        _hex(_HASH, wire.parent_hash),
        _quantity(wire.timestamp),
        _bloom(wire.logs_bloom),
    )


def read_optional_header(answer: object) -> Header | None:
    """Read a block, or None where the node has none of that number or hash."""
    return None if answer is None else read_header(answer)


def read_logs(answer: object) -> FoundLogs:
    """Read an ``eth_getLogs`` answer; removed logs are left out, repeated ones too, the rest is put in chain order.

    Raises:
        BadAnswer: A log lacks a field, a field is not the hex text it should be, or two logs claim one place.
    """
    found: dict[tuple[int, int, str], FoundLog] = {}
    removed = 0
    for wire in _convert(answer, list[_WireLog]):
        if wire.removed:
            removed += 1
            continue
        log = RawLog(
            address=_hex(_ADDRESS, wire.address),
            topics=tuple(_hex(_HASH, topic) for topic in wire.topics),
            data=_hex(_BYTES, wire.data),
            tx=_hex(_HASH, wire.transaction_hash),
            tx_index=_quantity(wire.transaction_index),
            log_index=_quantity(wire.log_index),
        )
        number, block_hash = _quantity(wire.block_number), _hex(_HASH, wire.block_hash)
        one = FoundLog(number, block_hash, log)
        if found.setdefault((number, log.log_index, block_hash), one) != one:
            msg = f"expected one log at index {log.log_index} of block {number}, found two that differ"
            raise BadAnswer(msg)
    return FoundLogs([found[place] for place in sorted(found)], removed)


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


def _convert(answer: object, shape: type[_T]) -> _T:
    try:
        return msgspec.convert(answer, shape)
    except msgspec.ValidationError as error:
        msg = f"expected a block or logs as Ethereum's JSON-RPC describes them, found {str(answer)[:80]}: {error}"
        raise BadAnswer(msg) from error


def _bloom(text: str | None) -> bytes:
    # A bloom only hints: one that cannot be read is none.
    return bytes.fromhex(text[2:]) if text is not None and _BYTES.fullmatch(text.lower()) else b""


def _quantity(text: str) -> int:
    if _QUANTITY.fullmatch(text) is None:
        msg = f"expected a quantity such as 0x1f, found {text[:80]!r}"
        raise BadAnswer(msg)
    return int(text, 16)


def _hex(shape: re.Pattern[str], text: str) -> str:
    lower = text.lower()
    if shape.fullmatch(lower) is None:
        msg = f"expected hex of the form {shape.pattern}, found {text[:80]!r}"
        raise BadAnswer(msg)
    return lower
