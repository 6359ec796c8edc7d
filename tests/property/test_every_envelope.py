"""For every venue: an account that marks have made liquidatable is due, though only its line in floats was looked at.

The line is the venue's (``exposure``), the look the book's, and what is exactly left the venue's again (``value``).
Where a balance can be chosen, it is chosen so that a few of the last units decide.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tidemark_desk import PACKAGE as DESK
from tidemark_options import PACKAGE as INVERSE
from tidemark_paper import PACKAGE as PAPER

from models.account_events import Transaction
from models.book import ExposureBook
from models.book_figures import MOVE_MAX
from models.flash.flash_account import NEW, take
from models.flash.flash_venue import FLASH
from models.ledger.ledger_account import LedgerAccount
from models.ledger.ledger_venue import LEDGER
from models.money import E18, format_e18
from models.plain_venue import Own
from models.prices import UsedMark
from models.symmio.account import advance
from models.symmio.venue import SYMMIO
from models.watermarks import DeploymentWatermark
from streams.settings.venues import KINDS
from tests.support import flash, ledger
from tests.support.flash import BTC_LONG, NOW_S, SOL_LONG, SOL_SHORT, basket, said
from tests.support.symmio import ALICE, HEDGER, SECOND_HEDGER, allocate, allocate_b, fee_out, log, send_quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.chain_records import RawLog
    from models.venue import Inputs, Venue

KEY = b"main:account"
# Wider than any move: an account is due for what may be lost alone, and not because its uPnL is another.
DEADBAND = 1e12
CHECKED = {"symmio", "ledger", "flash"}

_bounded = settings(max_examples=60, deadline=None)
_MICRO = 10**12
# Prices, sizes and moves from very small to very large.
_prices = st.integers(1, 10**10).map(lambda micros: micros * _MICRO)
_sizes = st.integers(-(10**10), 10**10).filter(bool).map(lambda micros: micros * _MICRO)
_few = st.integers(-3, 3)
_near = st.one_of(st.floats(-MOVE_MAX, MOVE_MAX), st.sampled_from((-MOVE_MAX, MOVE_MAX)))


class Marks:
    """The marks of some markets, in use."""

    def __init__(self, marks_e18: Mapping[int, int] | Mapping[str, int]) -> None:
        self._marks_e18 = {str(market): mark_e18 for market, mark_e18 in marks_e18.items()}

    def mark(self, market: int | str, /) -> UsedMark | None:
        mark_e18 = self._marks_e18.get(str(market))
        return None if mark_e18 is None else UsedMark("venue:x", mark_e18, 1, 0, stale=False)

    def reference(self, _name: str, /) -> None:
        return None


def expect_due(venue: Venue[Any, Any, Any], held: Any, before: Inputs, after: Inputs) -> bool:  # noqa: ANN401
    """Publish an account at some marks, and move these: where that made it liquidatable, it has to be due.

    Returns:
        Whether it became liquidatable.
    """
    line = venue.exposure("main", held, before)
    shown = venue.value(held, 1, before, unsupported=False).shown
    body = venue.value(held, 1, after, unsupported=False).body
    assume(shown is not None and shown.available >= 0 and body["available_balance"] is not None)
    book = ExposureBook(DEADBAND)
    book.put(KEY, line.signed, line.cost, line.margin, slack=line.slack or 0.0)
    book.reprice(_floats(line.signed, before), 0.0)
    book.published(KEY, shown, line.slack or 0.0)
    due = book.reprice(_floats(line.signed, after), 1.0)
    is_lost = int(body["available_balance"]) < 0
    assert not is_lost or due == [KEY]
    return is_lost


def _floats(signed: Mapping[tuple[str, int | str], float], inputs: Inputs) -> dict[tuple[str, int | str], float]:
    used = {market: inputs.mark(market[1]) for market in signed}
    return {market: 0.0 if mark is None else mark.mark_e18 / E18 for market, mark in used.items()}


def at_the_border(
    venue: Venue[Any, Any, Any], holding: Callable[[int], Any], before: Inputs, after: Inputs, units: int
) -> None:
    """Check an account to which so few units are left, or are missing, at the marks that come.

    Args:
        venue: The venue.
        holding: What an account holds that has a balance, at 1e18 and >= 0; what is left of it grows with that.
        before: The marks at which it is published.
        after: Those that come.
        units: What is to be left, at 1e18.
    """
    rich = 10**40
    left = int(venue.value(holding(rich), 1, after, unsupported=False).body["available_balance"])
    balance = rich - left + units
    assume(balance >= 0)
    assert expect_due(venue, holding(balance), before, after) == (units < 0)


def test_no_venue_is_left_out() -> None:
    assert CHECKED == KINDS.built_in.keys()


# SYMMIO.

_MARKETS = (1, 2, 3)
_opens = st.lists(
    st.tuples(st.sampled_from(_MARKETS), st.integers(0, 1), st.sampled_from((HEDGER, SECOND_HEDGER)), _sizes, _prices),
    min_size=1,
    max_size=5,
)
_of_all = st.fixed_dictionaries(dict.fromkeys(_MARKETS, _prices))


def _of_symmio(opens: list[tuple[int, int, str, int, int]], allocated: int) -> Any:  # noqa: ANN401
    logs: list[RawLog] = [allocate(allocated), allocate_b(10**24), allocate_b(10**24, SECOND_HEDGER)]
    for number, (market, side, party_b, size, entry) in enumerate(opens, start=1):
        logs += (
            fee_out(0),
            send_quote(number, symbol_id=market, side=side, quantity=abs(size)),
            log("LockQuote", party_b, number),
            log("OpenPosition", number, ALICE, party_b, abs(size), entry),
        )
    return advance(None, Transaction((4, 2), 30, 1, "0x01", tuple(logs))).holding


@_bounded
@given(_opens, _of_all, _of_all, _few)
def test_of_an_account_of_symmio(
    opens: list[tuple[int, int, str, int, int]], before: dict[int, int], after: dict[int, int], units: int
) -> None:
    at_the_border(SYMMIO, lambda allocated: _of_symmio(opens, allocated), Marks(before), Marks(after), units)


# A plain venue, and a package whose gains are not linear.

_held = st.dictionaries(st.sampled_from(("BTC", "ETH", "SOL")), st.tuples(_sizes, _prices), min_size=1)
_of_named = st.fixed_dictionaries(dict.fromkeys(("BTC", "ETH", "SOL"), _prices))


@_bounded
@given(_held, _of_named, _of_named, _few)
def test_of_an_account_of_a_plain_venue(
    held: dict[str, tuple[int, int]], before: dict[str, int], after: dict[str, int], units: int
) -> None:
    positions = {market: [format_e18(size), format_e18(entry)] for market, (size, entry) in held.items()}

    def holding(cash: int) -> Any:  # noqa: ANN401
        record = {"kind": "snapshot", "time_ms": 1, "cash": format_e18(cash), "positions": positions}
        return PAPER.venue.fold(None, Own((0, -1), json.dumps(record).encode()), DeploymentWatermark())

    at_the_border(PAPER.venue, holding, Marks(before), Marks(after), units)


_in_euros = st.fixed_dictionaries(dict.fromkeys(("BTC", "ETH", "SOL", "EURUSD"), _prices))


@_bounded
@given(_held, _sizes, _in_euros, _in_euros, _few)
def test_of_a_plain_venue_with_a_wallet_that_a_mark_converts(
    held: dict[str, tuple[int, int]], euros: int, before: dict[str, int], after: dict[str, int], units: int
) -> None:
    positions = {market: [format_e18(size), format_e18(entry)] for market, (size, entry) in held.items()}

    def holding(dollars: int) -> Any:  # noqa: ANN401
        wallets = {"USD": format_e18(dollars), "EUR": format_e18(euros)}
        record = {"kind": "whole", "time_ms": 1, "wallets": wallets, "positions": positions, "orders": {}}
        return DESK.venue.fold(None, Own((0, -1), json.dumps(record).encode()), DeploymentWatermark())

    at_the_border(DESK.venue, holding, Marks(before), Marks(after), units)


@_bounded
@given(_held, _of_named, st.fixed_dictionaries(dict.fromkeys(("BTC", "ETH", "SOL"), _near)), _near, _few)
def test_of_a_package_whose_gains_are_not_linear(
    held: dict[str, tuple[int, int]], before: dict[str, int], moves: dict[str, float], coin_move: float, units: int
) -> None:
    positions = {
        market: {"market": market, "size": format_e18(size), "entry": format_e18(entry)}
        for market, (size, entry) in held.items()
    }
    after = {market: mark_e18 + int(mark_e18 * moves[market]) for market, mark_e18 in before.items()}
    # A coin comes to a dollar, so that what is left in dollars grows with the balance as it does in coins.
    before["XBTUSD"], after["XBTUSD"] = int(E18 / (1 + coin_move)), E18

    def holding(coins: int) -> Any:  # noqa: ANN401
        wallets = {"main": format_e18(coins)}
        record = {"kind": "whole", "time_ms": 1, "wallets": wallets, "orders": {}, "positions": positions}
        return INVERSE.venue.fold(None, Own((0, -1), json.dumps(record).encode()), DeploymentWatermark())

    at_the_border(INVERSE.venue, holding, Marks(before), Marks(after), units)


# A ledger, some of whose amounts become money by the marks of others.

_SYMBOLS = ("tBTCUSD", "tETHBTC", "tBTCF0:USTF0", "tUSTUSD")
_PATHS = {"BTC": ["tBTCUSD"], "USTF0": ["tUSTUSD"]}
_amounts = st.integers(-(10**6), 10**6).filter(bool).map(lambda cents: f"{cents / 100:.2f}")
_texts = st.integers(10, 10**7).map(lambda cents: f"{cents / 100:.2f}")


@_bounded
@given(
    st.dictionaries(st.sampled_from(_SYMBOLS[:3]), st.tuples(_amounts, _texts), min_size=1),
    st.fixed_dictionaries(dict.fromkeys(_SYMBOLS, _texts)),
    st.fixed_dictionaries(dict.fromkeys(_SYMBOLS, _near)),
    _few,
)
def test_of_an_account_of_a_ledger(
    held: dict[str, tuple[str, str]], before: dict[str, str], moves: dict[str, float], units: int
) -> None:
    positions = [ledger.position(amount, base, symbol) for symbol, (amount, base) in held.items()]
    after = {market: f"{float(price) * (1 + moves[market]):.6f}" for market, price in before.items()}

    def holding(usd: int) -> LedgerAccount:
        kept = ledger.holdings(ledger.wallet(format_e18(usd)), *positions)
        return LedgerAccount(applied=(0, -1), version=1, heard=1, holdings=kept)

    at_the_border(LEDGER, holding, ledger.inputs(before, paths=_PATHS), ledger.inputs(after, paths=_PATHS), units)


# Flash: what is left before the nearest liquidation of a basket's positions, which no balance moves.

_parts = st.integers(10**6 - int(MOVE_MAX * 10**6), 10**6 + int(MOVE_MAX * 10**6))
_positions = st.builds(
    lambda market, entry, size, collateral: flash.position(market, str(entry), f"{size}.5", collateral=str(collateral)),
    st.sampled_from((SOL_LONG, SOL_SHORT, BTC_LONG)),
    st.integers(90, 220),
    st.integers(0, 50),
    st.integers(0, 2_000),
)


@_bounded
@given(
    st.lists(_positions, min_size=1, max_size=3, unique_by=lambda one: one.market),
    st.fixed_dictionaries({"SOL": st.integers(100, 200), "BTC": st.integers(100, 200)}),
    st.fixed_dictionaries({"SOL": _parts, "BTC": _parts, "USDC": _parts}),
    st.integers(0, 3_600),
)
def test_of_a_basket_of_flash(
    positions: list[Any], prices: dict[str, int], factors: dict[str, int], later_s: int
) -> None:
    held = take(NEW, Own((0, -1), said(basket(*positions))))
    marks = {**{symbol: str(price) for symbol, price in prices.items()}, "USDC": "1"}
    after = flash.StandingInputs(marks, now_s=NOW_S + later_s).moved(factors)
    expect_due(FLASH, held, flash.StandingInputs(marks), after)
