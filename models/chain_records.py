"""Records of the ``chain-blocks`` topic: what a node said, before anything is interpreted. Key: the deployment's name.

Hashes, addresses, topics and data are lower-case ``0x`` hex. Amounts are decimal texts of the contract's own integers.
The order of a deployment's records in its partition is the order of its chain as ingest saw it.
"""

from __future__ import annotations

import msgspec

from models.errors import BadRecord


class RawLog(msgspec.Struct, frozen=True):
    """One log as ``eth_getLogs`` gave it; ``tx`` is the transaction's hash."""

    address: str
    topics: tuple[str, ...]
    data: str
    tx: str
    tx_index: int
    log_index: int


class Block(msgspec.Struct, tag="block", tag_field="kind", frozen=True):
    """A block's header and the logs of the Diamond and the MultiAccount contracts in it, by log index."""

    number: int
    hash: str
    parent: str
    time_s: int
    logs: tuple[RawLog, ...]


class Watermark(msgspec.Struct, tag="watermark", tag_field="kind", frozen=True):
    """Every log up to ``head`` is in the topic; nothing at or below ``final`` will be rolled back."""

    head: int
    head_time_s: int
    final: int


class Rollback(msgspec.Struct, tag="rollback", tag_field="kind", frozen=True):
    """Blocks above ``ancestor`` are no longer on the chain; those of the surviving branch follow."""

    ancestor: int
    hash: str


class SymbolView(msgspec.Struct, frozen=True):
    """One symbol as ``getSymbols`` answered."""

    symbol_id: int
    name: str
    is_valid: bool
    min_acceptable_quote_value: str
    min_acceptable_portion_lf: str
    trading_fee: str
    max_leverage: str
    funding_rate_epoch_duration_s: int
    funding_rate_window_s: int


class Join(msgspec.Struct, tag="join", tag_field="kind", frozen=True):
    """The deployment is joined at ``block``: a Checkpoint for every account follows, then ``Joined``.

    ``enumerated`` is False where logs could not be searched: an account that never quoted may then have no checkpoint.
    """

    block: int
    hash: str
    time_s: int
    symbols: tuple[SymbolView, ...]
    enumerated: bool = True


class Joined(msgspec.Struct, tag="joined", tag_field="kind", frozen=True):
    """Every account's checkpoint of the join at ``block`` is in the topic; the logs of later blocks follow."""

    block: int
    accounts: int


class QuoteView(msgspec.Struct, frozen=True):
    """One open or pending quote as ``getQuote`` answered; amounts are decimal texts of 1e18-scaled integers."""

    quote_id: int
    symbol_id: int
    position_type: int
    order_type: int
    status: int
    party_b: str
    whitelist: tuple[str, ...]
    requested_open_price: str
    market_price: str
    opened_price: str
    initial_opened_price: str
    quantity: str
    closed_amount: str
    avg_closed_price: str
    requested_close_price: str
    quantity_to_close: str
    locked: tuple[str, str, str, str]
    initial_locked: tuple[str, str, str, str]
    trading_fee: str
    deadline_s: str
    parent_id: int
    max_funding_rate: str


class PartyBView(msgspec.Struct, frozen=True):
    """``balanceInfoOfPartyB(party_b, account)``: allocated, locked (cva, lf, amm, bmm), pending (the same four)."""

    party_b: str
    balances: tuple[str, ...]


class Checkpoint(msgspec.Struct, tag="checkpoint", tag_field="kind", frozen=True):
    """One account as the contract's own views answered at ``block``; replaces whatever was folded before.

    ``balances`` is ``balanceInfoOfPartyA``: allocated, locked (cva, lf, amm, bmm), pending (the same four).
    ``owner``, ``multi_account`` and ``name`` are null where no configured MultiAccount names the account.
    """

    block: int
    hash: str
    time_s: int
    account: str
    owner: str | None
    multi_account: str | None
    name: str | None
    balances: tuple[str, ...]
    liquidated: bool
    reimbursement: str
    party_bs: tuple[PartyBView, ...]
    quotes: tuple[QuoteView, ...]


ChainRecord = Block | Watermark | Rollback | Join | Joined | Checkpoint

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[ChainRecord] = msgspec.json.Decoder(ChainRecord)


def encode_chain_record(record: ChainRecord) -> bytes:
    """Encode a record as JSON with its ``kind``."""
    return _encoder.encode(record)


def decode_chain_record(value: bytes) -> ChainRecord:
    """Decode a record.

    Raises:
        BadRecord: ``value`` is no record of ``chain-blocks``.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a chain-blocks record, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error


Position = tuple[int, int]
"""Where in ``chain-blocks`` something stands: (record offset, transaction index; -1 for a whole record)."""
