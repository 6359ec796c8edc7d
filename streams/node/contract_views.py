"""The contracts' view functions, as SYMMIO 0.8.3 and 0.8.4 declare them: how to call each and read its answer.

Facts are from protocol-core's facets/ViewFacet/ViewFacet.sol, storages/ and multiAccount/MultiAccount.sol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from eth_abi.abi import encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from models.chain_records import PartyBView, QuoteView, SymbolView
from streams.node.abi import decode_answer
from streams.node.answers import read_bytes, read_quantity
from streams.node.rpc import BadAnswer, NoContract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.node.endpoints import Question
    from streams.node.rpc import Call

_ZERO_ADDRESS = "0x" + "0" * 40
_WORD = 32
_LOCKED = "(uint256,uint256,uint256,uint256)"
_QUOTE_0_8_3 = (
    "uint256,address[],uint256,uint8,uint8,uint256,uint256,uint256,uint256,uint256,uint256,"
    f"{_LOCKED},{_LOCKED},uint256,address,address,uint8,uint256,uint256,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256"
)
# 0.8.4 appends the affiliate. The offset of the whitelist, the one dynamic member, tells how many words come first.
_QUOTE_0_8_4 = f"{_QUOTE_0_8_3},address"
_HEAD_BYTES_0_8_4 = 33 * _WORD
_SYMBOL = "(uint256,string,bool,uint256,uint256,uint256,uint256,uint256,uint256)"
_BALANCES = ["uint256"] * 9
# partyAReimbursement has no view: member 14 of AccountStorage, which only ever grew at its end.
_REIMBURSEMENT_SLOT = int.from_bytes(keccak(b"diamond.standard.storage.account")) + 14


class PartyAStats(NamedTuple):
    """Whether an account is under liquidation, and how many open positions it has."""

    is_liquidated: bool
    positions: int


class OwnedQuote(NamedTuple):
    """A quote and the account (partyA) it belongs to."""

    account: str
    view: QuoteView


class NamedAccount(NamedTuple):
    """A sub-account and the name its owner gave it."""

    account: str
    name: str


class ContractViews:
    """Questions to one deployment's contracts about their state after ``block``."""

    def __init__(self, diamond: str, block: int | Literal["latest"]) -> None:
        self._diamond = diamond
        self._block = block if block == "latest" else hex(block)

    def last_quote_id(self) -> Question[int]:
        """``getNextQuoteId``: despite its name, the highest id in use."""
        return self._call("getNextQuoteId()", ()), lambda answer: int(_decode(["uint256"], answer)[0])

    def quote(self, quote_id: int) -> Question[OwnedQuote]:
        """``getQuote``."""
        return self._call("getQuote(uint256)", (quote_id,)), _read_quote

    def open_positions(self, account: str, start: int, size: int) -> Question[list[OwnedQuote]]:
        """Ask for a page of an account's open positions, by ``getPartyAOpenPositions``.

        Args:
            account: The account's address.
            start: Number of the first position, from 0 up to how many there are.
            size: How many at most.
        """
        return self._call("getPartyAOpenPositions(address,uint256,uint256)", (account, start, size)), _read_quotes

    def pending_quote_ids(self, account: str) -> Question[list[int]]:
        """``getPartyAPendingQuotes``."""
        return self._call("getPartyAPendingQuotes(address)", (account,)), lambda answer: list(
            _decode(["uint256[]"], answer)[0]
        )

    def stats(self, account: str) -> Question[PartyAStats]:
        """``partyAStats``, of which the liquidation status and the number of positions are read."""

        def read(answer: object) -> PartyAStats:
            values = _decode(["bool", *["uint256"] * 13], answer)
            return PartyAStats(values[0], values[10])

        return self._call("partyAStats(address)", (account,)), read

    def balances(self, account: str) -> Question[tuple[str, ...]]:
        """``balanceInfoOfPartyA``: nine decimal texts."""
        return self._call("balanceInfoOfPartyA(address)", (account,)), _read_balances

    def party_b_balances(self, party_b: str, account: str) -> Question[PartyBView]:
        """``balanceInfoOfPartyB``."""
        return self._call("balanceInfoOfPartyB(address,address)", (party_b, account)), lambda answer: PartyBView(
            party_b, _read_balances(answer)
        )

    def reimbursement(self, account: str) -> Question[str]:
        """What a liquidation in progress will give back; read from storage, since no view tells it."""
        slot = keccak(encode(["address", "uint256"], [account, _REIMBURSEMENT_SLOT]))
        call: Call = ("eth_getStorageAt", [self._diamond, "0x" + slot.hex(), self._block])
        return call, lambda answer: str(_read_word(answer))

    def symbols(self, start: int, size: int) -> Question[list[SymbolView]]:
        """``getSymbols``; ``start`` counts from 0 and is at most the number of symbols."""

        def read(answer: object) -> list[SymbolView]:
            return [
                SymbolView(
                    symbol_id=symbol_id,
                    name=name,
                    is_valid=is_valid,
                    min_acceptable_quote_value=str(min_value),
                    min_acceptable_portion_lf=str(min_portion),
                    trading_fee=str(fee),
                    max_leverage=str(leverage),
                    funding_rate_epoch_duration_s=epoch_s,
                    funding_rate_window_s=window_s,
                )
                for symbol_id, name, is_valid, min_value, min_portion, fee, leverage, epoch_s, window_s in _decode(
                    [f"{_SYMBOL}[]"], answer
                )[0]
            ]

        return self._call("getSymbols(uint256,uint256)", (start, size)), read

    def owner_of(self, multi_account: str, account: str) -> Question[str | None]:
        """The owner of a sub-account, None where ``multi_account`` did not make it."""

        def read(answer: object) -> str | None:
            owner = str(_decode(["address"], answer)[0])
            return None if owner == _ZERO_ADDRESS else owner

        return self._call("owners(address)", (account,), multi_account), read

    def accounts_length(self, multi_account: str, owner: str) -> Question[int]:
        """How many sub-accounts ``owner`` has at ``multi_account``."""
        return self._call("getAccountsLength(address)", (owner,), multi_account), lambda answer: int(
            _decode(["uint256"], answer)[0]
        )

    def accounts(self, multi_account: str, owner: str, start: int, size: int) -> Question[list[NamedAccount]]:
        """Ask for a page of an owner's sub-accounts.

        Args:
            multi_account: Address of the MultiAccount that made them.
            owner: Address of the wallet that owns them.
            start: Number of the first one, from 0 up to how many there are.
            size: How many at most.
        """
        call = self._call("getAccounts(address,uint256,uint256)", (owner, start, size), multi_account)
        return call, lambda answer: [
            NamedAccount(account, name) for account, name in _decode(["(address,string)[]"], answer)[0]
        ]

    def _call(self, signature: str, arguments: Sequence[object], contract: str | None = None) -> Call:
        types = signature[signature.index("(") + 1 : -1]
        data = keccak(signature.encode())[:4] + encode(types.split(",") if types else [], arguments)
        return "eth_call", [{"to": contract or self._diamond, "data": "0x" + data.hex()}, self._block]


def _bytes(answer: object) -> bytes:
    if answer == "0x":
        msg = "expected a view's answer, found nothing; check the contract's address and that the node has the block"
        raise NoContract(msg)
    return read_bytes(answer)


def _read_word(answer: object) -> int:
    """Read a word of storage, which some nodes spell as a number; no bytes at all are no answer."""
    if answer == "0x":
        msg = "expected a word of storage, found nothing; check the contract's address and that the node has the block"
        raise NoContract(msg)
    return read_quantity(answer)


def _decode(types: Sequence[str], answer: object) -> tuple[Any, ...]:
    try:
        return decode_answer(types, _bytes(answer))
    except (DecodingError, OverflowError) as error:
        msg = f"expected an answer of {','.join(types)[:80]}, found {str(answer)[:80]}: {error}"
        raise BadAnswer(msg) from error


def _read_balances(answer: object) -> tuple[str, ...]:
    return tuple(map(str, _decode(_BALANCES, answer)))


def _read_quote(answer: object) -> OwnedQuote:
    (quote,) = _decode([f"({_quote_type(_bytes(answer), 1)})"], answer)
    return _owned_quote(quote)


def _read_quotes(answer: object) -> list[OwnedQuote]:
    data = _bytes(answer)
    # Words: offset of the array, its length, offsets of its members counted from here.
    first_member = 2 + _word(data, 2) // _WORD
    (quotes,) = _decode([f"({_quote_type(data, first_member)})[]"], answer)
    return [_owned_quote(quote) for quote in quotes]


def _quote_type(data: bytes, first_word: int) -> str:
    return _QUOTE_0_8_4 if _word(data, first_word + 1) == _HEAD_BYTES_0_8_4 else _QUOTE_0_8_3


def _word(data: bytes, index: int) -> int:
    return int.from_bytes(data[index * _WORD : (index + 1) * _WORD])


def _owned_quote(quote: Sequence[Any]) -> OwnedQuote:
    (quote_id, whitelist, symbol_id, position_type, order_type, opened, initial_opened, requested_open, market,
     quantity, closed, initial_locked, locked, max_funding_rate, party_a, party_b, status, avg_closed, requested_close,
     quantity_to_close, parent_id, _created, _modified, _funded, deadline_s, trading_fee) = quote[:26]  # fmt: skip
    return OwnedQuote(
        party_a,
        QuoteView(
            quote_id=quote_id,
            symbol_id=symbol_id,
            position_type=position_type,
            order_type=order_type,
            status=status,
            party_b=party_b,
            whitelist=tuple(whitelist),
            requested_open_price=str(requested_open),
            market_price=str(market),
            opened_price=str(opened),
            initial_opened_price=str(initial_opened),
            quantity=str(quantity),
            closed_amount=str(closed),
            avg_closed_price=str(avg_closed),
            requested_close_price=str(requested_close),
            quantity_to_close=str(quantity_to_close),
            locked=_four(locked),
            initial_locked=_four(initial_locked),
            trading_fee=str(trading_fee),
            deadline_s=str(deadline_s),
            parent_id=parent_id,
            max_funding_rate=str(max_funding_rate),
        ),
    )


def _four(values: Sequence[int]) -> tuple[str, str, str, str]:
    cva, lf, party_a_mm, party_b_mm = map(str, values)
    return cva, lf, party_a_mm, party_b_mm
