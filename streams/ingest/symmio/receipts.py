"""The receipts of a block, held against the root in its header: what its logs are for sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.chain_records import RawLog
from models.errors import TidemarkError
from models.receipts import Receipt, ReceiptLog, receipts_root
from streams.node.answers import read_bytes, read_hash, read_number
from streams.node.blocks import FoundLog, read_header
from streams.node.rpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.ingest.symmio.told_logs import ToldLogs
    from streams.node.endpoints import Node
    from streams.node.rpc import Call

# Each endpoint may be asked twice, since an answer may be lost on the way.
_TRIES = 4
_OPTIMISM_DEPOSIT = 0x7E


class Undecided(TidemarkError):
    """A block's receipts do not say what its logs are: no endpoint gives them, or they do not come to the root."""


class _Told(NamedTuple):
    header: Any
    receipts: Any


async def proven_logs(node: Node, number: int, is_wanted: Callable[[RawLog], bool]) -> ToldLogs:
    """Read a block's logs out of receipts that its header vouches for.

    Args:
        node: Where the chain is read.
        number: Number of the block; it is no longer going to leave the chain.
        is_wanted: Which of its logs are kept.

    Raises:
        Undecided: No endpoint gives receipts that come to the root in the header; the message says why.
    """
    reason = "no endpoint was asked"
    asked: set[str] = set()
    for _ in range(_TRIES):
        try:
            told, label = await _told(node, number, asked)
        except RpcError as error:
            reason = str(error)
            if not asked:
                break
            asked.clear()
            continue
        asked.add(label)
        try:
            return _logs(told, is_wanted)
        except (_BadReceipts, RpcError) as error:
            reason = str(error)
    msg = f"expected the receipts of block {number} to come to the root in its header: {reason}"
    raise Undecided(msg)


class _BadReceipts(TidemarkError):
    """Receipts that cannot be read, or do not come to the root."""


async def _told(node: Node, number: int, asked: set[str]) -> tuple[_Told, str]:
    header: Call = ("eth_getBlockByNumber", [hex(number), False])
    try:
        both = [header, ("eth_getBlockReceipts", [hex(number)])]
        told, label = await node.ask_elsewhere(both, lambda results: _Told(*results), than=asked)
        if told.receipts is not None:
            return told, label
        block = told.header
    except RpcError:
        block, label = await node.ask_elsewhere([header], lambda results: results[0], than=asked)
    # Older nodes tell receipts one by one.
    hashes = block.get("transactions") if isinstance(block, dict) else None
    calls: list[Call] = [("eth_getTransactionReceipt", [tx]) for tx in hashes or () if isinstance(tx, str)]
    return _Told(block, await node.ask(calls, list) if calls else None), label


def _logs(told: _Told, is_wanted: Callable[[RawLog], bool]) -> ToldLogs:
    header = read_header(told.header)
    if not isinstance(told.receipts, list) or not all(isinstance(one, dict) for one in told.receipts):
        msg = f"expected a list of receipts, found {str(told.receipts)[:80]}"
        raise _BadReceipts(msg)
    try:
        answers = sorted(told.receipts, key=lambda one: read_number(one["transactionIndex"]))
        receipts = [_receipt(one) for one in answers]
        hashes = [read_hash(one["transactionHash"]) for one in answers]
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"expected receipts as Ethereum's JSON-RPC describes them, found {type(error).__name__}: {error}"
        raise _BadReceipts(msg) from error
    _check_root(receipts, told.header.get("receiptsRoot"))
    found, log_index = set(), 0
    for tx_index, (tx, receipt) in enumerate(zip(hashes, receipts, strict=True)):
        for log in receipt.logs:
            raw = RawLog(_hex(log.address), tuple(map(_hex, log.topics)), _hex(log.data), tx, tx_index, log_index)
            log_index += 1
            if is_wanted(raw):
                found.add(FoundLog(header.number, header.hash, raw))
    return frozenset(found)


def _check_root(receipts: Sequence[Receipt], expected: object) -> None:
    # Before Optimism's Canyon the root left out what deposits append.
    plain = [receipt._replace(more=()) for receipt in receipts]
    roots = {receipts_root(receipts), receipts_root(plain)}
    if read_hash(expected) not in roots:
        found = " or ".join(sorted(roots))
        msg = f"expected the root {expected}, found {found}; this chain may encode receipts otherwise"
        raise _BadReceipts(msg)


def _receipt(answer: dict[str, Any]) -> Receipt:
    kind = read_number(answer.get("type") or 0)
    more = [answer.get("depositNonce"), answer.get("depositReceiptVersion")] if kind == _OPTIMISM_DEPOSIT else []
    return Receipt(
        kind=kind,
        outcome=read_bytes(answer["root"])
        if answer.get("status") is None
        else _shortest(read_number(answer["status"])),
        gas=read_number(answer["cumulativeGasUsed"]),
        bloom=read_bytes(answer["logsBloom"]),
        logs=tuple(
            ReceiptLog(read_bytes(log["address"]), tuple(map(read_bytes, log["topics"])), read_bytes(log["data"]))
            for log in answer["logs"]
        ),
        more=tuple(read_number(value) for value in more if value is not None),
    )


def _shortest(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
