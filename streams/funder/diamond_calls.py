"""Encoding of the executor's calls to a SYMMIO Diamond (0.8.2 and later) and to party B's contract, and of the answers.

The layouts are from protocol-core's facets/FundingRate, facets/ViewFacet/ViewFacet.sol and storages/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from eth_abi.abi import encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from models.symmio.funding_plan import ChainQuote
from models.symmio.state import Balances, Locked, PositionType, QuoteStatus
from streams.node.abi import decode_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.symmio.funding_plan import Charge

_WORD = 32
SIGNATURE = "(bytes,uint256,int256,int256,bytes,(uint256,address,address))"
"""The ABI type of Muon's signature of a pair's uPnL."""

_CHARGE = ("address", "uint256[]", "int256[]", SIGNATURE)
# The members of Quote, as words from its beginning; later versions only append to it.
_SYMBOL_ID, _POSITION_TYPE, _OPENED_PRICE, _QUANTITY, _CLOSED_AMOUNT = 2, 3, 5, 9, 10
_MAX_FUNDING_RATE, _PARTY_A, _PARTY_B, _STATUS, _PAID = 19, 20, 21, 22, 29
_WORDS_OF_QUOTE = 32
# The one symbol of ``getSymbols``, as words from the answer's beginning.
_SYMBOL, _EPOCH, _WINDOW = 3, 10, 11
_ERROR = keccak(b"Error(string)")[:4]
_PANIC = keccak(b"Panic(uint256)")[:4]


class PairSignature(NamedTuple):
    """Muon's signature of both parties' uPnL (1e18-scaled, signed) at ``timestamp_s``, as the contract takes it."""

    req_id: bytes
    timestamp_s: int
    upnl_party_a: int
    upnl_party_b: int
    gateway_signature: bytes
    signature: int
    owner: str
    nonce: str

    @property
    def cells(self) -> tuple[object, ...]:
        """The members of the contract's ``PairUpnlSig``."""
        return (
            self.req_id,
            self.timestamp_s,
            self.upnl_party_a,
            self.upnl_party_b,
            self.gateway_signature,
            (self.signature, self.owner, self.nonce),
        )


def call_data(name: str, kinds: Sequence[str], values: Sequence[object]) -> bytes:
    """Encode a call of a function.

    Args:
        name: The function's name.
        kinds: The ABI types of its parameters.
        values: Its arguments, one for each type.
    """
    return keccak(f"{name}({','.join(kinds)})".encode())[:4] + encode(kinds, values)


def charge_data(party_a: str, charges: Sequence[Charge], signature: PairSignature) -> bytes:
    """Encode a call of ``chargeFundingRate``.

    Args:
        party_a: Address of the account that is charged.
        charges: What its quotes are charged.
        signature: Muon's signature of both parties' uPnL.
    """
    ids, rates = [charge.quote_id for charge in charges], [charge.rate_e18 for charge in charges]
    return call_data("chargeFundingRate", _CHARGE, (party_a, ids, rates, signature.cells))


def forward_data(data: bytes) -> bytes:
    """Encode party B's ``_call``, which forwards one call to the Diamond."""
    return call_data("_call", ("bytes[]",), ([data],))


def read_numbers(answer: bytes, count: int) -> tuple[int, ...]:
    """Read the first ``count`` words of an answer.

    Raises:
        ValueError: The answer is shorter.
    """
    if len(answer) < count * _WORD:
        msg = f"expected {count} words, found {len(answer)} bytes; is the Diamond's address right?"
        raise ValueError(msg)
    return tuple(int.from_bytes(answer[at : at + _WORD]) for at in range(0, count * _WORD, _WORD))


def read_balances(answer: bytes) -> Balances:
    """Read an answer of ``balanceInfoOfPartyA`` or ``balanceInfoOfPartyB``.

    Raises:
        ValueError: The answer is too short.
    """
    allocated, *rest = read_numbers(answer, 9)
    return Balances(allocated, Locked(*rest[:4]), Locked(*rest[4:]))


def read_quote(answer: bytes) -> ChainQuote:
    """Read an answer of ``getQuote``.

    Raises:
        ValueError: The answer is too short, or a number is out of its range.
    """
    words = read_numbers(answer[_WORD:], _WORDS_OF_QUOTE)
    return ChainQuote(
        quote_id=words[0],
        symbol_id=words[_SYMBOL_ID],
        position_type=PositionType(words[_POSITION_TYPE]),
        party_a=f"0x{words[_PARTY_A]:040x}",
        party_b=f"0x{words[_PARTY_B]:040x}",
        status=QuoteStatus(words[_STATUS]),
        opened_price=words[_OPENED_PRICE],
        open_amount=words[_QUANTITY] - words[_CLOSED_AMOUNT],
        max_funding_rate=words[_MAX_FUNDING_RATE],
        paid_s=words[_PAID],
    )


def symbol_view(symbol_id: int) -> tuple[str, Sequence[str], Sequence[object]]:
    """Name the view that answers one market.

    Args:
        symbol_id: Its id; ids are counted from 1, and pages of ``getSymbols`` from 0.
    """
    return "getSymbols", ("uint256", "uint256"), (symbol_id - 1, 1)


def read_kind(answer: bytes, symbol_id: int) -> tuple[int, int]:
    """Read a market's funding epoch and window, in s, from the answer of ``symbol_view``.

    Raises:
        ValueError: The answer is too short, or of another market.
    """
    words = read_numbers(answer, _WINDOW + 1)
    if words[_SYMBOL] != symbol_id:
        msg = f"expected market {symbol_id}, found {words[_SYMBOL]}"
        raise ValueError(msg)
    return words[_EPOCH], words[_WINDOW]


def revert_reason(data: bytes) -> str:
    """Read why a contract reverted; what is no UTF-8 in its text is replaced."""
    kind, rest = data[:4], data[4:]
    try:
        if kind == _ERROR:
            values: tuple[Any, ...] = decode_answer(["string"], rest)
            return str(values[0])
        if kind == _PANIC:
            values = decode_answer(["uint256"], rest)
            return f"panic 0x{values[0]:02x}"
    except (DecodingError, OverflowError):
        pass
    return f"0x{data[:68].hex()}" if data else "no reason"
