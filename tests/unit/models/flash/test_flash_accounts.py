from __future__ import annotations

import base64
import hashlib
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import BadRecord
from models.flash import flash_accounts as flash
from models.flash.borsh import layout
from models.flash.flash_accounts import (
    ACCOUNT_BYTES_MAX,
    DISCRIMINATORS,
    Basket,
    Custody,
    Market,
    Pool,
    UserDepositLedger,
    decode_account,
    encode_account,
)
from tests.support.flash_values import KINDS, accounts

if TYPE_CHECKING:
    from typing import NamedTuple

BASKET = base64.b64decode((Path(__file__).parents[3] / "data" / "flash" / "basket.b64").read_bytes())
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
of_each = pytest.mark.parametrize("of", KINDS, ids=lambda of: of.__name__)


def _empty(of: type[NamedTuple]) -> bytes:
    """An account of which every byte behind the discriminator is 0."""
    return DISCRIMINATORS[of] + bytes(layout(of).least)


@of_each
def test_an_account_begins_with_the_hash_of_its_name(of: type[NamedTuple]) -> None:
    assert hashlib.sha256(f"account:{of.__name__}".encode()).digest()[:8] == DISCRIMINATORS[of]


@pytest.mark.parametrize(
    ("of", "size"),
    [
        (flash.Price, 12),
        (flash.TokenAmount, 40),
        (flash.Position, 240),
        (flash.PositionSlot, 272),
        (flash.LimitOrder, 54),
        (flash.TriggerOrder, 21),
        (flash.PositionStats, 103),
        (flash.Market, 238),
        (flash.Custody, 680),
        (flash.CustomOracle, 68),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_has_one_size_has_that_of_the_venues_interface(of: type[NamedTuple], size: int) -> None:
    assert (size, True) == (layout(of).least, layout(of).fixed)


def test_fields_that_do_not_move_stand_where_the_venue_has_them() -> None:
    # An account's discriminator comes before them.
    assert (8, 16, 48) == tuple(8 + (layout(UserDepositLedger).offset(n) or 0) for n in ("bump", "owner", "deposits"))
    assert (0, 70, 72) == tuple(layout(Basket).offset(n) for n in ("owner", "positions_active", "debits"))
    assert (96, 221) == tuple(layout(Market).offset(n) for n in ("side", "target_custody_uid"))
    assert (101, 190, 588) == tuple(layout(Custody).offset(n) for n in ("oracle", "pricing", "borrow_rate_state"))
    assert layout(Basket).offset("positions") is None
    assert layout(Pool).offset("permissions") is None


def test_the_basket_that_anchors_coder_reads_is_read_to_the_same() -> None:
    basket = decode_account(Basket, BASKET)
    (position,) = [slot.position for slot in basket.positions]
    (orders,) = [slot.order for slot in basket.orders]
    assert (254, True, True) == (basket.basket_bump, basket.positions_active, basket.orders_active)
    assert [1] == [debit.amount for debit in basket.debits]
    assert [2] == [credit.amount for credit in basket.pending_credits]
    assert basket.owner == position.owner
    assert basket.positions[0].market == position.market
    assert (14852000000, -8) == position.entry_price
    assert (3366549960, 9, 500000000, 100000000) == (
        position.size_amount,
        position.size_decimals,
        position.size_usd,
        position.collateral_usd,
    )
    assert 12345 == position.cumulative_lock_fee_snapshot
    assert [((14000000000, -8), 1000000000)] == [(one.limit_price, one.size_amount) for one in orders.limit_orders]
    assert [(16000000000, -8)] == [one.trigger_price for one in orders.take_profit_orders]
    assert [(13000000000, -8)] == [one.trigger_price for one in orders.stop_loss_orders]
    assert 7 == orders.execution_count
    assert BASKET == encode_account(basket)


@of_each
@QUICK
@given(data=st.data())
def test_what_is_written_is_read_as_it_was_whatever_is_behind_it(of: type[NamedTuple], data: st.DataObject) -> None:
    account = data.draw(accounts(of))
    written = encode_account(account)
    assert account == decode_account(of, written)
    assert account == decode_account(of, written + data.draw(st.binary(max_size=64)))


@of_each
@settings(QUICK, max_examples=3)
@given(data=st.data())
def test_an_account_cut_off_at_any_length_is_refused(of: type[NamedTuple], data: st.DataObject) -> None:
    written = encode_account(data.draw(accounts(of)))
    for length in range(len(written)):
        with pytest.raises(BadRecord, match=of.__name__):
            decode_account(of, written[:length])


@of_each
@QUICK
@given(data=st.data())
def test_hostile_bytes_are_refused_or_read_to_what_is_written_as_they_are(
    of: type[NamedTuple], data: st.DataObject
) -> None:
    hostile = bytearray(encode_account(data.draw(accounts(of))))
    for _ in range(data.draw(st.integers(1, 8))):
        hostile[data.draw(st.integers(8, len(hostile) - 1))] = data.draw(st.integers(0, 255))
    try:
        account = decode_account(of, bytes(hostile))
    except BadRecord:
        return
    written = encode_account(account)
    assert written == bytes(hostile[: len(written)])


@of_each
@given(data=st.binary(max_size=200))
def test_bytes_of_anything_else_are_refused(of: type[NamedTuple], data: bytes) -> None:
    with pytest.raises(BadRecord, match="begins with"):
        decode_account(of, b"\0" + data)


@of_each
def test_one_account_is_not_read_as_another(of: type[NamedTuple]) -> None:
    for other in DISCRIMINATORS:
        if other is not of:
            with pytest.raises(BadRecord, match=of.__name__):
                decode_account(of, _empty(other))


def _with(of: type[Any], at: int, put: bytes) -> bytes:
    written = _empty(of)
    return written[:at] + put + written[at + len(put) :]


@pytest.mark.parametrize(
    ("of", "hostile", "said"),
    [
        (Basket, _with(Basket, 80, b"\xff" * 4), "room for 4294967295 values of at least 40 bytes"),
        (UserDepositLedger, _with(UserDepositLedger, 48, b"\xff" * 4), "room for 4294967295 values"),
        (Pool, _with(Pool, 8, b"\xff" * 4), "expected 4294967295 bytes"),
        (Pool, _with(Pool, 8, b"\x01\0\0\0\xff"), "UTF-8"),
        (Basket, _with(Basket, 78, b"\x02"), "expected 0 or 1 at byte 78, found 2"),
        (Market, _with(Market, 104, b"\x03"), "Side"),
    ],
    ids=["count", "deposits", "name", "text", "flag", "side"],
)
def test_a_hostile_value_is_refused_by_what_was_expected_and_costs_no_room(
    of: type[NamedTuple], hostile: bytes, said: str
) -> None:
    decode_account(of, _empty(of))  # What is made once for all accounts is made.
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord, match=said):
            decode_account(of, hostile)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_more_bytes_than_solana_has_are_refused() -> None:
    with pytest.raises(BadRecord, match=str(ACCOUNT_BYTES_MAX)):
        decode_account(Basket, _empty(Basket).ljust(ACCOUNT_BYTES_MAX + 1, b"\0"))
