"""The receipts of a block as its header vouches for them: their encoding, and the root that it comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import rlp

from models.trie import trie_root

if TYPE_CHECKING:
    from collections.abc import Sequence


class ReceiptLog(NamedTuple):
    """A log as a receipt has it: the contract's address, the topics and the data, as bytes."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Receipt(NamedTuple):
    """A transaction's receipt, as far as the header vouches for it.

    ``kind`` is the transaction's type, 0 for those of before types. ``outcome`` is the status as an integer without
    leading zeros, or the state root of receipts of before Byzantium. ``gas`` is what the block has used up to here, in
    gas. ``more`` are integers that a chain appends, such as the nonce and version of Optimism's deposits.
    """

    kind: int
    outcome: bytes
    gas: int
    bloom: bytes
    logs: tuple[ReceiptLog, ...]
    more: tuple[int, ...] = ()


def receipts_root(receipts: Sequence[Receipt]) -> str:
    """Compute the root of a block's receipts, in the order of their transactions, as ``0x`` hex."""
    return trie_root({rlp.encode(index): _encoded(receipt) for index, receipt in enumerate(receipts)})


def _encoded(receipt: Receipt) -> bytes:
    logs = [[log.address, list(log.topics), log.data] for log in receipt.logs]
    payload: bytes = rlp.encode([receipt.outcome, receipt.gas, receipt.bloom, logs, *receipt.more])
    return bytes([receipt.kind]) + payload if receipt.kind else payload
