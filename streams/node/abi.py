"""Decoding of contracts' answers, in which users chose the texts: what is no UTF-8 there is replaced, as in logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eth_abi.codec import ABIDecoder
from eth_abi.decoding import StringDecoder
from eth_abi.registry import registry

if TYPE_CHECKING:
    from collections.abc import Sequence


class _ReplacingStringDecoder(StringDecoder):
    def __init__(self) -> None:
        super().__init__(handle_string_errors="replace")  # type: ignore[no-untyped-call]


def _decoder() -> ABIDecoder:
    lenient = registry.copy()  # type: ignore[no-untyped-call]
    lenient.unregister_decoder("string")
    lenient.register_decoder("string", _ReplacingStringDecoder, label="string")
    return ABIDecoder(lenient)


_DECODER = _decoder()


def decode_answer(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Decode values of ABI ``types``; a text is decoded whatever bytes its user chose.

    Raises:
        DecodingError, OverflowError: The data are not of these types.
    """
    values: tuple[Any, ...] = _DECODER.decode(types, data)
    return values
