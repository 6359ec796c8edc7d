"""Made-up bookings of an account."""

from __future__ import annotations

from models.bookings import CLOSE, FEE, FUNDING, OPEN, REALISED, Booked, Booking
from models.money import E18


def e18(amount: int) -> str:
    return str(amount * E18)


def fee(amount: int = -1, *, at_ms: int, block: int, part: int = 0) -> Booked:
    """A fee, in whole units of money, which nothing has to come before."""
    one = Booking(FEE, "PLATFORM_FEE_OUT", "0x01/0", balance=e18(amount))
    return Booked((block, part), block, at_ms, (one,), is_beginning=True)


def opened(quote: int = 7, *, at_ms: int, block: int) -> Booked:
    """10 long of market 1 from 100, which nothing has to come before."""
    amounts = {"quantity": e18(10), "left": e18(10), "price": e18(100), "opened_price_after": e18(100)}
    one = Booking(OPEN, "OpenPosition", "0x02/1", quote, 1, "long", **amounts)
    return Booked((block, 0), block, at_ms, (one,), is_beginning=True)


def charged(quote: int = 7, *, at_ms: int, block: int) -> Booked:
    """1 % of the opened price is paid."""
    one = Booking(
        FUNDING, "ChargeFundingRate", "0x03/0", quote, 1, "long", quantity=e18(10), left=e18(10),
        opened_price=e18(100), opened_price_after=e18(101), rate=str(E18 // 100), funding=e18(-10),
    )  # fmt: skip
    return Booked((block, 0), block, at_ms, (one,))


def closed(quote: int = 7, *, at_ms: int, block: int, amount: int = 10, left: int = 0, price: int = 111) -> Booked:
    """So much is closed at a price, of what counts as opened at 101, and what that gained is paid."""
    gained = e18(amount * (price - 101))
    one = Booking(
        CLOSE, "fill close", "0x04/3", quote, 1, "long", quantity=e18(amount), left=e18(left), price=e18(price),
        opened_price=e18(101), realised=gained,
    )  # fmt: skip
    return Booked((block, 0), block, at_ms, (Booking(REALISED, "REALIZED_PNL_IN", "0x04/2", balance=gained), one))
