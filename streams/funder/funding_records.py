"""Records of the topic ``funding``: what an epoch is charged with, what was sent, and what came of it.

The newest record of a key is what holds, so the topic is a table of itself. ``Frozen`` is written before the first
transaction of its epoch, a ``Transaction`` before it goes to a node: whoever reads the topic knows of everything that
may have reached the chain. Rates and prices are decimal texts of 1e18-scaled ints.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

import msgspec

from models.errors import BadRecord
from models.symmio.funding import FundingRates
from models.symmio.funding_plan import Charge, Terms, Window


class Epoch(NamedTuple):
    """Which funding epoch of which markets: those of this duration and window; it begins at ``pays_s``, Unix s."""

    epoch_s: int
    window_s: int
    pays_s: int

    def __str__(self) -> str:
        return f"{self.epoch_s}:{self.window_s}:{self.pays_s}"


class FrozenMarket(msgspec.Struct, frozen=True):
    """A market's terms for one epoch: the mark, where it is from, the exchange's rate, and ours for both sides."""

    mark: str
    mark_key: str
    venue_rate: str
    long: str
    short: str

    @property
    def terms(self) -> Terms:
        """The mark and rates as numbers."""
        return Terms(int(self.mark), FundingRates(int(self.long), int(self.short)))


class Frozen(msgspec.Struct, tag="frozen", tag_field="kind", frozen=True):
    """The terms of an epoch, as of the chain's time ``at_s``; it is charged from ``opens_s`` to ``closes_s``.

    ``tables_s`` is the chain's time up to which the accounts were folded: a quote opened after it is not charged.
    ``left_out`` says of markets with open quotes why they are not charged. ``accounts`` is the number of ``Plan``
    records that go with it.
    """

    epoch: Epoch
    opens_s: int
    closes_s: int
    at_s: int
    tables_s: int
    markets: dict[int, FrozenMarket]
    left_out: dict[int, str]
    accounts: int

    @property
    def window(self) -> Window:
        """When the epoch is charged."""
        return Window(self.epoch.epoch_s, self.epoch.pays_s, self.opens_s, self.closes_s)


class Plan(msgspec.Struct, tag="plan", tag_field="kind", frozen=True):
    """The quotes of one account, (quote id, symbol id) each, that were open when the epoch was frozen."""

    epoch: Epoch
    party_a: str
    quotes: tuple[tuple[int, int], ...]


class ChargeCells(NamedTuple):
    """A charge of a transaction: of which epoch, the rate, and what it would be without the quote's own maximum."""

    quote_id: int
    epoch: Epoch
    rate: str
    wanted: str


class Transaction(msgspec.Struct, tag="transaction", tag_field="kind", frozen=True):
    """What was signed under one nonce of the signer; a replacement has the same nonce and is added to ``hashes``.

    ``state`` is ``sent`` from before it goes to a node, then ``mined``, ``reverted``, ``cancelled`` (a transfer of
    nothing took the nonce) or ``lost`` (a transaction of somebody else did). ``raw`` is the last one signed.
    ``closes_s`` is when it is of no more use.
    """

    signer: str
    nonce: int
    party_a: str
    charges: tuple[ChargeCells, ...]
    state: str
    closes_s: int
    raw: str
    hashes: tuple[str, ...]
    cancels: tuple[str, ...] = ()
    max_fee_wei: str = "0"
    tip_wei: str = "0"
    block: int | None = None
    block_hash: str | None = None
    gas_used: int | None = None


class Outcome(msgspec.Struct, tag="outcome", tag_field="kind", frozen=True):
    """What became of one account's quotes in an epoch.

    ``free`` are quotes with nothing to pay, ``culprits`` those for whose own sake a batch would revert, with the
    reason; ``clipped`` those whose own maximum made the rate smaller, (rate, wanted) each; ``missed`` those that could
    not be charged before the window closed, and never will be, with what stood in the way.
    """

    epoch: Epoch
    party_a: str
    paid: tuple[int, ...]
    free: tuple[int, ...]
    clipped: dict[int, tuple[str, str]]
    culprits: dict[int, str]
    missed: dict[int, str]


class Missed(msgspec.Struct, tag="missed", tag_field="kind", frozen=True):
    """A window that closed without any charge, because no executor was there; it is never charged."""

    epoch: Epoch
    opens_s: int
    closes_s: int


Record = Frozen | Plan | Transaction | Outcome | Missed

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Encode a record as JSON with its ``kind``."""
    return _encoder.encode(record)


def decode_record(value: bytes | None) -> Record:
    """Decode a record of ``funding``.

    Raises:
        BadRecord: It is none.
    """
    try:
        return _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a record of funding, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error


def record_key(deployment: str, record: Record) -> bytes:
    """Key of a record: the deployment, then what it is of."""
    match record:
        case Frozen(epoch=epoch):
            rest = f"epoch:{epoch}"
        case Missed(epoch=epoch):
            rest = f"missed:{epoch}"
        case Plan(epoch=epoch, party_a=party_a):
            rest = f"plan:{epoch}:{party_a}"
        case Outcome(epoch=epoch, party_a=party_a):
            rest = f"outcome:{epoch}:{party_a}"
        case Transaction(signer=signer, nonce=nonce):
            rest = f"transaction:{signer}:{nonce}"
        case _:
            assert_never(record)
    return f"{deployment}:{rest}".encode()


def cells_of(charge: Charge, epoch: Epoch) -> ChargeCells:
    """The charge as a record holds it."""
    return ChargeCells(charge.quote_id, epoch, str(charge.rate_e18), str(charge.wanted_e18))
