"""Rows of SYMMIO's accounts as types: what is written is what is published, and what is none of it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from models.codec import decode_row, encode_body, encode_row
from models.errors import BadRow
from models.symmio.account import AccountRow, BlockUndo, decode_account, encode_account
from models.symmio.holding import decode_holding
from models.symmio.state import AccountState, Balances, Locked, OrderType, PositionType, Quote, QuoteStatus
from models.symmio.symmio_row_bodies import AccountBody
from models.symmio.undo import diff
from tests.support.symmio import BOB, HEDGER

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGE = 2**256 - 1
_LOCKED = Locked(1, _LARGE, 3, 4)
_QUOTE = Quote(
    quote_id=7,
    symbol_id=2,
    position_type=PositionType.SHORT,
    order_type=OrderType.MARKET,
    status=QuoteStatus.OPENED,
    party_b=HEDGER,
    whitelist=(HEDGER, BOB),
    requested_open_price=5,
    market_price=6,
    opened_price=_LARGE,
    initial_opened_price=8,
    quantity=9,
    closed_amount=1,
    avg_closed_price=2,
    avg_closed_known=False,
    requested_close_price=3,
    quantity_to_close=4,
    locked=_LOCKED,
    initial_locked=Locked(9, 9, 9, 9),
    trading_fee=11,
    deadline_s=_LARGE,
    parent_id=12,
    max_funding_rate=None,
    terminal_block=None,
)
_OTHER = Quote(
    quote_id=7,
    symbol_id=3,
    position_type=PositionType.LONG,
    order_type=OrderType.LIMIT,
    status=QuoteStatus.CLOSED,
    party_b=BOB,
    whitelist=(),
    requested_open_price=50,
    market_price=60,
    opened_price=70,
    initial_opened_price=80,
    quantity=90,
    closed_amount=10,
    avg_closed_price=20,
    avg_closed_known=True,
    requested_close_price=30,
    quantity_to_close=40,
    locked=Locked(0, 0, 0, 0),
    initial_locked=_LOCKED,
    trading_fee=110,
    deadline_s=1,
    parent_id=0,
    max_funding_rate=13,
    terminal_block=44,
)
_STATE = AccountState(
    owner=BOB,
    multi_account=HEDGER,
    name="7",
    balances=Balances(1, _LOCKED, _LOCKED),
    reimbursement=5,
    liquidating=True,
    party_b={HEDGER: Balances(_LARGE, _LOCKED, _LOCKED)},
    quotes={7: _QUOTE, 8: msgspec.structs.replace(_QUOTE, quote_id=8)},
    liquidation_prices={12: 5, 3: _LARGE},
)


def _changed_everywhere() -> AccountRow:
    """A row whose undo has every cell of the account and of a quote; a quote and a bucket each came, and each went."""
    after = AccountState(party_b={BOB: Balances(1)}, quotes={7: _OTHER, 9: msgspec.structs.replace(_OTHER, quote_id=9)})
    undo = BlockUndo(5, diff(_STATE, after), 4, 1_700_000_000, ("because", (3, -1)))
    return AccountRow((4, 2), 6, 5, 1_700_000_012, after, (undo,), ("null", (4, 2)))


@pytest.mark.parametrize("row", [AccountRow(), AccountRow((1, 0), 3, 9, 1, _STATE), _changed_everywhere()])
def test_a_row_comes_back_and_is_of_the_type_that_is_published(row: AccountRow) -> None:
    written = encode_row(1, row.version, encode_account(row))

    assert row == decode_account(written)
    assert written == encode_row(1, row.version, encode_account(decode_account(written)))
    assert encode_body(encode_account(row)) == encode_body(
        msgspec.convert(decode_row(written).body, AccountBody, strict=True)
    )


def test_an_undo_of_every_cell_names_every_column() -> None:
    body = decode_row(encode_row(1, 6, encode_account(_changed_everywhere()))).body

    (undo,) = body["undo"]
    assert set(Quote.__struct_fields__) - {"quote_id"} == undo["quotes"]["7"].keys()
    assert set(AccountState.__struct_fields__) - {"party_b", "quotes"} == undo["account"].keys()


def _with(path: tuple[str | int, ...], value: object) -> bytes:
    body = decode_row(encode_row(1, 6, encode_account(_changed_everywhere()))).body
    at: Any = body
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return encode_row(1, 6, body)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("state", "quotes", 0, "quantity"), "1.5"),
        (("state", "quotes", 0, "quantity"), " 1"),
        (("state", "quotes", 0, "quantity"), "1_000"),
        (("state", "quotes", 0, "locked"), ["1", "2", "3"]),
        (("state", "quotes", 0, "status"), 77),
        (("state", "balances"), ["1"]),
        (("state", "reimbursement"), None),
        (("state", "party_b"), []),
        (("undo", 0, "quotes", "7", "quantity"), "many"),
        (("undo", 0, "account", "balances"), []),
        (("suspect",), ["because"]),
        (("applied",), [1]),
    ],
)
def test_a_row_with_a_column_of_another_kind_is_refused(path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(BadRow, match="expected a row of accounts"):
        decode_account(_with(path, value))


@pytest.mark.parametrize(
    "path", [("state", "party_b", BOB, 1, 2), ("state", "balances", 0), ("state", "quotes", 0, "quantity")]
)
def test_what_is_valued_is_refused_when_it_is_read_and_not_when_it_is_valued(path: tuple[str | int, ...]) -> None:
    with pytest.raises(BadRow, match="expected a row of accounts"):
        decode_holding(_with(path, "many"), 6)


LATER: list[tuple[str | int, ...]] = [
    ("later",),
    ("state", "later"),
    ("state", "quotes", 0, "later"),
    ("undo", 0, "later"),
    ("undo", 0, "account", "later"),
    ("undo", 0, "quotes", "7", "later"),
    ("undo", 0, "removed", 0, "later"),
]


@pytest.mark.parametrize("path", LATER)
def test_a_column_of_a_later_version_is_not_lost_by_writing_the_row_again(path: tuple[str | int, ...]) -> None:
    with pytest.raises(BadRow, match="later"):
        decode_account(_with(path, {"version": 2}))


@pytest.mark.parametrize("path", LATER)
def test_an_account_that_cannot_be_folded_for_a_column_of_a_later_version_is_not_valued_as_it_was(
    path: tuple[str | int, ...],
) -> None:
    with pytest.raises(BadRow, match="later"):
        decode_holding(_with(path, {"version": 2}), 6)


@pytest.mark.parametrize("read", [decode_account, lambda row: decode_holding(row, 6)])
@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("state", "quotes", 0, "quantity"), b'"9007199254740993.0"'),
        (("state", "quotes", 0, "quantity"), b"9007199254740993.0"),
        (("state", "quotes", 0, "quantity"), b'"9007199254740993\\u002e0"'),
        (("state", "balances", 1, 0), b'"5.0"'),
        (("applied", 0), b"4.0"),
        (("state", "quotes", 0, "quantity"), b'"1e3"'),
        (("state", "quotes", 0, "quantity"), b"1e3"),
        (("state", "quotes", 0, "quantity"), b'"1\\u00453"'),
        (("state", "quotes", 0, "quantity"), b'"null"'),
        (("state", "quotes", 0, "quantity"), b"null"),
        (("state", "quotes", 0, "quote_id"), b'"7"'),
        (("state", "quotes", 0, "status"), b'"4"'),
        (("state", "quotes", 0, "terminal_block"), b'"null"'),
        (("state", "balances", 2, 3), b'"-1E3"'),
        (("state", "party_b", BOB, 0), b'"1e0"'),
        (("state", "liquidating"), b'"true"'),
        (("state", "liquidating"), b"1"),
        (("undo", 0, "quotes", "7", "quantity"), b'"1e3"'),
        (("undo", 0, "quotes", "7", "avg_closed_known"), b"0"),
        (("undo", 0, "account", "reimbursement"), b'"5e0"'),
        (("undo", 0, "account", "liquidation_prices"), b'{"1e1":"5"}'),
        (("undo", 0, "party_b", HEDGER), b'"null"'),
        (("undo", 0, "removed", 0, "locked", 1), b'"1e3"'),
        (("undo", 0, "added"), b'["9"]'),
        (("undo", 0, "row_suspect"), b'"null"'),
        (("suspect",), b'"null"'),
        (("block",), b'"5"'),
    ],
)
def test_what_is_never_written_of_a_number_is_not_made_one_but_no_row(
    read: Callable[[bytes], object], path: tuple[str | int, ...], said: bytes
) -> None:
    with pytest.raises(BadRow):
        read(_with(path, "HERE").replace(b'"HERE"', said))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("undo", 0, "quotes", "7", "quantity"), b'"1e3"'),
        (("undo", 0, "removed"), b'"null"'),
        (("undo", 0, "row_suspect"), b'"null"'),
    ],
)
def test_an_account_that_cannot_be_rolled_back_is_not_valued(path: tuple[str | int, ...], said: bytes) -> None:
    with pytest.raises(BadRow, match="expected a row of accounts"):
        decode_holding(_with(path, "HERE").replace(b'"HERE"', said), 6)


@pytest.mark.parametrize("name", ["1.5", "1e3", "e", "null", 'a "quoted" one.', ",1.5", "true"])
def test_a_name_may_look_like_any_number(name: str) -> None:
    row = _with(("state", "name"), name)

    assert name == decode_account(row).state.name == decode_holding(row, 6).name
