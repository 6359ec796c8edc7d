"""Bookings of the recorded chains: they add up to what the contract itself said, at every block it was asked at."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from eth_abi.abi import decode
from eth_hash.auto import keccak

from models.booking_requests import FIRST_PLACE
from models.bookings import CLOSE, LIQUIDATION, REALISED, SETTLEMENT, Booked
from streams.history.booking_reader import closed_position
from streams.history.booking_store import BookingStore
from tests.support.recording import (
    GOLDEN_LOGS,
    GOLDEN_STATES,
    SECOND_LOGS,
    SECOND_STATES,
    read_json,
    recorded_blocks,
)
from tests.support.symmio import Chain, Partition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from models.bookings import Booking

_RECORDINGS = [(GOLDEN_LOGS, GOLDEN_STATES), (SECOND_LOGS, SECOND_STATES)]
_BALANCE_CHANGE = f"0x{keccak(b'BalanceChangePartyA(address,uint256,uint8)').hex()}"
_REALISED_IN, _REALISED_OUT = 4, 5
_ALLOCATED, _STATUS, _CLOSED, _AVERAGE = 0, 0, 2, 8


def _folded(logs: Path) -> Partition:
    recording = read_json(logs)
    chain, partition = Chain(diamond=recording["diamond"]), Partition()
    for block in recorded_blocks(recording):
        chain.add(block)
    return partition.apply(chain.records)


def _bookings(partition: Partition) -> Iterator[tuple[str, Booked, Booking]]:
    for key, record in partition.booked:
        if isinstance(record, Booked):
            for one in record.bookings:
                yield key.decode().partition(":")[2], record, one


@pytest.mark.parametrize(("logs", "states"), _RECORDINGS)
def test_balances_in_bookings_add_up_to_what_the_contract_has_allocated_at_every_snapshot(
    logs: Path, states: Path
) -> None:
    bookings = list(_bookings(_folded(logs)))
    allocated: defaultdict[str, int] = defaultdict(int)
    found, compared = [], 0
    for snapshot in read_json(states)["snaps"]:
        while bookings and bookings[0][1].block <= snapshot["block"]:
            account, _, one = bookings.pop(0)
            allocated[account] += int(one.balance or 0)
        for account, balances in snapshot["A"].items():
            compared += 1
            if allocated[account] != balances[_ALLOCATED]:
                found.append((snapshot["block"], account, balances[_ALLOCATED], allocated[account]))

    assert compared > 200
    assert [] == found


def test_realised_of_positions_is_what_the_chain_paid_for_them() -> None:
    paid: defaultdict[str, int] = defaultdict(int)
    recording = read_json(GOLDEN_LOGS)
    for block in recorded_blocks(recording):
        for log in block.logs:
            if log.topics[0] == _BALANCE_CHANGE and log.address == recording["diamond"].lower():
                amount, change = decode(["uint256", "uint8"], bytes.fromhex(log.data[2:]))
                if change in {_REALISED_IN, _REALISED_OUT}:
                    account = f"0x{log.topics[1][-40:]}"
                    paid[account] += amount if change == _REALISED_IN else -amount
    by_positions: defaultdict[str, int] = defaultdict(int)
    by_balances: defaultdict[str, int] = defaultdict(int)
    liquidated = set()
    for account, _, one in _bookings(_folded(GOLDEN_LOGS)):
        if one.name in {CLOSE, SETTLEMENT}:
            by_positions[account] += int(one.realised or 0)
        if one.name == REALISED:
            by_balances[account] += int(one.balance or 0)
        if one.name == LIQUIDATION:
            liquidated.add(account)
    # What is left of a party that is liquidated is paid as realised, whatever the positions gained.
    others = paid.keys() - liquidated

    assert sum(1 for account in others if paid[account]) >= 1
    assert {account: paid[account] for account in others} == {account: by_positions[account] for account in others}
    assert {account: paid[account] for account in others} == {account: by_balances[account] for account in others}


def test_accounts_of_a_whole_chain_begin_with_nothing_and_what_closes_a_position_begins_none() -> None:
    booked: defaultdict[bytes, list[Booked]] = defaultdict(list)
    for key, record in _folded(GOLDEN_LOGS).booked:
        if isinstance(record, Booked):
            booked[key].append(record)
    closing = [one for records in booked.values() for one in records if CLOSE in {line.name for line in one.bookings}]

    assert all(records[0].is_beginning for records in booked.values())
    assert len(closing) > 20
    assert not any(one.is_beginning for one in closing)


def test_closed_positions_are_those_that_the_contract_closed_and_their_parts_add_up(tmp_path: Path) -> None:
    partition, store = _folded(GOLDEN_LOGS), BookingStore(tmp_path / "bookings.sqlite", 1)
    by_quote: defaultdict[int, list[str | None]] = defaultdict(list)
    with store.transaction():
        for key, record in partition.booked:
            if isinstance(record, Booked):
                store.book(key.decode(), record)
    for _, _, one in _bookings(partition):
        if one.name in {CLOSE, SETTLEMENT, LIQUIDATION} and isinstance(one.quote, int):
            by_quote[one.quote].append(one.realised)
    closed = {}
    for series in {key.decode() for key, record in partition.booked if isinstance(record, Booked)}:
        for end in store.ends(series, (0, 2**62), FIRST_PLACE, 10_000):
            quote = end.booking.quote
            assert isinstance(quote, int)
            closed[quote] = closed_position(store, series, end)
        assert store.cut_ms(series) is None
    store.close()
    snapshots = read_json(GOLDEN_STATES)["snaps"]
    last = {int(quote): fields for snapshot in snapshots for quote, fields in snapshot["Q"].items()}
    ended = {quote: fields for quote, fields in last.items() if fields[_STATUS] in {7, 8} and fields[_CLOSED]}
    # Of positions that ended with the liquidation of their party B no log has the price.
    priced = {quote for quote in ended if None not in by_quote[quote]}

    assert len(priced) > 20
    assert {quote: str(fields[_CLOSED]) for quote, fields in ended.items()} == {q: closed[q].quantity for q in ended}
    assert {quote for quote in ended if closed[quote].realised is not None} == priced
    for quote in priced:
        assert closed[quote].realised == str(sum(int(one or 0) for one in by_quote[quote]))
        # The contract cuts its average anew with each part that is closed.
        rest = int(closed[quote].closed_price or 0) - ended[quote][_AVERAGE]
        assert 0 <= rest <= len(by_quote[quote])
