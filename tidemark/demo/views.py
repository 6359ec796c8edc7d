"""``eth_call`` of the simulator: the view functions of the Diamond and the MultiAccounts, at any block."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from models.errors import TidemarkError
from tidemark.demo.ledger import ZERO_ADDRESS, Past, Symbol
from tidemark.demo.multi_account import selector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tidemark.demo.ledger import Ledger, PartyA, Quote

    View = Callable[..., tuple[Any, ...]]

_LOCKED = "(uint256,uint256,uint256,uint256)"
QUOTE = (
    f"(uint256,address[],uint256,uint8,uint8,uint256,uint256,uint256,uint256,uint256,uint256,{_LOCKED},{_LOCKED},"
    "uint256,address,address,uint8,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,address)"
)
_SYMBOL = "(uint256,string,bool,uint256,uint256,uint256,uint256,uint256,uint256)"
_BALANCE_INFO = ",".join(["uint256"] * 9)


class CallReverted(TidemarkError):
    """The call would revert: no such function, or arguments that do not decode."""


def call(past: Past, multi_accounts: Iterable[str], to: str, data: bytes) -> bytes:
    """Answer a call of a view.

    Args:
        past: The ledger at the block asked for.
        multi_accounts: Which addresses are MultiAccounts; every other one answers as the Diamond does.
        to: The called contract, lower case.
        data: Selector and arguments.

    Returns:
        The ABI-encoded result.

    Raises:
        CallReverted: The function is none of the views, or its arguments do not decode.
    """
    table, target = (_MULTI_ACCOUNT, _MultiAccountViews(past, to)) if to in multi_accounts else (_DIAMOND, past)
    found = table.get(data[:4])
    if found is None:
        msg = f"expected a call of one of the simulator's views, found selector 0x{data[:4].hex()} to {to}"
        raise CallReverted(msg)
    arguments, results, view = found
    try:
        values = decode(arguments, data[4:])
    except DecodingError as error:
        msg = f"expected arguments ({','.join(arguments)}), found 0x{data[4:].hex()[:128]}: {error}"
        raise CallReverted(msg) from error
    return encode(results, view(target, *values))


def stored_at(past: Past, ledger: Ledger, slot: int) -> int:
    """Read a word of the Diamond's storage: an account's reimbursement, which no view tells.

    Args:
        past: The ledger at the block that is asked for.
        ledger: The ledger, which knows all accounts.
        slot: The word's place, 0 to 2^256 - 1.

    Returns:
        The word; 0 for any other slot.
    """
    known = (account for account in ledger.party_as if _reimbursement_slot(account) == slot)
    account = next(known, None)
    return 0 if account is None else past.party_as[account].reimbursement


@cache
def _reimbursement_slot(account: str) -> int:
    # partyAReimbursement is member 14 of the contract's AccountStorage.
    base = int.from_bytes(keccak(b"diamond.standard.storage.account")) + 14
    return int.from_bytes(keccak(encode(["address", "uint256"], [account, base])))


def _party_a_sums(party: PartyA) -> tuple[int, ...]:
    return (party.allocated, *party.locked, *party.pending)


def _quote(quote: Quote | None) -> tuple[Any, ...]:
    # All fields but the close id, which the contract stores apart.
    return _NO_QUOTE if quote is None else quote[:-1]


_NO_QUOTE = (0, (), *[0] * 9, (0,) * 4, (0,) * 4, 0, ZERO_ADDRESS, ZERO_ADDRESS, *[0] * 10, ZERO_ADDRESS)


def _page(items: tuple[Any, ...], start: int, size: int) -> tuple[Any, ...]:
    return items[start : start + size]


def _sent_by(past: Past, account: str) -> tuple[int, ...]:
    ids = range(1, past.counters["quote"] + 1)
    return tuple(i for i in ids if (quote := past.quotes[i]) is not None and quote.party_a == account)


def _quotes(past: Past, ids: Iterable[int]) -> tuple[Any, ...]:
    return tuple(_quote(past.quotes[i]) for i in ids)


def _party_a_stats(past: Past, account: str) -> tuple[Any, ...]:
    party = past.party_as[account]
    counts = (len(party.open_quotes), len(party.pending_quotes), party.nonce, party.quotes_sent)
    return (party.liquidated, *_party_a_sums(party), *counts)


def _balance_info_of_party_b(past: Past, hedger: str, account: str) -> tuple[Any, ...]:
    pair = past.pairs[hedger, account]
    return (pair.allocated, *pair.locked, *pair.pending)


def _symbols(past: Past) -> tuple[Symbol, ...]:
    return tuple(s for i in range(1, past.counters["symbol"] + 1) if (s := past.symbols[i]) is not None)


def _close_id(past: Past, quote_id: int) -> int:
    quote = past.quotes[quote_id]
    return 0 if quote is None else quote.close_id


class _MultiAccountViews:
    def __init__(self, past: Past, address: str) -> None:
        self._past = past
        self._address = address

    def accounts(self, user: str, start: int, size: int) -> tuple[Any, ...]:
        return (_page(self._past.sub_accounts[self._address, user], start, size),)

    def count(self, user: str) -> tuple[Any, ...]:
        return (len(self._past.sub_accounts[self._address, user]),)

    def owner(self, account: str) -> tuple[Any, ...]:
        return (self._past.owners[self._address, account],)


_Table = dict[bytes, tuple[tuple[str, ...], tuple[str, ...], "View"]]


def _table(*views: tuple[str, str, View]) -> _Table:
    table: _Table = {}
    for signature, results, view in views:
        arguments = signature.partition("(")[2].removesuffix(")")
        table[selector(signature)] = (tuple(arguments.split(",")) if arguments else (), _split(results), view)
    return table


def _split(results: str) -> tuple[str, ...]:
    return (results,) if "(" in results else tuple(results.split(","))


_DIAMOND = _table(
    ("balanceOf(address)", "uint256", lambda p, user: (p.balances[user],)),
    ("partyAStats(address)", f"bool,{_BALANCE_INFO},uint256,uint256,uint256,uint256", _party_a_stats),
    ("balanceInfoOfPartyA(address)", _BALANCE_INFO, lambda p, a: _party_a_sums(p.party_as[a])),
    ("balanceInfoOfPartyB(address,address)", _BALANCE_INFO, _balance_info_of_party_b),
    ("allocatedBalanceOfPartyA(address)", "uint256", lambda p, a: (p.party_as[a].allocated,)),
    ("allocatedBalanceOfPartyB(address,address)", "uint256", lambda p, b, a: (p.pairs[b, a].allocated,)),
    (
        "allocatedBalanceOfPartyBs(address,address[])",
        "uint256[]",
        lambda p, a, bs: ([p.pairs[b, a].allocated for b in bs],),
    ),
    ("nonceOfPartyA(address)", "uint256", lambda p, a: (p.party_as[a].nonce,)),
    ("nonceOfPartyB(address,address)", "uint256", lambda p, b, a: (p.pairs[b, a].nonce,)),
    ("isPartyALiquidated(address)", "bool", lambda p, a: (p.party_as[a].liquidated,)),
    ("getSymbol(uint256)", _SYMBOL, lambda p, i: (p.symbols[i] or Symbol(0, "", False, 0, 0, 0, 0, 0, 0),)),  # noqa: FBT003
    ("getSymbols(uint256,uint256)", f"{_SYMBOL}[]", lambda p, start, size: (_page(_symbols(p), start, size),)),
    ("getQuote(uint256)", QUOTE, lambda p, i: (_quote(p.quotes[i]),)),
    (
        "getQuotes(address,uint256,uint256)",
        f"{QUOTE}[]",
        lambda p, a, start, size: (_quotes(p, _page(_sent_by(p, a), start, size)),),
    ),
    (
        "quoteIdsOf(address,uint256,uint256)",
        "uint256[]",
        lambda p, a, start, size: (_page(_sent_by(p, a), start, size),),
    ),
    ("quotesLength(address)", "uint256", lambda p, a: (p.party_as[a].quotes_sent,)),
    ("partyAPositionsCount(address)", "uint256", lambda p, a: (len(p.party_as[a].open_quotes),)),
    ("partyBPositionsCount(address,address)", "uint256", lambda p, b, a: (len(p.pairs[b, a].open_quotes),)),
    (
        "getPartyAOpenPositions(address,uint256,uint256)",
        f"{QUOTE}[]",
        lambda p, a, start, size: (_quotes(p, _page(p.party_as[a].open_quotes, start, size)),),
    ),
    (
        "getPartyBOpenPositions(address,address,uint256,uint256)",
        f"{QUOTE}[]",
        lambda p, b, a, start, size: (_quotes(p, _page(p.pairs[b, a].open_quotes, start, size)),),
    ),
    ("getPartyAPendingQuotes(address)", "uint256[]", lambda p, a: (p.party_as[a].pending_quotes,)),
    ("getPartyBPendingQuotes(address,address)", "uint256[]", lambda p, b, a: (p.pairs[b, a].pending_quotes,)),
    ("getNextQuoteId()", "uint256", lambda p: (p.counters["quote"],)),
    ("getQuoteCloseId(uint256)", "uint256", lambda p, i: (_close_id(p, i),)),
)

_MULTI_ACCOUNT = _table(
    ("getAccounts(address,uint256,uint256)", "(address,string)[]", _MultiAccountViews.accounts),
    ("getAccountsLength(address)", "uint256", _MultiAccountViews.count),
    ("owners(address)", "address", _MultiAccountViews.owner),
)
