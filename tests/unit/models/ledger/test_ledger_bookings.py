"""What a ledger's records open, close and pay: differences of what it says, and nothing that it does not say."""

from __future__ import annotations

from itertools import product
from string import ascii_uppercase
from typing import TYPE_CHECKING

import msgspec

from models.bookings import Booked, Booking, decode_booking_record
from models.engine.booker import Booker
from models.ledger.ledger_venue import LEDGER
from models.money import parse_e18
from models.watermarks import DeploymentWatermark
from tests.support.ledger import NOW_MS, position, record, wallet

if TYPE_CHECKING:
    from models.ledger.ledger_account import LedgerAccount


def booked(*records: bytes) -> list[Booked]:
    """The bookings of records that are folded one after the other."""
    account: LedgerAccount | None = None
    found = []
    for offset, value in enumerate(records):
        own = LEDGER.decode(value, (offset, -1))
        after = LEDGER.fold(account, own, DeploymentWatermark())
        found.append(LEDGER.bookings(account, own, after, LEDGER.events(account, own, after)))
        account = after
    return [one for one in found if one is not None]


def told(found: list[Booked]) -> list[tuple[str, str | None, str | None, str | None]]:
    """Name, side, quantity and what is left of every booking, in whole units."""

    def whole(amount: str | None) -> str | None:
        return None if amount is None else f"{int(amount) / 10**18:g}"

    bookings = [one for record in found for one in record.bookings]
    return [(one.name, one.side, whole(one.quantity), whole(one.left)) for one in bookings]


def test_positions_open_grow_shrink_and_close_by_differences_and_one_that_turns_is_closed_first() -> None:
    amounts = ("1", "3", "2", "-1", "0")
    found = booked(
        *(record("position_set", seq, position=position(one, "100")) for seq, one in enumerate(amounts[:-1], start=1)),
        record("position_closed", 5, position=position("0", "100")),
    )

    assert [
        ("open", "long", "1", "1"),
        ("open", "long", "2", "3"),
        ("close", "long", "1", "2"),
        ("close", "long", "2", "0"),
        ("open", "short", "1", "1"),
        ("close", "short", "1", "0"),
    ] == told(found)
    assert {None} == {one.price for record in found for one in record.bookings}
    assert [(0, -1), (3, -1)] == [found[at].position for at in (0, 3)]
    assert (-1, NOW_MS + 1) == (found[0].block, found[0].time_ms)


def test_a_wallet_pays_the_difference_in_its_currency_and_says_what_for() -> None:
    found = booked(
        record("wallet_set", 1, wallet=wallet("100")),
        record("wallet_set", 2, wallet=msgspec.structs.replace(wallet("99.5"), description="Trading fees")),
        record("wallet_set", 3, wallet=wallet("99.5")),
    )

    assert [True, False] == [one.is_beginning for one in found]
    assert [
        Booking("balance", "test 1", "seq 1", balance=str(parse_e18("100")), currency="USD"),
        Booking("balance", "Trading fees", "seq 2", balance=str(parse_e18("-0.5")), currency="USD"),
    ] == [one for record in found for one in record.bookings]


def test_a_record_that_came_before_the_one_it_follows_is_booked_with_that_once() -> None:
    found = booked(
        record("position_set", 1, position=position("1", "100")),
        record("position_set", 3, position=position("5", "100")),
        record("position_set", 2, position=position("2", "100")),
        record("position_set", 2, position=position("2", "100")),
    )

    assert [("open", "long", "1", "1"), ("open", "long", "1", "2"), ("open", "long", "3", "5")] == told(found)


def test_bookings_of_a_snapshot_that_replaces_thousands_of_wallets_fit_the_records_of_the_broker() -> None:
    names = ["".join(letters) for letters in product(ascii_uppercase, repeat=3)]
    booker, account = Booker(LEDGER), None
    for seq, some in enumerate((names[:2_300], names[5_000:7_300]), start=1):
        value = msgspec.json.encode(
            {
                "kind": "snapshot", "v": 1, "seq": seq, "time_ms": NOW_MS, "cause": "x" * 200, "owner": None,
                "wallets": [{"type": "margin", "currency": name, "balance": "1"} for name in some],
                "positions": [], "orders": [], "offers": [], "credits": [], "loans": [],
            }
        )  # fmt: skip
        own = LEDGER.decode(value, (seq, -1))
        after = LEDGER.fold(account, own, DeploymentWatermark())
        booker.book(b"bfx:1", account, own, after, LEDGER.events(account, own, after))
        account = after
    kept = booker.take()
    found = [decode_booking_record(one.value) for one in kept]
    booked_last = [one for one in found if isinstance(one, Booked) and one.position == (2, -1)]

    assert max(len(one.value) for one in kept) < 1_000_000
    assert [0, 2_300, 4_600] == [
        booked_last[0].first,
        booked_last[len(booked_last) // 2].first,
        booked_last[-1].first + len(booked_last[-1].bookings),
    ]
