"""The part of an account's row that a valuation needs: balances, buckets with parties B, open and pending quotes.

A valuation reads it straight out of the encoded row, which costs a quarter of decoding the whole state for the fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import orjson

from models.chain_records import LogOffset  # noqa: TC001 - msgspec resolves the annotations at run time
from models.codec import ORDER_BYTES
from models.errors import BadRow
from models.symmio.state import EMPTY, OPEN_STATUSES, PENDING_STATUSES, ZERO_ADDRESS, Balances, Locked, PositionType
from models.symmio.state_codec import encode_state

if TYPE_CHECKING:
    from collections.abc import Mapping


class OpenPosition(NamedTuple):
    """A position: what a valuation needs of a quote of status 4, 5 or 6.

    ``open_amount`` is what is not closed of it.
    """

    quote_id: int
    symbol_id: int
    position_type: PositionType
    party_b: str
    opened_price: int
    open_amount: int


class PendingQuote(NamedTuple):
    """A quote of status 0, 1 or 2.

    ``party_b`` is None before a lock. ``whitelist`` names the parties B that may lock the quote; where it is empty, all
    may.
    """

    quote_id: int
    symbol_id: int
    position_type: PositionType
    party_b: str | None
    whitelist: tuple[str, ...]
    requested_open_price: int
    quantity: int


BucketCells = tuple[str, tuple[str, str, str, str], tuple[str, str, str, str]]
"""A party B's bucket with an account, as decimal texts of a row: allocated, locked values, pending values."""


class Holding(NamedTuple):
    """What an account holds as of ``applied``. Amounts and prices are 1e18-scaled.

    ``owner``, ``multi_account`` and ``name`` are those of its AddAccount event. ``buckets`` has the bucket of each
    party B with the account, in order of the parties' addresses, and ``allocated_by`` what is allocated in each.
    ``positions`` and ``pending_quotes`` are in order of their quote ids. ``unsettled`` says whether a rollback can
    still change the row, or a watermark still remove one of its finished quotes.
    """

    applied: LogOffset
    version: int
    block: int
    time_s: int
    is_suspect: bool
    is_no_account: bool
    unsettled: bool
    owner: str | None
    multi_account: str | None
    name: str | None
    liquidating: bool
    balances: Balances
    allocated_by: Mapping[str, int]
    buckets: Mapping[str, BucketCells]
    positions: tuple[OpenPosition, ...]
    pending_quotes: tuple[PendingQuote, ...]


class _QuoteCells(msgspec.Struct):
    quote_id: int
    symbol_id: int
    position_type: int
    status: int
    party_b: str
    whitelist: tuple[str, ...]
    requested_open_price: str
    opened_price: str
    quantity: str
    closed_amount: str
    terminal_block: int | None


class _StateCells(msgspec.Struct):
    owner: str | None
    multi_account: str | None
    name: str | None
    liquidating: bool
    balances: BucketCells
    party_b: dict[str, BucketCells]
    quotes: list[_QuoteCells]


class _RowCells(msgspec.Struct):
    applied: tuple[int, int]
    block: int
    time_s: int
    state: _StateCells
    undo: list[msgspec.Raw]
    suspect: msgspec.Raw


_decoder = msgspec.json.Decoder(_RowCells)
_NONE = b"null"
_SIDES = tuple(PositionType)
_EMPTY_STATE = orjson.loads(orjson.dumps(encode_state(EMPTY)))


def decode_holding(value: bytes, version: int) -> Holding:
    """Read a holding out of a row of the ``accounts`` table.

    Args:
        value: The row, its ``ORDER_BYTES`` included.
        version: The row's version.

    Raises:
        BadRow: ``value`` is not a row of an account.
    """
    body = memoryview(value)[ORDER_BYTES:]
    try:
        cells = _decoder.decode(body)
        state = cells.state
        return Holding(
            applied=cells.applied,
            version=version,
            block=cells.block,
            time_s=cells.time_s,
            is_suspect=bytes(cells.suspect) != _NONE,
            # Equal states encode to equal cells, so an empty state is found without decoding every state.
            is_no_account=cells.block == -1 and orjson.loads(body)["state"] == _EMPTY_STATE,
            unsettled=bool(cells.undo) or any(quote.terminal_block is not None for quote in state.quotes),
            owner=state.owner,
            multi_account=state.multi_account,
            name=state.name,
            liquidating=state.liquidating,
            balances=_balances(state.balances),
            allocated_by={party_b: int(bucket[0]) for party_b, bucket in state.party_b.items()},
            buckets=state.party_b,
            positions=tuple(_position(quote) for quote in state.quotes if quote.status in OPEN_STATUSES),
            pending_quotes=tuple(_pending(quote) for quote in state.quotes if quote.status in PENDING_STATUSES),
        )
    except (msgspec.DecodeError, ValueError) as error:
        msg = f"expected a row of an account, found {value!r:.200} ({error})"
        raise BadRow(msg) from error


def balances_of_bucket(buckets: Mapping[str, BucketCells], party_b: str) -> Balances:
    """Read a party B's balances with an account; nothing where it has no bucket."""
    return _balances(buckets[party_b]) if party_b in buckets else Balances()


def _balances(cells: BucketCells) -> Balances:
    allocated, (cva, lf, party_amm, party_bmm), (pending_cva, pending_lf, pending_amm, pending_bmm) = cells
    return Balances(
        int(allocated),
        Locked(int(cva), int(lf), int(party_amm), int(party_bmm)),
        Locked(int(pending_cva), int(pending_lf), int(pending_amm), int(pending_bmm)),
    )


def _position(quote: _QuoteCells) -> OpenPosition:
    return OpenPosition(
        quote.quote_id,
        quote.symbol_id,
        _SIDES[quote.position_type],
        quote.party_b,
        int(quote.opened_price),
        int(quote.quantity) - int(quote.closed_amount),
    )


def _pending(quote: _QuoteCells) -> PendingQuote:
    return PendingQuote(
        quote.quote_id,
        quote.symbol_id,
        _SIDES[quote.position_type],
        None if quote.party_b == ZERO_ADDRESS else quote.party_b,
        quote.whitelist,
        int(quote.requested_open_price),
        int(quote.quantity),
    )
