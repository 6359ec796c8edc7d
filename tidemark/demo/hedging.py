"""What hedgers do: they serve waiting quotes, keep their side of every account funded, and charge funding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.money import E18
from tidemark.demo.balances import COLLATERAL_UNIT
from tidemark.demo.ledger import OrderType, PositionType, Status
from tidemark.demo.market import INSTRUMENTS, funding_rate_e8
from tidemark.demo.odds import happens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tidemark.demo.contract import Contract
    from tidemark.demo.ledger import Quote

    Transaction = Callable[[], object]

_DEPOSIT = 20_000_000 * E18
# The share of the venue's funding rate that a hedger passes on where the hedger is the one who pays.
_SHARE_PERCENT = 75
_EPOCHS_PER_VENUE_INTERVAL = 8 * 3_600 // 600


def tick_e18(symbol_id: int) -> int:
    """Return the step of a market's prices, 1e18-scaled."""
    return int(10 ** (18 - INSTRUMENTS[symbol_id - 1].price_decimals))


def serve(contract: Contract, hedgers: tuple[str, ...], random: Random) -> Iterator[Transaction]:
    """Look at every waiting quote, at some of them in a later block only.

    Args:
        contract: The Diamond.
        hedgers: Who may take a quote on.
        random: The block's own.

    Yields:
        Transactions, each to be run before the next one is asked for.
    """
    for quote_id in sorted(contract.ledger.waiting):
        late = happens(random, 0.6)
        quote = contract.ledger.quote(quote_id)
        if late or contract.ledger.party_as[quote.party_a].liquidated:
            continue
        if contract.now_s > quote.deadline_s:
            yield _end_expired(contract, quote)
            continue
        match quote.status:
            case Status.PENDING:
                yield from _take_on(contract, hedgers, quote, random)
            case Status.LOCKED if happens(random, 0.06):
                yield _unlock(contract, quote)
            case Status.CANCEL_PENDING if quote.order_type is OrderType.MARKET or happens(random, 0.6):
                yield _accept_cancel(contract, quote)
            case Status.LOCKED | Status.CANCEL_PENDING:
                yield _open(contract, quote, random)
            case Status.CANCEL_CLOSE_PENDING if happens(random, 0.7):
                yield _accept_cancel_close(contract, quote)
            case Status.CLOSE_PENDING | Status.CANCEL_CLOSE_PENDING if _reached(contract, quote):
                yield from _fill(contract, quote, random)
            case _:
                pass


def rebalance(contract: Contract, hedgers: tuple[str, ...], account: str) -> Iterator[Transaction]:
    """Add to a hedger's side that runs low, and take back what a side does not need.

    Args:
        contract: The Diamond.
        hedgers: Whose sides are looked at.
        account: The account that they are towards.

    Yields:
        Transactions, each to be run before the next one is asked for.
    """
    if contract.ledger.party_as[account].liquidated:
        return
    for hedger in hedgers:
        pair = contract.ledger.pairs[hedger, account]
        held = pair.locked.for_party_b + pair.pending.for_party_b
        if contract.equity_of_party_b(hedger, account) < held // 2:
            yield from _allocate(contract, hedger, account, held)
        elif (spare := contract.available_for_quote_of_party_b(hedger, account) - 5 * held) > 1_000 * E18:
            yield _deallocate(contract, hedger, account, spare)


def charge_funding(contract: Contract, hedgers: tuple[str, ...], account: str) -> Iterator[Transaction]:
    """Charge every position of an account for the epoch that began within the last window.

    Args:
        contract: The Diamond.
        hedgers: Who charges.
        account: Who is charged, or paid where the rate is negative.

    Yields:
        Transactions, each to be run before the next one is asked for.
    """
    if contract.ledger.party_as[account].liquidated:
        return
    for hedger in hedgers:
        quotes = [contract.ledger.quote(quote_id) for quote_id in contract.ledger.pairs[hedger, account].open_quotes]
        rates = [(quote.quote_id, _rate_e18(quote, contract.now_s)) for quote in quotes]
        if rates:
            yield _charge(contract, hedger, account, rates)


def _rate_e18(quote: Quote, now_s: int) -> int:
    venue_e18 = funding_rate_e8(quote.symbol_id - 1, now_s // 3_600) * 10**10 // _EPOCHS_PER_VENUE_INTERVAL
    owed = venue_e18 if quote.position_type is PositionType.LONG else -venue_e18
    return owed if owed >= 0 else -(-owed * _SHARE_PERCENT // 100)


def _take_on(contract: Contract, hedgers: tuple[str, ...], quote: Quote, random: Random) -> Iterator[Transaction]:
    if not _reached(contract, quote):
        return
    hedger = random.choice(quote.whitelist or hedgers)
    need = quote.locked.for_party_b
    if contract.available_for_quote_of_party_b(hedger, quote.party_a) < need:
        yield from _allocate(contract, hedger, quote.party_a, 4 * need)
    at_once = happens(random, 0.5)

    def lock() -> None:
        contract.lock_quote(hedger, quote.quote_id)
        if at_once:
            _open(contract, contract.ledger.quote(quote.quote_id), random)()

    yield lock


def _allocate(contract: Contract, hedger: str, account: str, amount: int) -> Iterator[Transaction]:
    amount = (amount // E18 + 100) * E18
    if contract.ledger.balances[hedger] < amount:
        yield lambda: contract.deposit(hedger, hedger, max(_DEPOSIT, amount))
    yield lambda: contract.allocate_for_party_b(hedger, account, amount)


def _reached(contract: Contract, quote: Quote) -> bool:
    """Whether the mark allows what the quote asks for: any mark for market orders, else the limit or a better one."""
    closing = quote.status in (Status.CLOSE_PENDING, Status.CANCEL_CLOSE_PENDING)
    limit = quote.requested_close_price if closing else quote.requested_open_price
    buys = (quote.position_type is PositionType.LONG) != closing
    mark = contract.marks[quote.symbol_id]
    return mark <= limit if buys else mark >= limit


def _price(contract: Contract, quote: Quote, limit: int, *, buys: bool) -> int:
    """Return a hedger's price: two ticks worse than the mark, but no worse than the limit."""
    mark, tick = contract.marks[quote.symbol_id], tick_e18(quote.symbol_id)
    if buys:
        return min(limit, (mark // tick + 3) * tick)
    return max(limit, (mark // tick - 2) * tick)


def _part(quote: Quote, amount: int, random: Random) -> int:
    """Return all of ``amount``, or for some limit orders a part of it in lots."""
    if quote.order_type is OrderType.MARKET or happens(random, 0.6):
        return amount
    lot = 10 ** (18 - INSTRUMENTS[quote.symbol_id - 1].quantity_decimals)
    return max(lot, amount * random.randint(20, 80) // 100 // lot * lot) if amount > lot else amount


def _open(contract: Contract, quote: Quote, random: Random) -> Transaction:
    buys = quote.position_type is PositionType.LONG
    price = _price(contract, quote, quote.requested_open_price, buys=buys)
    filled = _part(quote, quote.quantity, random)
    return lambda: contract.open_position(quote.quote_id, filled, price)


def _fill(contract: Contract, quote: Quote, random: Random) -> Iterator[Transaction]:
    buys = quote.position_type is PositionType.SHORT
    price = _price(contract, quote, quote.requested_close_price, buys=buys)
    filled = _part(quote, quote.quantity_to_close, random)
    missing = quote.profit(price, filled) - contract.ledger.pairs[quote.party_b, quote.party_a].allocated
    if missing > 0:
        yield from _allocate(contract, quote.party_b, quote.party_a, missing)
    yield lambda: contract.fill_close_request(quote.quote_id, filled, price)


def _end_expired(contract: Contract, quote: Quote) -> Transaction:
    if quote.status is Status.LOCKED:
        return lambda: contract.unlock_quote(quote.quote_id)
    return lambda: contract.expire_quote(quote.quote_id)


def _unlock(contract: Contract, quote: Quote) -> Transaction:
    return lambda: contract.unlock_quote(quote.quote_id)


def _accept_cancel(contract: Contract, quote: Quote) -> Transaction:
    return lambda: contract.accept_cancel_request(quote.quote_id)


def _accept_cancel_close(contract: Contract, quote: Quote) -> Transaction:
    return lambda: contract.accept_cancel_close_request(quote.quote_id)


def _deallocate(contract: Contract, hedger: str, account: str, amount: int) -> Transaction:
    return lambda: contract.deallocate_for_party_b(hedger, account, amount // COLLATERAL_UNIT * COLLATERAL_UNIT)


def _charge(contract: Contract, hedger: str, account: str, rates: list[tuple[int, int]]) -> Transaction:
    return lambda: contract.charge_funding_rate(hedger, account, rates)
