"""What the people of the simulated market do in a block: newcomers, hedgers, traders, liquidators, the funding charge.

They decide by the ledger and the block's own random numbers, and remember nothing, so a block can be undone and made
again. Where an action is refused, what its transaction did before stays, since each action is complete in itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from models.money import E18
from tidemark.demo import hedging, liquidation
from tidemark.demo.hedging import tick_e18
from tidemark.demo.ledger import Locked, OrderType, PositionType, Severity, Status, Symbol
from tidemark.demo.market import INSTRUMENTS
from tidemark.demo.multi_account import MultiAccount, made_up_address
from tidemark.demo.odds import happens
from tidemark.demo.traders import ACCOUNTS, MULTI_ACCOUNTS, Trader, make_trader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tidemark.demo.contract import Contract
    from tidemark.demo.ledger import Quote

    Transaction = Callable[[], object]

HEDGERS = 3

# Most accounts exist from the first blocks on; the others join one by one.
_FIRST_ACCOUNTS = 150
_FIRST_PER_BLOCK = 5
_BLOCKS_PER_NEWCOMER = 12
_TRADERS_PER_BLOCK = 2
# Number of blocks after which liquidators, and hedgers at their own side, look at an account again.
_MARGIN_CHECK_EVERY = 25
_REBALANCE_EVERY = 60
_POSITIONS_PER_LIQUIDATION = 3
_FUNDING_EPOCH_S, _FUNDING_WINDOW_S = 600, 60
_SEND_QUOTE = (
    "sendQuoteWithAffiliate(address[],uint256,uint8,uint8,uint256,uint256,uint256,uint256,uint256,uint256,uint256,"
    "uint256,address,(bytes,uint256,int256,uint256,bytes,(uint256,address,address)))"
)


@dataclass(frozen=True, slots=True)
class Member:
    """A sub-account that exists from some block on: its address, and how it trades."""

    address: str
    trader: Trader


class Population:
    """Everyone who acts on the simulated chain; the same seed makes the same people."""

    def __init__(self, seed: int, contract: Contract) -> None:
        self.contract = contract
        self.hedgers = tuple(made_up_address(seed, "hedger", i) for i in range(HEDGERS))
        self.liquidators = tuple(made_up_address(seed, "liquidator", i) for i in range(2))
        self.multi_accounts = tuple(
            MultiAccount(made_up_address(seed, "multi-account", i), contract) for i in range(MULTI_ACCOUNTS)
        )
        counts = [0] * MULTI_ACCOUNTS
        members = []
        for i in range(ACCOUNTS):
            trader = make_trader(seed, i)
            counts[trader.multi_account] += 1
            address = self.multi_accounts[trader.multi_account].address_of(counts[trader.multi_account])
            members.append(Member(address, trader))
        self._members = tuple(members)
        self._trader_of = {member.address: member.trader for member in members}

    def set_up(self) -> Iterator[Transaction]:
        """Return the transactions of the first block."""
        frontends = tuple(venue.address for venue in self.multi_accounts)
        yield lambda: self.contract.set_up(self.hedgers, frontends)
        for i, instrument in enumerate(INSTRUMENTS):
            symbol = Symbol(
                symbol_id=i + 1,
                name=instrument.name,
                is_valid=True,
                min_acceptable_quote_value=10 * E18,
                min_acceptable_portion_lf=E18 // 100,
                trading_fee=6 * E18 // 10_000,
                max_leverage=65 * E18,
                funding_epoch_s=_FUNDING_EPOCH_S,
                funding_window_s=_FUNDING_WINDOW_S,
            )
            yield partial(self.contract.add_symbol, symbol)

    def transactions(self, block: int, random: Random) -> Iterator[Transaction]:
        """Yield what everybody does in ``block``; each transaction must be run before the next one is asked for."""
        known = _members_at(block)
        for member in self._members[_members_at(block - 1) : known]:
            yield from self._join(member)
        yield from hedging.serve(self.contract, self.hedgers, random)
        yield from self._change_minds(random)
        for member in random.sample(self._members[:known], min(known, _TRADERS_PER_BLOCK)):
            yield from self._trade(member, random)
        since_epoch_s = self.contract.now_s % _FUNDING_EPOCH_S
        if since_epoch_s < _FUNDING_WINDOW_S:
            for member in self._members[since_epoch_s:known:_FUNDING_WINDOW_S]:
                yield from hedging.charge_funding(self.contract, self.hedgers, member.address)
        for member in self._members[block % _MARGIN_CHECK_EVERY : known : _MARGIN_CHECK_EVERY]:
            yield from self._watch(member.address, block, random)
        for member in self._members[block % _REBALANCE_EVERY : known : _REBALANCE_EVERY]:
            yield from hedging.rebalance(self.contract, self.hedgers, member.address)
        for account in sorted(self.contract.ledger.liquidating):
            yield from self._liquidate(account, random)

    def _join(self, member: Member) -> Iterator[Transaction]:
        trader = member.trader
        venue = self.multi_accounts[trader.multi_account]
        yield lambda: venue.add_account(trader.owner, trader.name)
        yield lambda: venue.deposit_and_allocate(member.address, trader.funds * E18)

    def _trade(self, member: Member, random: Random) -> Iterator[Transaction]:
        account, trader = member.address, member.trader
        venue = self.multi_accounts[trader.multi_account]
        party = self.contract.ledger.party_as[account]
        if party.liquidated:
            return
        funds = trader.funds * E18
        if party.allocated < funds // 4 and not party.open_quotes:
            yield lambda: venue.deposit_and_allocate(account, funds * random.randint(50, 100) // 100)
        elif party.allocated > 2 * funds:
            yield from self._take_out(venue, account, funds)
        if happens(random, 0.01):
            yield lambda: venue.edit_account_name(account, f"{trader.name} {random.randint(2, 9)}")
        if party.pending_quotes and happens(random, 0.35):
            yield self._cancel(account, random.choice(party.pending_quotes))
        if party.open_quotes:
            quote = self.contract.ledger.quote(random.choice(party.open_quotes))
            yield from self._reconsider(venue, quote, random)
        if len(party.open_quotes) + len(party.pending_quotes) < trader.positions and happens(random, trader.appetite):
            yield lambda: self._send_quote(venue, member, random)

    def _change_minds(self, random: Random) -> Iterator[Transaction]:
        """Yield the requests of owners who want a quote back that a hedger has locked already."""
        for quote_id in sorted(self.contract.ledger.waiting):
            quote = self.contract.ledger.quote(quote_id)
            if quote.status is Status.LOCKED and happens(random, 0.15):
                yield self._cancel(quote.party_a, quote_id)

    def _cancel(self, account: str, quote_id: int) -> Transaction:
        venue = self.multi_accounts[self._trader_of[account].multi_account]
        request = partial(self.contract.request_to_cancel_quote, quote_id)
        return lambda: venue.call(account, "requestToCancelQuote(uint256)", (quote_id,), request)

    def _take_out(self, venue: MultiAccount, account: str, amount: int) -> Iterator[Transaction]:
        yield lambda: venue.call(
            account, "deallocate(uint256)", (amount,), lambda: self.contract.deallocate(account, amount)
        )
        if self.contract.ledger.balances[account] >= amount:
            yield lambda: venue.withdraw(account, amount)

    def _reconsider(self, venue: MultiAccount, quote: Quote, random: Random) -> Iterator[Transaction]:
        account, quote_id = quote.party_a, quote.quote_id
        if quote.status is Status.OPENED and happens(random, 0.4):
            yield lambda: self._request_close(venue, quote, random)
        elif quote.status is Status.CLOSE_PENDING and happens(random, 0.2):
            yield lambda: venue.call(
                account,
                "requestToCancelCloseRequest(uint256)",
                (quote_id,),
                lambda: self.contract.request_to_cancel_close_request(quote_id),
            )

    def _request_close(self, venue: MultiAccount, quote: Quote, random: Random) -> None:
        mark, tick = self.contract.marks[quote.symbol_id], tick_e18(quote.symbol_id)
        long = quote.position_type is PositionType.LONG
        order_type = OrderType.MARKET if happens(random, 0.6) else OrderType.LIMIT
        percent = 99.0 if order_type is OrderType.MARKET else random.uniform(99.95, 100.3)
        price = _stepped(mark, percent if long else 200 - percent, tick)
        quantity = quote.open_amount
        if happens(random, 0.35):
            quantity = quantity * random.randint(20, 80) // 100
        deadline_s = self.contract.now_s + random.randint(60, 240)
        venue.call(
            quote.party_a,
            "requestToClosePosition(uint256,uint256,uint256,uint8,uint256)",
            (quote.quote_id, price, quantity, order_type, deadline_s),
            lambda: self.contract.request_to_close_position(
                quote.quote_id, price=price, quantity=quantity, order_type=order_type, deadline_s=deadline_s
            ),
        )

    def _send_quote(self, venue: MultiAccount, member: Member, random: Random) -> None:
        account, trader = member.address, member.trader
        instrument = random.choice(trader.markets)
        symbol_id = instrument + 1
        side = PositionType.LONG if happens(random, 0.55) else PositionType.SHORT
        order_type = OrderType.MARKET if happens(random, 0.6) else OrderType.LIMIT
        percent = 101.0 if order_type is OrderType.MARKET else random.uniform(99.2, 100.03)
        price = _stepped(
            self.contract.marks[symbol_id],
            percent if side is PositionType.LONG else 200 - percent,
            tick_e18(symbol_id),
        )
        margin = self.contract.available_for_quote(account) * random.randint(*trader.stake_percent) // 100
        lot = 10 ** (18 - INSTRUMENTS[instrument].quantity_decimals)
        quantity = margin * trader.leverage * E18 // price // lot * lot
        total = quantity * price // E18 // trader.leverage
        locked = Locked(
            cva=total * 6 // 100, lf=total * 3 // 100, party_a_mm=total * 91 // 100, party_b_mm=total * 45 // 100
        )
        whitelist = tuple(random.sample(self.hedgers, random.choice((0, 1, 1, 2))))
        patience_s = (60, 300) if order_type is OrderType.MARKET else (300, 1_500)
        deadline_s = self.contract.now_s + random.randint(*patience_s)
        max_funding_rate = E18 // 100
        venue.call(
            account,
            _SEND_QUOTE,
            (),
            lambda: self.contract.send_quote(
                account,
                whitelist=whitelist,
                symbol_id=symbol_id,
                position_type=side,
                order_type=order_type,
                price=price,
                quantity=quantity,
                locked=locked,
                max_funding_rate=max_funding_rate,
                deadline_s=deadline_s,
                affiliate=venue.address,
            ),
        )

    def _watch(self, account: str, block: int, random: Random) -> Iterator[Transaction]:
        party = self.contract.ledger.party_as[account]
        if party.liquidated or not party.open_quotes:
            return
        if self.contract.equity(account) < 0:
            liquidation_id = sha256(f"{account}{block}".encode()).digest()
            yield lambda: liquidation.liquidate_party_a(
                self.contract, random.choice(self.liquidators), account, liquidation_id
            )

    def _liquidate(self, account: str, random: Random) -> Iterator[Transaction]:
        if happens(random, 0.5):
            return
        ledger, liquidator = self.contract.ledger, random.choice(self.liquidators)
        party, under_way = ledger.party_as[account], ledger.liquidations[account]
        if under_way.severity is Severity.NONE:
            yield lambda: liquidation.set_symbols_prices(self.contract, liquidator, account)
        elif party.pending_quotes:
            yield lambda: liquidation.liquidate_pending_positions(self.contract, liquidator, account)
        elif party.open_quotes:
            quotes = party.open_quotes[:_POSITIONS_PER_LIQUIDATION]
            yield lambda: liquidation.liquidate_positions(self.contract, liquidator, account, quotes)
        else:
            hedgers = tuple(hedger for hedger, _ in under_way.settlements)
            paid = hedgers if happens(random, 0.7) else hedgers[:1]
            yield lambda: liquidation.settle_party_a_liquidation(self.contract, account, paid)


def _members_at(block: int) -> int:
    block -= 1  # the first block is the set-up's
    first_blocks = _FIRST_ACCOUNTS // _FIRST_PER_BLOCK
    if block <= first_blocks:
        return _FIRST_PER_BLOCK * block
    return min(ACCOUNTS, _FIRST_ACCOUNTS + (block - first_blocks) // _BLOCKS_PER_NEWCOMER)


def _stepped(mark: int, percent: float, tick: int) -> int:
    """Take ``percent`` of a mark, rounded to the tick and at least one tick."""
    return max(tick, mark * round(percent * 100) // 10_000 // tick * tick)
