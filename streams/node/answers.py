"""The one reader of nodes' answers: lenient in spelling, strict in meaning.

Nodes, balancers and providers spell the same value in several ways; all of them are read. A value that is null, missing
or of another kind than it must be is a ``BadAnswer``, which means that the next endpoint is asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

from streams.node.rpc import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

_HEX_QUANTITY = re.compile(r"0x[0-9a-f]*")
# As many digits as 256 bits have; Python refuses to read thousands.
_DIGITS = re.compile(r"[0-9]{1,78}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x(?:0{24})?([0-9a-f]{40})")
_BYTES = re.compile(r"0x(?:[0-9a-f]{2})*")
# Floats hold integers exactly up to here; a larger one is not the number that was meant.
_EXACT_IN_FLOAT = 2**53
# Seconds since 1970 until 2242: what is above is no time, or one in ms.
_TIME_BITS = 33
_SHOWN_CHARACTERS = 80


class Receipt(NamedTuple):
    """Where a transaction is, whether it did what it was for, and what it cost its signer.

    ``succeeded`` and ``cost_wei`` are None where the node does not say. ``has_operator_fee`` is whether there was a fee
    for the chain's operator beside ``cost_wei``, of which receipts do not say how high it was.
    """

    hash: str
    block: int
    block_hash: str
    succeeded: bool | None
    gas_used: int
    cost_wei: int | None = None
    has_operator_fee: bool = False


def read_quantity(answer: object, bits: int = 256) -> int:
    """Read a number: hex in any case and with any padding, or a JSON number; ``0x`` is 0.

    Args:
        answer: What the node answered.
        bits: The number is below two to the power of this.

    Raises:
        BadAnswer: It is null, no such number, negative or too large. Digits without ``0x`` could be either base.
    """
    match answer:
        case bool():
            value = None
        case int():
            value = answer
        case float() if answer.is_integer() and answer < _EXACT_IN_FLOAT:
            value = int(answer)
        case str() if _HEX_QUANTITY.fullmatch(answer.lower()):
            value = int(answer[2:] or "0", 16)
        case _:
            value = None
    if value is None or not 0 <= value < 1 << bits:
        reject("a quantity such as 0x1f", answer)
    return value


def read_number(answer: object) -> int:
    """Read a block's number, an index, a time in s or a count: a quantity of at most 64 bits.

    Raises:
        BadAnswer: It is none.
    """
    return read_quantity(answer, 64)


def read_chain_id(answer: object) -> int:
    """Read the id of a chain; some nodes tell it as a decimal text.

    Raises:
        BadAnswer: It is none.
    """
    if isinstance(answer, str) and _DIGITS.fullmatch(answer):
        return int(answer)
    return read_quantity(answer)


def read_hash(answer: object) -> str:
    """Read 32 bytes of hex, in lower case.

    Raises:
        BadAnswer: It is something else.
    """
    return _matched(_HASH, answer, "0x and 64 hex digits")


def read_address(answer: object) -> str:
    """Read an address in lower case, also where it was padded to a word.

    Raises:
        BadAnswer: It is none.
    """
    return "0x" + _matched(_ADDRESS, answer, "0x and 40 hex digits")[-40:]


def read_hex(answer: object) -> str:
    """Read bytes of any number as ``0x`` hex, in lower case.

    Raises:
        BadAnswer: It is something else.
    """
    return _matched(_BYTES, answer, "0x and pairs of hex digits")


def read_bytes(answer: object) -> bytes:
    """Read bytes of any number.

    Raises:
        BadAnswer: It is something else than their hex.
    """
    return bytes.fromhex(read_hex(answer)[2:])


def read_time_s(answer: object) -> int:
    """Read the time of a block, also of a pending one, in s since the Unix epoch.

    Raises:
        BadAnswer: It is no block, or has no time.
    """
    return read_quantity(read_object("a block", answer).get("timestamp"), _TIME_BITS)


def read_block_number(answer: object) -> int:
    """Read the number of a block.

    Raises:
        BadAnswer: It is no block, or a pending one.
    """
    return read_number(read_object("a block", answer).get("number"))


def read_base_fee_wei(answer: object) -> int:
    """Read the base fee of a block, 0 of one of before there were base fees.

    Raises:
        BadAnswer: It is no block.
    """
    fee = read_object("a block", answer).get("baseFeePerGas")
    return 0 if fee is None else read_quantity(fee)


def read_receipt(answer: object, tx: str) -> Receipt | None:
    """Read the receipt of a transaction.

    Args:
        answer: What the node answered.
        tx: Hash of the transaction that was asked for, in lower case.

    Returns:
        The receipt; None where the node has none, or one of a transaction that is in no block yet.

    Raises:
        BadAnswer: It is no receipt, or that of another transaction.
    """
    if answer is None:
        return None
    receipt = read_object("a receipt", answer)
    if receipt.get("blockNumber") is None or receipt.get("blockHash") is None:
        return None
    told = receipt.get("transactionHash")
    if told is not None and read_hash(told) != tx:
        msg = f"expected the receipt of {tx}, found that of {told}"
        raise BadAnswer(msg)
    status = receipt.get("status")
    return Receipt(
        tx,
        read_number(receipt["blockNumber"]),
        read_hash(receipt["blockHash"]),
        None if status is None else _succeeded(status),
        read_quantity(receipt.get("gasUsed")),
        _cost_wei(receipt),
        # By which rule the fee is made of these two differs from one upgrade of the chain to the next.
        any(read_quantity(receipt.get(name) or 0) for name in ("operatorFeeScalar", "operatorFeeConstant")),
    )


def _cost_wei(receipt: dict[str, Any]) -> int | None:
    price, layer_one = receipt.get("effectiveGasPrice"), receipt.get("l1Fee")
    if price is None:
        return None
    # Chains of the OP stack take a fee for the data beside the one for gas, and name it only here.
    return read_quantity(receipt.get("gasUsed")) * read_quantity(price) + (
        0 if layer_one is None else read_quantity(layer_one)
    )


def read_code(answer: object) -> bool:
    """Tell whether there is a contract, by its code.

    Raises:
        BadAnswer: It is null, or no code.
    """
    # Some nodes spell no code as the number 0.
    return answer != "0x0" and len(read_hex(answer)) > len("0x")


def each(read: Callable[[object], _T]) -> Callable[[list[Any]], list[_T]]:
    """Make what reads the results of several calls out of what reads one."""
    return lambda results: [read(result) for result in results]


def _succeeded(status: object) -> bool:
    if isinstance(status, bool):
        return status
    value = read_quantity(status)
    if value not in (0, 1):
        reject("a status of 0 or 1", status)
    return value == 1


def read_object(what: str, answer: object) -> dict[str, Any]:
    """Read an object; ``what`` names it in the error.

    Raises:
        BadAnswer: It is null, or something else.
    """
    if not isinstance(answer, dict):
        reject(what, answer)
    return answer


def _matched(shape: re.Pattern[str], answer: object, what: str) -> str:
    if not isinstance(answer, str) or shape.fullmatch(answer.lower()) is None:
        reject(what, answer)
    return answer.lower()


def reject(what: str, answer: object) -> NoReturn:
    """Refuse an answer that is not ``what`` it should be.

    Raises:
        BadAnswer: Always; it says what was expected, and the beginning of what was found.
    """
    msg = f"expected {what}, found {str(answer)[:_SHOWN_CHARACTERS]!r}"
    raise BadAnswer(msg)
