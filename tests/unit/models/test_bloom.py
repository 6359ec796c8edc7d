from __future__ import annotations

from models.bloom import bits_of, hints_at

CONTRACT, OTHER = "0x" + "d1" * 20, "0x" + "0e" * 20


def test_a_bloom_hints_at_the_contracts_that_are_in_it() -> None:
    bloom = bits_of(CONTRACT).to_bytes(256)

    assert hints_at(bloom, [OTHER, CONTRACT])
    assert not hints_at(bloom, [OTHER])


def test_blooms_that_say_nothing_hint_at_nothing() -> None:
    for bloom in (b"", b"\x00" * 256, b"\xff" * 256, b"\x01"):
        assert not hints_at(bloom, [CONTRACT])
