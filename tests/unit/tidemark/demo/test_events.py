from __future__ import annotations

import pytest
from eth_abi.abi import decode

from tidemark.demo import events

_ADDRESS = "0x" + "ab" * 20


@pytest.mark.parametrize(
    ("event", "topic0"),
    [
        (events.SEND_QUOTE, "0x8a17f103c77224ce4d9bab74dad3bd002cd24cf88d2e191e86d18272c8f135dd"),
        (events.OPEN_POSITION, "0xa50f98254710514f60327a4e909cd0be099a62f316299907ef997f3dc4d1cda5"),
        (events.BALANCE_CHANGE_PARTY_A, "0x12f926682e9716435703a506b436993346a19a8d2f4378b264fee4c5a87f34a2"),
        (events.FILL_CLOSE_REQUEST, "0xfa7483d69b899cf16df47cc736ab853f88135f704980d7d358a9746aead7a321"),
        (events.FILL_CLOSE_REQUEST.legacy, "0xcfb87430bccfbe2bfb59a3cd29b1e9824928449566da1bdcb700c723135d9069"),
        (events.FULLY_LIQUIDATED_PARTY_A, "0x0a89d65a7c7592cc15c929b125f79869f7a619294a0e5b95e12e16f53172d4ac"),
        (events.FULLY_LIQUIDATED_PARTY_A.legacy, "0x6a4ef102cfba4a17a36d8734f7684b52fc844118a79fb1e2f5953d781c6436eb"),
        (events.ADD_ACCOUNT, "0x1deb86e124d1a5f3b49977292b48e989b984bcd8944cfb14d63c8880482f2cff"),
    ],
)
def test_topic0_is_the_contracts(event: events.Event | None, topic0: str) -> None:
    assert event is not None
    assert topic0 == event.topic0


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        (events.DEPOSIT, (_ADDRESS, _ADDRESS, 2**256 - 1)),
        (events.ADD_ACCOUNT, (_ADDRESS, _ADDRESS, "Scalps é")),
        (events.CALL, (_ADDRESS, _ADDRESS, b"\x01" * 36, True, b"")),
        (events.CHARGE_FUNDING_RATE, (_ADDRESS, _ADDRESS, (7, 8), (-5, 2**200))),
        (events.SETTLE_PARTY_A_LIQUIDATION, (_ADDRESS, (_ADDRESS,), (-1,), b"x" * 33)),
        (events.LIQUIDATE_PENDING_POSITIONS_PARTY_A, (_ADDRESS, _ADDRESS, (), (), b"")),
    ],
)
def test_data_decodes_to_the_arguments(event: events.Event, arguments: tuple[events.Argument, ...]) -> None:
    log = events.Log(_ADDRESS, event, arguments)

    assert arguments == decode(event.types, bytes.fromhex(log.data()[2:]))


def test_indexed_parameters_are_topics_and_not_data() -> None:
    log = events.Log(_ADDRESS, events.BALANCE_CHANGE_PARTY_B, (_ADDRESS, "0x" + "cd" * 20, 5, 4))

    assert ["0x" + "00" * 12 + "ab" * 20, "0x" + "00" * 12 + "cd" * 20] == log.topics()[1:]
    assert (5, 4) == decode(["uint256", "uint8"], bytes.fromhex(log.data()[2:]))
