"""Roots as Ethereum's own tests of its trie give them, and the empty one that every header without receipts has."""

from __future__ import annotations

import pytest

from models.trie import trie_root


@pytest.mark.parametrize(
    ("values", "root"),
    [
        ({}, "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
        ({"A": "a" * 50}, "0xd23786fb4a010da3ce639d66d5e904a11dbc02746d1ce25029e53290cabf28ab"),
        (
            {"do": "verb", "dog": "puppy", "doge": "coin", "horse": "stallion"},
            "0x5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
        ),
        (
            {"doe": "reindeer", "dog": "puppy", "dogglesworth": "cat"},
            "0x8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3",
        ),
        ({"foo": "bar", "food": "bass"}, "0x17beaa1648bafa633cda809c90c04af50fc8aed3cb40d16efbddee6fdf63c4c3"),
    ],
)
def test_a_root_is_that_of_the_ethereum_tests(values: dict[str, str], root: str) -> None:
    assert root == trie_root({key.encode(): value.encode() for key, value in values.items()})
