"""Questions of several calls that the executor asks a node, each with what reads the answers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streams.node.answers import Receipt, read_base_fee_wei, read_quantity, read_receipt, read_time_s
from streams.node.rpc import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.node.rpc import Call


LATEST: Call = ("eth_getBlockByNumber", ["latest", False])
PENDING: Call = ("eth_getBlockByNumber", ["pending", False])


def _read_fees(results: list[Any]) -> tuple[int, int]:
    base_wei, price_wei = read_base_fee_wei(results[0]), read_quantity(results[1])
    return base_wei, max(0, price_wei - base_wei)


# The base fee of the newest block, and the tip that is suggested beyond it, in wei of gas.
FEES: tuple[list[Call], Callable[[list[Any]], tuple[int, int]]] = (
    [LATEST, ("eth_gasPrice", [])],
    _read_fees,
)


def read_next_s(latest_s: int, pending: object) -> int:
    """Read the time that the next block would have; that of the newest one where an endpoint does not tell it.

    Args:
        latest_s: The time of the newest block, Unix s.
        pending: What the endpoint says of the next one.
    """
    if pending is not None:
        with suppress(BadAnswer):
            # One that is older than the newest block is a stale one.
            return max(latest_s, read_time_s(pending))
    return latest_s


def receipts_of(hashes: Sequence[str]) -> tuple[list[Call], Callable[[list[Any]], dict[str, Receipt]]]:
    """Make the question for the receipts of transactions; those that are in no block are left out of the answer."""

    def read(results: list[Any]) -> dict[str, Receipt]:
        receipts = {one: read_receipt(result, one) for one, result in zip(hashes, results, strict=True)}
        return {one: receipt for one, receipt in receipts.items() if receipt is not None}

    return [("eth_getTransactionReceipt", [one]) for one in hashes], read
