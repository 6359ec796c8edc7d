"""What an account's worth depends on: its balances and its open positions.

It is a view of the account's row. The fold needs the whole state; a valuation needs this, and reads it straight out of
the encoded row for a quarter of what decoding the state costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import orjson

from models.chain import Position as LogPosition  # noqa: TC001 - msgspec resolves the annotations at run time
from models.codec import ORDER_BYTES
from models.errors import BadRow
from models.symmio.state import EMPTY, OPEN_STATUSES, Balances, Locked, PositionType
from models.symmio.state_codec import encode_state

if TYPE_CHECKING:
    from collections.abc import Mapping


class OpenPosition(NamedTuple):
    """A quote of status 4, 5 or 6, as far as it is worth something; ``open_amount`` is what is not closed of it."""

    quote_id: int
    symbol_id: int
    position_type: PositionType
    party_b: str
    opened_price: int
    open_amount: int


class Holding(NamedTuple):
    """An account as of ``applied``, in what it holds. Amounts and prices are 1e18-scaled.

    ``allocated_by`` is what each party B has allocated to its bucket with the account; ``positions`` are in order of
    their quote ids; ``unsettled`` says whether a rollback could change the row, or finality finish one of its quotes.
    """

    applied: LogPosition
    version: int
    block: int
    time_s: int
    is_suspect: bool
    is_nobody: bool
    unsettled: bool
    owner: str | None
    liquidating: bool
    balances: Balances
    allocated_by: Mapping[str, int]
    positions: tuple[OpenPosition, ...]


class _QuoteCells(msgspec.Struct):
    quote_id: int
    symbol_id: int
    position_type: int
    status: int
    party_b: str
    opened_price: str
    quantity: str
    closed_amount: str
    terminal_block: int | None


class _StateCells(msgspec.Struct):
    owner: str | None
    liquidating: bool
    balances: tuple[str, tuple[str, str, str, str], tuple[str, str, str, str]]
    party_b: dict[str, tuple[str, msgspec.Raw, msgspec.Raw]]
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
_NOBODY_STATE = orjson.loads(orjson.dumps(encode_state(EMPTY)))


def decode_holding(value: bytes, version: int) -> Holding:
    """Read a holding out of a row of the ``accounts`` table.

    Args:
        value: The row, its ``ORDER_BYTES`` included.
        version: The row's version.

    Raises:
        BadRow: It is no row of an account.
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
            # Equal states encode to equal cells, so that nobody is found without decoding everybody.
            is_nobody=cells.block == -1 and orjson.loads(body)["state"] == _NOBODY_STATE,
            unsettled=bool(cells.undo) or any(quote.terminal_block is not None for quote in state.quotes),
            owner=state.owner,
            liquidating=state.liquidating,
            balances=_balances(state.balances),
            allocated_by={party_b: int(bucket[0]) for party_b, bucket in state.party_b.items()},
            positions=tuple(_position(quote) for quote in state.quotes if quote.status in OPEN_STATUSES),
        )
    except (msgspec.DecodeError, ValueError) as error:
        msg = f"expected a row of an account, found {value!r:.200} ({error})"
        raise BadRow(msg) from error


def _balances(cells: Any) -> Balances:  # noqa: ANN401 - the shape is _StateCells.balances
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
