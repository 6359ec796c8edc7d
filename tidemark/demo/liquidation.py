"""The Diamond's liquidation of a party A that fell below its margin: five steps from the flag to the settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.demo import events
from tidemark.demo.books import require
from tidemark.demo.ledger import OPEN, Liquidation, Locked, Settlement, Severity, Status
from tidemark.demo.trader_actions import CVA_IN, LF_IN, PLATFORM_FEE_IN, REALIZED_PNL_IN, REALIZED_PNL_OUT, without

if TYPE_CHECKING:
    from tidemark.demo.contract import Contract
    from tidemark.demo.ledger import Quote


def liquidate_party_a(contract: Contract, liquidator: str, account: str, liquidation_id: bytes) -> None:
    """Flag an account whose equity is below 0; its prices are fixed at the running marks.

    Args:
        contract: The Diamond.
        liquidator: Who flags it, and gets a half of the liquidation fee.
        account: The account.
        liquidation_id: 32 bytes that name the liquidation.

    Raises:
        Reverted: The account is solvent, or in liquidation already.
    """
    ledger = contract.ledger
    party = ledger.party_as[account]
    require(not party.liquidated, "party A is in liquidation already")
    require(contract.equity(account) < 0, "party A is solvent")
    upnl = contract.capped_upnl(account)
    quotes = [ledger.quote(quote_id) for quote_id in party.open_quotes]
    loss = sum(min(0, quote.profit(contract.marks[quote.symbol_id], quote.open_amount)) for quote in quotes)
    ledger.liquidations[account] = Liquidation(
        liquidation_id=liquidation_id,
        upnl=upnl,
        total_unrealized_loss=loss,
        time_s=contract.now_s,
        liquidators=(liquidator,),
        prices=tuple((symbol, contract.marks[symbol]) for symbol in sorted({quote.symbol_id for quote in quotes})),
    )
    ledger.put_party_a(account, party._replace(liquidated=True))
    contract.emit(events.LIQUIDATE_PARTY_A, liquidator, account, party.allocated, upnl, loss, liquidation_id)


def set_symbols_prices(contract: Contract, liquidator: str, account: str) -> None:
    """Say the prices the account is liquidated at, which decides how much is left of its LF and CVA.

    Args:
        contract: The Diamond.
        liquidator: Who says them, and gets a half of the liquidation fee.
        account: The account in liquidation.

    Raises:
        Reverted: The account is solvent, or the prices are set already.
    """
    party, liquidation = contract.ledger.party_as[account], contract.ledger.liquidations[account]
    require(party.liquidated, "party A is solvent")
    require(liquidation.severity is Severity.NONE, "the prices are set already")
    missing = -(party.allocated - party.locked.cva - party.locked.lf + liquidation.upnl)
    if missing < party.locked.lf:
        liquidation = liquidation._replace(severity=Severity.NORMAL, fee=party.locked.lf - missing)
    elif missing <= party.locked.lf + party.locked.cva:
        liquidation = liquidation._replace(severity=Severity.LATE, deficit=missing - party.locked.lf)
    else:
        deficit = missing - party.locked.lf - party.locked.cva
        liquidation = liquidation._replace(severity=Severity.OVERDUE, deficit=deficit)
    liquidators = (*liquidation.liquidators, liquidator)
    contract.ledger.liquidations[account] = liquidation._replace(liquidators=liquidators)
    contract.emit(
        events.SET_SYMBOLS_PRICES,
        liquidator,
        account,
        tuple(symbol for symbol, _ in liquidation.prices),
        tuple(price for _, price in liquidation.prices),
        liquidation.liquidation_id,
    )


def liquidate_pending_positions(contract: Contract, liquidator: str, account: str) -> None:
    """End every quote that was not opened yet; their fees come back when the liquidation is settled.

    Args:
        contract: The Diamond.
        liquidator: Who ends them.
        account: The account in liquidation.

    Raises:
        Reverted: The account is solvent.
    """
    ledger = contract.ledger
    party = ledger.party_as[account]
    require(party.liquidated, "party A is solvent")
    quotes = [ledger.quote(quote_id) for quote_id in party.pending_quotes]
    for quote in quotes:
        if quote.status is not Status.PENDING:
            pair = ledger.pairs[quote.party_b, account]
            ledger.pairs[quote.party_b, account] = pair._replace(pending=Locked(), pending_quotes=())
        contract.emit(events.BALANCE_CHANGE_PARTY_A, account, quote.fee, PLATFORM_FEE_IN)
        ledger.put_quote(quote._replace(status=Status.LIQUIDATED_PENDING, modified_s=contract.now_s))
    ledger.put_party_a(
        account,
        party._replace(
            reimbursement=party.reimbursement + sum(quote.fee for quote in quotes), pending=Locked(), pending_quotes=()
        ),
    )
    contract.emit(
        events.LIQUIDATE_PENDING_POSITIONS_PARTY_A,
        liquidator,
        account,
        party.pending_quotes,
        tuple(quote.quantity for quote in quotes),
        ledger.liquidations[account].liquidation_id,
    )


def liquidate_positions(contract: Contract, liquidator: str, account: str, quote_ids: tuple[int, ...]) -> None:
    """Close positions at the liquidation's prices; what the parties owe each other waits for the settlement.

    Args:
        contract: The Diamond.
        liquidator: Who closes them.
        account: The account in liquidation.
        quote_ids: Which ones.

    Raises:
        Reverted: The prices are not set, or a position is not an open one of the account.
    """
    ledger = contract.ledger
    liquidation = ledger.liquidations[account]
    quotes = [ledger.quote(quote_id) for quote_id in quote_ids]
    require(liquidation.severity is not Severity.NONE, "prices should be set")
    require(all(quote.party_a == account and quote.status in OPEN for quote in quotes), "invalid state")
    for quote in quotes:
        _liquidate_position(contract, quote)
    contract.emit(
        events.LIQUIDATE_POSITIONS_PARTY_A,
        liquidator,
        account,
        quote_ids,
        tuple(quote.open_amount for quote in quotes),
        tuple(quote.close_id for quote in quotes),
        liquidation.liquidation_id,
    )


def _liquidate_position(contract: Contract, quote: Quote) -> None:
    ledger, account, hedger = contract.ledger, quote.party_a, quote.party_b
    party, pair, liquidation = ledger.party_as[account], ledger.pairs[hedger, account], ledger.liquidations[account]
    price = dict(liquidation.prices)[quote.symbol_id]
    gain = quote.profit(price, quote.open_amount)
    settlements = dict(liquidation.settlements)
    settlements[hedger] = settlement = _owed(
        settlements.get(hedger, Settlement()), liquidation, gain, quote.locked.cva, party.locked.cva
    )
    open_b = without(pair.open_quotes, quote.quote_id)
    accumulated = liquidation.accumulated_upnl + (0 if open_b else min(settlement.expected, pair.allocated))
    ledger.liquidations[account] = liquidation._replace(
        settlements=tuple(settlements.items()), accumulated_upnl=accumulated
    )
    ledger.put_quote(
        quote._replace(
            status=Status.LIQUIDATED,
            modified_s=contract.now_s,
            avg_closed_price=(quote.avg_closed_price * quote.closed_amount + quote.open_amount * price)
            // quote.quantity,
            closed_amount=quote.quantity,
        )
    )
    ledger.put_party_a(account, party._replace(open_quotes=without(party.open_quotes, quote.quote_id)))
    ledger.pairs[hedger, account] = pair._replace(
        locked=pair.locked.minus(quote.locked), nonce=pair.nonce + 1, open_quotes=open_b
    )


def _owed(so_far: Settlement, liquidation: Liquidation, gain: int, cva: int, total_cva: int) -> Settlement:
    actual, kept_cva = gain, cva
    if liquidation.severity is Severity.LATE:
        kept_cva -= cva * liquidation.deficit // total_cva
    elif liquidation.severity is Severity.OVERDUE:
        kept_cva = 0
        if gain < 0:
            actual += -gain * liquidation.deficit // -liquidation.total_unrealized_loss
    return Settlement(so_far.actual + actual, so_far.expected + gain, so_far.cva + kept_cva)


def settle_party_a_liquidation(contract: Contract, account: str, hedgers: tuple[str, ...]) -> None:
    """Pay hedgers; after the last one the account is emptied, its liquidators are paid and its flag falls.

    Args:
        contract: The Diamond.
        account: The account in liquidation.
        hedgers: Who is paid now.

    Raises:
        Reverted: The account is solvent, or has quotes or positions left.
    """
    ledger = contract.ledger
    party, liquidation = ledger.party_as[account], ledger.liquidations[account]
    require(party.liquidated, "party A is solvent")
    require(not party.open_quotes and not party.pending_quotes, "party A has still open positions")
    # The oracle caps uPnL as the settlement does. So the two never differ, and no liquidation is disputed here.
    require(liquidation.accumulated_upnl == liquidation.upnl, "the liquidation is disputed")
    settlements = dict(liquidation.settlements)
    amounts = []
    for hedger in hedgers:
        settlement = settlements.pop(hedger)
        pair = ledger.pairs[hedger, account]
        contract.emit(events.BALANCE_CHANGE_PARTY_B, hedger, account, settlement.cva, CVA_IN)
        paid = min(settlement.actual, pair.allocated + settlement.cva)
        change = REALIZED_PNL_IN if paid < 0 else REALIZED_PNL_OUT
        contract.emit(events.BALANCE_CHANGE_PARTY_B, hedger, account, abs(paid), change)
        ledger.pairs[hedger, account] = pair._replace(allocated=pair.allocated + settlement.cva - paid)
        amounts.append(paid)
    liquidation = liquidation._replace(settlements=tuple(settlements.items()))
    ledger.liquidations[account] = liquidation
    if not settlements:
        _end(contract, account)
    contract.emit(events.SETTLE_PARTY_A_LIQUIDATION, account, hedgers, tuple(amounts), liquidation.liquidation_id)
    if not settlements:
        contract.emit(events.FULLY_LIQUIDATED_PARTY_A, account, liquidation.liquidation_id)


def _end(contract: Contract, account: str) -> None:
    ledger = contract.ledger
    party, liquidation = ledger.party_as[account], ledger.liquidations[account]
    contract.emit(events.BALANCE_CHANGE_PARTY_A, account, party.allocated, REALIZED_PNL_OUT)
    ledger.put_party_a(
        account,
        party._replace(
            allocated=party.reimbursement, reimbursement=0, locked=Locked(), liquidated=False, nonce=party.nonce + 1
        ),
    )
    half = liquidation.fee // 2
    for liquidator in liquidation.liquidators if liquidation.fee else ():
        receiver = ledger.party_as[liquidator]
        ledger.put_party_a(liquidator, receiver._replace(allocated=receiver.allocated + half))
        contract.emit(events.BALANCE_CHANGE_PARTY_A, liquidator, half, LF_IN)
    ledger.liquidations[account] = liquidation._replace(severity=Severity.NONE, liquidators=())
