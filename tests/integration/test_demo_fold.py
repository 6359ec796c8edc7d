"""Tidemark's fold of the simulator's logs, held against every view of the simulator's contract: two witnesses."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode, encode

from models.chain_records import RawLog
from models.symmio.abi import abi_of, decode_log
from models.symmio.fold import fold
from models.symmio.state import EMPTY, NOTHING, AccountState, Balances, Quote
from tidemark.demo import views
from tidemark.demo.chain import Block, Chain
from tidemark.demo.ledger import Past
from tidemark.demo.market import Market
from tidemark.demo.multi_account import selector

_NINE = ["uint256"] * 9


class _Folded:
    """Every account's state, by the plainest routing there is."""

    def __init__(self) -> None:
        self.accounts: dict[str, AccountState] = {}
        self.owner_of_quote: dict[int, str] = {}

    def take(self, block: Block) -> None:
        log_index = 0
        for tx_index, transaction in enumerate(block.transactions):
            logs = []
            for log in transaction:
                tx = block.transaction_hash(tx_index)
                logs.append(RawLog(log.address, tuple(log.topics()), log.data(), tx, tx_index, log_index))
                log_index += 1
            self._transaction(block.number, logs)

    def _transaction(self, block: int, logs: list[RawLog]) -> None:
        seen = {log.topics[0] for log in logs}
        by_account: dict[str, list[Any]] = {}
        opened_for = ""
        for log in logs:
            abi = abi_of(log)
            if abi.entry.treatment.value != "folded" or seen & set(abi.duplicate_of):
                continue
            event: Any = decode_log(log)
            account = getattr(event, "party_a", None) or getattr(event, "account", None)
            if account is None:
                account = self.owner_of_quote.get(event.quote_id, opened_for)
            if (quote_id := getattr(event, "quote_id", None)) is not None:
                self.owner_of_quote[quote_id] = opened_for = account
            by_account.setdefault(account, []).append(event)
        for account, events in by_account.items():
            self.accounts[account] = fold(self.accounts.get(account, EMPTY), events, block)


@pytest.fixture(scope="module")
def compared() -> tuple[Chain, dict[int, dict[str, AccountState]]]:
    chain = Chain(1, 1_795_000_000, Market(1))
    chain.grow_to(2_400, forks=False)
    folded, at = _Folded(), {}
    for number in range(2_401):
        block = chain.block(number)
        assert block is not None
        folded.take(block)
        if number in (120, 1_000, 1_777, 2_400):
            at[number] = dict(folded.accounts)
    return chain, at


def _view(chain: Chain, block: int, signature: str, results: list[str], *values: object) -> tuple[Any, ...]:
    kinds = [kind for kind in signature.partition("(")[2].removesuffix(")").split(",") if kind]
    data = selector(signature) + encode(kinds, values)
    return decode(results, views.call(Past(chain.ledger, block), (), chain.contract.address, data))


def _balances(balances: Balances) -> tuple[int, ...]:
    return (balances.allocated, *balances.locked, *balances.pending)


def _seen(quote: Quote, account: str) -> tuple[Any, ...]:
    return (
        quote.quote_id,
        quote.whitelist,
        quote.symbol_id,
        quote.position_type,
        quote.order_type,
        quote.opened_price,
        quote.initial_opened_price,
        quote.requested_open_price,
        quote.market_price,
        quote.quantity,
        quote.closed_amount,
        tuple(quote.initial_locked),
        tuple(quote.locked),
        account,
        quote.party_b,
        quote.status,
        quote.avg_closed_price,
        quote.requested_close_price,
        quote.quantity_to_close,
        quote.parent_id,
        quote.deadline_s,
        quote.trading_fee,
    )


def _told(view: tuple[Any, ...]) -> tuple[Any, ...]:
    """What ``getQuote`` answers without what no log says: the largest funding rate, times, the affiliate."""
    return (*view[:13], *view[14:21], *view[24:26])


@pytest.mark.parametrize("block", [120, 1_000, 1_777, 2_400])
def test_the_fold_agrees_with_every_view(
    compared: tuple[Chain, dict[int, dict[str, AccountState]]], block: int
) -> None:
    chain, at = compared
    accounts = at[block]
    quotes = {quote_id: (account, q) for account, state in accounts.items() for quote_id, q in state.quotes.items()}
    hedgers = chain.population.hedgers

    assert [] == [
        account
        for account, state in accounts.items()
        if _balances(state.balances) != _view(chain, block, "balanceInfoOfPartyA(address)", _NINE, account)
    ]
    assert [] == [
        (hedger, account)
        for account, state in accounts.items()
        for hedger in hedgers
        if _balances(state.party_b.get(hedger, Balances(0, NOTHING, NOTHING)))
        != _view(chain, block, "balanceInfoOfPartyB(address,address)", _NINE, hedger, account)
    ]
    assert [] == [
        account
        for account, state in accounts.items()
        if (state.liquidating,) != _view(chain, block, "isPartyALiquidated(address)", ["bool"], account)
    ]
    last_id = _view(chain, block, "getNextQuoteId()", ["uint256"])[0]
    assert list(range(1, last_id + 1)) == sorted(quotes)
    for quote_id, (account, quote) in quotes.items():
        told = _told(_view(chain, block, "getQuote(uint256)", [views.QUOTE], quote_id)[0])
        assert told == _seen(quote, account)


def test_the_fold_knows_every_account_by_owner_and_name(
    compared: tuple[Chain, dict[int, dict[str, AccountState]]],
) -> None:
    chain, at = compared
    named = {
        (state.multi_account, state.owner, account, state.name)
        for account, state in at[2_400].items()
        if state.owner is not None
    }

    assert named == {
        (multi_account, user, entry.address, entry.name)
        for multi_account, user in chain.ledger.sub_accounts
        for entry in chain.ledger.sub_accounts[multi_account, user]
    }
    assert 200 == len(named)
