"""The simulator's bookkeeping held against numbers worked out by hand."""

from __future__ import annotations

import pytest

from models.money import E18
from tidemark.demo import liquidation
from tidemark.demo.books import Reverted
from tidemark.demo.contract import Contract
from tidemark.demo.ledger import Ledger, Locked, OrderType, PositionType, Severity, Status, Symbol

_ALICE, _HEDGER, _OTHER, _LIQUIDATOR = ("0x" + digit * 40 for digit in "abcd")
_DIAMOND, _COLLECTOR = "0x" + "1" * 40, "0x" + "2" * 40

_BITCOIN = Symbol(
    symbol_id=1,
    name="BTCUSDT",
    is_valid=True,
    min_acceptable_quote_value=10 * E18,
    min_acceptable_portion_lf=E18 // 100,
    trading_fee=E18 // 1_000,
    max_leverage=100 * E18,
    funding_epoch_s=600,
    funding_window_s=60,
)


class _World:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.contract = Contract(_DIAMOND, _COLLECTOR, self.ledger)
        self.block = 0
        self.at(price=100)
        self.contract.add_symbol(_BITCOIN)
        self.contract.deposit(_ALICE, _ALICE, 200 * E18)
        self.contract.allocate(_ALICE, 200 * E18)
        self.contract.deposit(_HEDGER, _HEDGER, 10_000 * E18)
        self.contract.allocate_for_party_b(_HEDGER, _ALICE, 5_000 * E18)

    def at(self, *, price: int, seconds: int = 0) -> None:
        self.block += 1
        self.contract.begin(self.block, 999_620 + seconds, {1: price * E18})

    def send(self, *, order_type: OrderType = OrderType.LIMIT, whitelist: tuple[str, ...] = ()) -> int:
        return self.contract.send_quote(
            _ALICE,
            whitelist=whitelist,
            symbol_id=1,
            position_type=PositionType.LONG,
            order_type=order_type,
            price=100 * E18,
            quantity=10 * E18,
            locked=Locked(12 * E18, 8 * E18, 80 * E18, 40 * E18),
            max_funding_rate=E18 // 100,
            deadline_s=999_700,
            affiliate=_OTHER,
        )

    def opened(self) -> int:
        quote_id = self.send()
        self.contract.lock_quote(_HEDGER, quote_id)
        self.contract.open_position(quote_id, 10 * E18, 100 * E18)
        return quote_id


@pytest.fixture
def world() -> _World:
    return _World()


def test_sending_a_quote_takes_the_fee_and_locks(world: _World) -> None:
    world.send()

    party = world.ledger.party_as[_ALICE]
    assert 199 * E18 == party.allocated
    assert Locked(12 * E18, 8 * E18, 80 * E18, 40 * E18) == party.pending


def test_a_partial_fill_leaves_a_child_with_the_rest_and_no_second_fee(world: _World) -> None:
    parent = world.send()
    world.contract.lock_quote(_HEDGER, parent)

    world.contract.open_position(parent, 4 * E18, 90 * E18)

    opened, child = world.ledger.quote(parent), world.ledger.quote(parent + 1)
    party, pair = world.ledger.party_as[_ALICE], world.ledger.pairs[_HEDGER, _ALICE]
    # 40 % of the locked values, times 90/100 for the better price.
    assert Locked(432 * 10**16, 288 * 10**16, 2880 * 10**16, 1440 * 10**16) == opened.locked
    assert Locked(72 * 10**17, 48 * 10**17, 48 * E18, 24 * E18) == child.locked == child.initial_locked == party.pending
    assert (Status.PENDING, 6 * E18, parent) == (child.status, child.quantity, child.parent_id)
    assert opened.locked == party.locked == pair.locked
    assert Locked() == pair.pending
    assert 199 * E18 == party.allocated


def test_the_rest_of_a_cancelled_quote_is_cancelled_and_its_fee_comes_back(world: _World) -> None:
    parent = world.send()
    world.contract.lock_quote(_HEDGER, parent)
    world.contract.request_to_cancel_quote(parent)

    world.contract.logs = []
    world.contract.open_position(parent, 4 * E18, 100 * E18)

    assert Status.CANCELED is world.ledger.quote(parent + 1).status
    assert 199 * E18 + 6 * 10**17 == world.ledger.party_as[_ALICE].allocated
    assert ["BalanceChangePartyA", "OpenPosition", "AcceptCancelRequest"] == [
        log.event.name for log in world.contract.logs
    ]


def test_closing_moves_the_profit_and_frees_its_share(world: _World) -> None:
    quote_id = world.opened()
    world.at(price=110)
    world.contract.request_to_close_position(
        quote_id, price=105 * E18, quantity=5 * E18, order_type=OrderType.LIMIT, deadline_s=999_700
    )

    world.contract.fill_close_request(quote_id, 5 * E18, 110 * E18)

    quote, party = world.ledger.quote(quote_id), world.ledger.party_as[_ALICE]
    assert (Status.OPENED, 5 * E18, 110 * E18, 0) == (
        quote.status,
        quote.closed_amount,
        quote.avg_closed_price,
        quote.requested_close_price,
    )
    assert 199 * E18 + 50 * E18 == party.allocated
    assert 5_000 * E18 - 50 * E18 == world.ledger.pairs[_HEDGER, _ALICE].allocated
    assert Locked(6 * E18, 4 * E18, 40 * E18, 20 * E18) == party.locked


def test_funding_moves_the_opened_price_once_an_epoch(world: _World) -> None:
    quote_id = world.opened()

    world.contract.charge_funding_rate(_HEDGER, _ALICE, [(quote_id, 10**15)])

    assert 1001 * 10**17 == world.ledger.quote(quote_id).opened_price
    with pytest.raises(Reverted, match="already paid"):
        world.contract.charge_funding_rate(_HEDGER, _ALICE, [(quote_id, 10**15)])


@pytest.mark.parametrize(
    ("price", "severity", "hedger_gets", "liquidator_gets"),
    [
        # Equity is 199 - 20 - 10 x (100 - price): 81 leaves -11 with 8 of LF, so 3 of the CVA are missing.
        (82, Severity.NORMAL, 180 + 12, 7),
        (81, Severity.LATE, 190 + 9, 0),
        # 75 leaves -71: beyond LF and CVA 51 are missing, which the hedger does not get.
        (75, Severity.OVERDUE, 250 - 51, 0),
    ],
)
def test_a_liquidation_pays_what_is_left(
    world: _World, price: int, severity: Severity, hedger_gets: int, liquidator_gets: int
) -> None:
    quote_id = world.opened()
    world.at(price=price)

    liquidation.liquidate_party_a(world.contract, _LIQUIDATOR, _ALICE, b"id")
    liquidation.set_symbols_prices(world.contract, _LIQUIDATOR, _ALICE)
    assert severity is world.ledger.liquidations[_ALICE].severity
    liquidation.liquidate_positions(world.contract, _LIQUIDATOR, _ALICE, (quote_id,))
    liquidation.settle_party_a_liquidation(world.contract, _ALICE, (_HEDGER,))

    alice = world.ledger.party_as[_ALICE]
    assert (0, Locked(), False) == (alice.allocated, alice.locked, alice.liquidated)
    assert (5_000 + hedger_gets) * E18 == world.ledger.pairs[_HEDGER, _ALICE].allocated
    assert liquidator_gets * E18 == world.ledger.party_as[_LIQUIDATOR].allocated


def test_fees_of_pending_quotes_come_back_after_a_liquidation(world: _World) -> None:
    world.contract.deposit(_ALICE, _ALICE, 101 * E18)
    world.contract.allocate(_ALICE, 101 * E18)
    pending, quote_id = world.send(), world.opened()
    world.contract.lock_quote(_HEDGER, pending)
    world.at(price=70)

    liquidation.liquidate_party_a(world.contract, _LIQUIDATOR, _ALICE, b"id")
    liquidation.set_symbols_prices(world.contract, _LIQUIDATOR, _ALICE)
    liquidation.liquidate_pending_positions(world.contract, _LIQUIDATOR, _ALICE)
    liquidation.liquidate_positions(world.contract, _LIQUIDATOR, _ALICE, (quote_id,))
    liquidation.settle_party_a_liquidation(world.contract, _ALICE, (_HEDGER,))

    assert Status.LIQUIDATED_PENDING is world.ledger.quote(pending).status
    assert (E18, 0) == (world.ledger.party_as[_ALICE].allocated, world.ledger.party_as[_ALICE].reimbursement)
    assert Locked() == world.ledger.pairs[_HEDGER, _ALICE].pending


@pytest.mark.parametrize("hedger", [_HEDGER, _OTHER])
def test_a_refused_action_stores_nothing(world: _World, hedger: str) -> None:
    quote_id = world.send(order_type=OrderType.MARKET, whitelist=(_OTHER,))
    before = world.ledger.quote(quote_id), world.ledger.party_as[_ALICE], world.ledger.pairs[hedger, _ALICE]
    world.contract.logs = []

    with pytest.raises(Reverted):
        world.contract.lock_quote(hedger, quote_id)

    assert before == (world.ledger.quote(quote_id), world.ledger.party_as[_ALICE], world.ledger.pairs[hedger, _ALICE])
    assert [] == world.contract.logs
