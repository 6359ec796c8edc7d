"""What the Diamond is told and what it answers."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from models.symmio.funding_plan import Charge
from streams.funder.diamond_calls import PairSignature, charge_data, read_numbers, revert_reason

SIGNATURE = PairSignature(b"\x01", 5, -6, 7, b"\x02", 8, "0x" + "11" * 20, "0x" + "22" * 20)


def test_the_call_is_the_one_that_the_contract_declares() -> None:
    data = charge_data("0x" + "0a" * 20, [Charge(1, -2, -3), Charge(4, 5, 5)], SIGNATURE)
    declared = "(address,uint256[],int256[],(bytes,uint256,int256,int256,bytes,(uint256,address,address)))"
    assert keccak(b"chargeFundingRate" + declared.encode())[:4] == data[:4]
    assert (
        encode(
            ["address", "uint256[]", "int256[]", "(bytes,uint256,int256,int256,bytes,(uint256,address,address))"],
            ["0x" + "0a" * 20, [1, 4], [-2, 5], SIGNATURE.cells],
        )
        == data[4:]
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (keccak(b"Error(string)")[:4] + encode(["string"], ["not open"]), "not open"),
        (keccak(b"Panic(uint256)")[:4] + encode(["uint256"], [0x11]), "panic 0x11"),
        (keccak(b"Error(string)")[:4] + b"\xff", "0x08c379a0ff"),
        (b"\x01\x02\x03\x04", "0x01020304"),
        (b"", "no reason"),
    ],
)
def test_a_revert_says_why(data: bytes, reason: str) -> None:
    assert reason == revert_reason(data)


def test_a_short_answer_is_none() -> None:
    with pytest.raises(ValueError, match="expected 2 words, found 32 bytes"):
        read_numbers(b"\x00" * 32, 2)
