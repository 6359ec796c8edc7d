"""Closed positions as users see them."""

from __future__ import annotations

from models.booking_requests import ClosedPosition
from models.booking_views import closed_position_view
from models.ledger.ledger_bookings import LEDGER_BOOKING_NAMES
from models.symmio.symmio_bookings import SYMMIO_BOOKING_NAMES


def test_of_funding_says_nothing_whose_venue_tells_of_none() -> None:
    closed = ClosedPosition((1, -1, 0), "tBTCF0:USTF0", "close", 1_000, funding="0")

    assert "funding" not in closed_position_view(closed, LEDGER_BOOKING_NAMES)
    assert "0" == closed_position_view(closed, SYMMIO_BOOKING_NAMES)["funding"]
