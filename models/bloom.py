"""A block's bloom: a hint at which contracts logged in it. It may ask for another look, and never decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_hash.auto import keccak

if TYPE_CHECKING:
    from collections.abc import Iterable

_BITS = 2_048
_HASHED_WORDS = 3
# Where more than half of the bits are set, one address in eight or more is named by accident; some chains set them all.
_BITS_OF_A_HINT = _BITS // 2


def hints_at(bloom: bytes, addresses: Iterable[str]) -> bool:
    """Tell whether a bloom names one of the contracts, and few enough others to be worth a look.

    Args:
        bloom: 256 bytes.
        addresses: The contracts', as ``0x`` hex.
    """
    bits = int.from_bytes(bloom)
    if len(bloom) * 8 != _BITS or bits.bit_count() > _BITS_OF_A_HINT:
        return False
    return any(bits & mask == mask for mask in map(bits_of, addresses))


def bits_of(address: str) -> int:
    """Return the bits that a log of a contract sets in its block's bloom, as one integer of 2,048 bits."""
    digest = keccak(bytes.fromhex(address[2:]))
    mask = 0
    for word in range(_HASHED_WORDS):
        mask |= 1 << (int.from_bytes(digest[2 * word : 2 * word + 2]) % _BITS)
    return mask
