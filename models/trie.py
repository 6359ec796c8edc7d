"""The root of a Merkle-Patricia trie, by which an Ethereum header vouches for what its block holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import rlp
from eth_hash.auto import keccak

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_Structure = bytes | list["_Structure"]
# A node whose encoding is shorter than a hash stands in its parent as it is.
_HASH_BYTES = 32
_LEAF, _EXTENSION = 2, 0


class _Item(NamedTuple):
    nibbles: bytes
    value: bytes


def trie_root(values: Mapping[bytes, bytes]) -> str:
    """Compute the root of the trie that holds ``values``, as ``0x`` hex.

    Args:
        values: By key; no value is empty.
    """
    items = [_Item(_nibbles(key), value) for key, value in sorted(values.items())]
    root: _Structure = _node(items, 0) if items else b""
    return "0x" + keccak(rlp.encode(root)).hex()


def _node(items: Sequence[_Item], at: int) -> _Structure:
    first, last = items[0].nibbles, items[-1].nibbles
    if len(items) == 1:
        return [_path(first[at:], _LEAF), items[0].value]
    # Keys are sorted, so what the first and the last share from here on, all share.
    end = at
    while end < len(first) and first[end] == last[end]:
        end += 1
    if end > at:
        return [_path(first[at:end], _EXTENSION), _reference(_node(items, end))]
    children: list[_Structure] = []
    for nibble in range(16):
        some = [item for item in items if len(item.nibbles) > at and item.nibbles[at] == nibble]
        children.append(_reference(_node(some, at + 1)) if some else b"")
    own = items[0].value if len(first) == at else b""
    return [*children, own]


def _reference(node: _Structure) -> _Structure:
    encoded = rlp.encode(node)
    return node if len(encoded) < _HASH_BYTES else keccak(encoded)


def _path(nibbles: bytes, kind: int) -> bytes:
    is_odd = len(nibbles) % 2
    padded = bytes([kind + is_odd, *([] if is_odd else [0]), *nibbles])
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))
