"""Right answers in other spellings, and wrong ones: what each of them means (kind E)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streams.node.answers import (
    Receipt,
    read_address,
    read_base_fee_wei,
    read_bytes,
    read_chain_id,
    read_code,
    read_hash,
    read_number,
    read_quantity,
    read_receipt,
    read_time_s,
)
from streams.node.blocks import read_header, read_logs, read_optional_header
from streams.node.rpc import BadAnswer
from tests.support.chain import Chain

if TYPE_CHECKING:
    from collections.abc import Callable

TX, BLOCK = "0x" + "ab" * 32, "0x" + "0c" * 32
ADDRESS = "0x" + "0a" * 20
RECEIPT: dict[str, Any] = {
    "transactionHash": TX, "blockNumber": "0x10", "blockHash": BLOCK, "status": "0x1", "gasUsed": "0x5208",
}  # fmt: skip


@pytest.mark.parametrize(
    ("read", "answer", "value"),
    [
        (read_quantity, "0x1f", 31),
        (read_quantity, "0X1F", 31),
        (read_quantity, "0x00001f", 31),
        (read_quantity, "0x0", 0),
        (read_quantity, "0x", 0),
        (read_quantity, 31, 31),
        (read_quantity, 31.0, 31),
        (read_number, "0x" + "0" * 60 + "1f", 31),
        (read_chain_id, "0x7A69", 31_337),
        (read_chain_id, "0x007a69", 31_337),
        (read_chain_id, 31_337, 31_337),
        (read_chain_id, "31337", 31_337),
        (read_hash, TX.upper(), TX),
        (read_address, "0x" + "0A" * 20, ADDRESS),
        (read_address, "0x" + "00" * 12 + "0a" * 20, ADDRESS),
        (read_bytes, "0xAB", b"\xab"),
        (read_bytes, "0x", b""),
        (read_code, "0x60", True),
        (read_code, "0x", False),
        (read_code, "0x0", False),
        (read_time_s, {"timestamp": "0x65", "number": None, "hash": None}, 101),
        (read_base_fee_wei, {"baseFeePerGas": None}, 0),
        (read_base_fee_wei, {}, 0),
        (read_base_fee_wei, {"baseFeePerGas": "0x064"}, 100),
    ],
)
def test_the_same_value_in_another_spelling_is_the_same(
    read: Callable[[object], object], answer: object, value: object
) -> None:
    assert value == read(answer)


@pytest.mark.parametrize(
    ("read", "answer"),
    [
        (read_quantity, None),
        (read_quantity, ""),
        (read_quantity, "31"),
        (read_quantity, "1f"),
        (read_quantity, "0xfg"),
        (read_quantity, -1),
        (read_quantity, 1.5),
        (read_quantity, True),
        (read_quantity, {}),
        (read_quantity, "0x1" + "0" * 64),
        (read_number, "0x1" + "0" * 16),
        (read_chain_id, None),
        (read_hash, "0x12"),
        (read_hash, None),
        (read_address, "0x"),
        (read_address, "0x" + "01" + "00" * 11 + "0a" * 20),
        (read_bytes, None),
        (read_bytes, "0x1"),
        (read_bytes, "12"),
        (read_code, None),
        (read_time_s, None),
        (read_time_s, {"timestamp": None}),
        (read_time_s, {"timestamp": hex(2**33)}),
        (read_base_fee_wei, None),
        (read_header, None),
        (read_header, []),
        (read_logs, None),
        (read_logs, {}),
        (read_logs, [None]),
    ],
)
def test_what_is_null_missing_or_of_another_kind_is_a_bad_answer(
    read: Callable[[object], object], answer: object
) -> None:
    with pytest.raises(BadAnswer, match=r"expected .*, found"):
        read(answer)


@pytest.mark.parametrize(
    ("fields", "receipt"),
    [
        ({}, Receipt(TX, 16, BLOCK, succeeded=True, gas_used=21_000)),
        ({"status": "0x0"}, Receipt(TX, 16, BLOCK, succeeded=False, gas_used=21_000)),
        ({"status": "0x01"}, Receipt(TX, 16, BLOCK, succeeded=True, gas_used=21_000)),
        ({"status": 1}, Receipt(TX, 16, BLOCK, succeeded=True, gas_used=21_000)),
        ({"status": True}, Receipt(TX, 16, BLOCK, succeeded=True, gas_used=21_000)),
        ({"status": None}, Receipt(TX, 16, BLOCK, succeeded=None, gas_used=21_000)),
        ({"transactionHash": TX.upper()}, Receipt(TX, 16, BLOCK, succeeded=True, gas_used=21_000)),
        ({"transactionHash": None}, Receipt(TX, 16, BLOCK, succeeded=True, gas_used=21_000)),
        ({"blockNumber": 16}, Receipt(TX, 16, BLOCK, succeeded=True, gas_used=21_000)),
        ({"blockNumber": None}, None),
        ({"blockHash": None}, None),
        ({"blockNumber": None, "blockHash": None, "status": None}, None),
    ],
)
def test_a_receipt_says_what_it_says_and_no_more(fields: dict[str, object], receipt: Receipt | None) -> None:
    assert receipt == read_receipt(RECEIPT | fields, TX)


def test_a_receipt_says_what_the_transaction_cost_with_the_fee_for_data() -> None:
    told = read_receipt(RECEIPT | {"effectiveGasPrice": "0x64"}, TX)
    assert told is not None
    assert 2_100_000 == told.cost_wei
    told = read_receipt(RECEIPT | {"effectiveGasPrice": "0x64", "l1Fee": "0x7"}, TX)
    assert told is not None
    assert (2_100_007, False) == (told.cost_wei, told.has_operator_fee)


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({}, False),
        ({"operatorFeeScalar": None, "operatorFeeConstant": "0x0"}, False),
        ({"operatorFeeScalar": "0x64", "operatorFeeConstant": "0x0"}, True),
        ({"operatorFeeConstant": "0x1"}, True),
    ],
)
def test_a_receipt_says_whether_there_was_a_fee_for_the_operator(fields: dict[str, object], *, is_told: bool) -> None:
    told = read_receipt(RECEIPT | fields, TX)
    assert told is not None
    assert is_told is told.has_operator_fee


def test_a_receipt_without_the_field_status_is_of_unknown_success() -> None:
    fields = {name: value for name, value in RECEIPT.items() if name != "status"}

    assert read_receipt(fields, TX) == Receipt(TX, 16, BLOCK, succeeded=None, gas_used=21_000)
    assert read_receipt(None, TX) is None


@pytest.mark.parametrize("fields", [{"status": "0x2"}, {"transactionHash": BLOCK}, {"gasUsed": None}, {"status": ""}])
def test_a_receipt_that_cannot_be_is_a_bad_answer(fields: dict[str, object]) -> None:
    with pytest.raises(BadAnswer):
        read_receipt(RECEIPT | fields, TX)


@pytest.mark.parametrize(
    "fields",
    [
        {"removed": None},
        {"removed": "false"},
        {"logIndex": "0x000"},
        {"logIndex": 0},
        {"blockNumber": "0x00"},
        {"transactionIndex": "0x"},
    ],
)
def test_a_log_in_another_spelling_is_the_same_log(fields: dict[str, object]) -> None:
    chain = Chain()
    chain.mine(1)
    (log,) = chain.blocks[0].logs

    assert read_logs([log]) == read_logs([log | fields])
    assert read_logs([log]) == read_logs([log | {"blockHash": log["blockHash"].upper().replace("X", "x")}])


@pytest.mark.parametrize(
    "fields",
    [{"blockNumber": None}, {"blockHash": None}, {"transactionHash": None}, {"topics": None}, {"removed": "perhaps"}],
)
def test_a_log_that_is_in_no_block_is_a_bad_answer(fields: dict[str, object]) -> None:
    chain = Chain()
    chain.mine(1)
    (log,) = chain.blocks[0].logs

    with pytest.raises(BadAnswer):
        read_logs([log | fields])


def test_two_logs_in_one_place_are_a_bad_answer() -> None:
    chain = Chain()
    chain.mine(1, 2)
    first, second = chain.blocks[0].logs

    with pytest.raises(BadAnswer, match="two that differ"):
        read_logs([first, second | {"logIndex": first["logIndex"]}])


def test_a_header_in_another_spelling_is_the_same_header() -> None:
    chain = Chain()
    chain.mine(1)
    header = chain.blocks[0].header()
    spelled = header | {"number": 0, "hash": header["hash"].upper(), "timestamp": "0x0" + header["timestamp"][2:]}

    assert read_header(header) == read_header(spelled)
    assert read_optional_header(None) is None


def test_a_block_of_a_time_that_no_clock_will_say_for_centuries_is_no_header() -> None:
    # Of 64 bits, in ms it is no number that a store of bookings can hold.
    chain = Chain()
    chain.mine(1)

    with pytest.raises(BadAnswer):
        read_header(chain.blocks[0].header() | {"timestamp": "0x" + "f" * 16})


@pytest.mark.parametrize("name", ["number", "hash", "parentHash", "timestamp"])
def test_a_pending_block_is_no_header(name: str) -> None:
    chain = Chain()
    chain.mine(1)

    with pytest.raises(BadAnswer):
        read_header(chain.blocks[0].header() | {name: None})
