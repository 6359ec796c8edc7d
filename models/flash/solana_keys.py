"""Public keys of Solana as texts, and the addresses that programmes derive from them."""

from __future__ import annotations

from solders.pubkey import Pubkey

_BASKET_SEED = b"basket"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def key_text(key: bytes) -> str:
    """A public key of 32 bytes as base58."""
    return str(Pubkey(key))


def key_of(text: str) -> bytes | None:
    """A public key out of base58, None where the text is none of exactly 32 bytes."""
    try:
        return bytes(Pubkey.from_string(text))
    except ValueError:
        return None


def basket_address(owner: bytes, programme: bytes) -> bytes:
    """The address of an owner's basket.

    Args:
        owner: The owner's public key, 32 bytes.
        programme: That of the programme whose basket it is, 32 bytes.
    """
    return bytes(Pubkey.find_program_address([_BASKET_SEED, owner], Pubkey(programme))[0])


def base58_text(data: bytes) -> str:
    """Bytes of any length as base58; solders spells public keys alone."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, len(_BASE58))
        text = _BASE58[digit] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    return _BASE58[0] * zeros + text
