"""Records of the topic ``funding``: the terms of an epoch, the transactions that were sent, and what became of quotes.

The newest record of a key holds, so the topic is its own table. ``Frozen`` is written before the first transaction of
its epoch, and a ``Transaction`` before it goes to a node, so a reader of the topic knows everything that may have
reached the chain. Rates and prices are decimal texts of 1e18-scaled ints.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

import msgspec

from models.errors import BadRecord
from models.money import E18
from models.symmio.funding import FundingRates
from models.symmio.funding_plan import Charge, Terms, Window


class Epoch(NamedTuple):
    """A funding epoch of the markets with this duration and window, in s; it begins at ``pays_s``, Unix s."""

    epoch_s: int
    window_s: int
    pays_s: int

    def __str__(self) -> str:
        return f"{self.epoch_s}:{self.window_s}:{self.pays_s}"

    @property
    def next_opens_s(self) -> int:
        """From when on the contract takes a charge for the epoch after this one, Unix s."""
        return self.pays_s + self.epoch_s - self.window_s


class TickRef(NamedTuple):
    """A tick in ``price-ticks``, by its key, partition and offset; its event was at ``event_ms``, by the venue."""

    key: str
    partition: int
    offset: int
    event_ms: int

    @property
    def event(self) -> tuple[str, int]:
        """The event itself, wherever its tick stands: the source's key, and when it was, Unix ms by the venue."""
        return self.key, self.event_ms


class FrozenMarket(msgspec.Struct, frozen=True):
    """A market's terms for one epoch: the mark, its key, the exchange's rate, and our rates for longs and shorts.

    ``mark_tick`` and ``rate_tick`` are where mark and exchange's rate were said; ``interval_s`` is what the rate was
    scaled from, None where it was not. Records of before ticks were named have none of the three.
    """

    mark: str
    mark_key: str
    venue_rate: str
    long: str
    short: str
    mark_tick: TickRef | None = None
    rate_tick: TickRef | None = None
    interval_s: int | None = None

    def is_same(self, other: FrozenMarket, *, by_offset: bool) -> bool:
        """Whether a charge by either is the same, and, where both name ticks, is so by the same ticks.

        Args:
            other: The other one.
            by_offset: Whether the ticks of both are of one topic. In a copy of it they stand at other offsets.
        """
        if self.terms != other.terms or None in (self.mark_tick, other.mark_tick):
            return self.terms == other.terms
        pairs = (self.mark_tick, other.mark_tick), (self.rate_tick, other.rate_tick)
        if by_offset:
            return all(one == told for one, told in pairs)
        return all((one and one.event) == (told and told.event) for one, told in pairs)

    @property
    def terms(self) -> Terms:
        """The mark and rates as numbers."""
        return Terms(int(self.mark), FundingRates(int(self.long), int(self.short)))


class Frozen(msgspec.Struct, tag="frozen", tag_field="kind", frozen=True):
    """The terms of an epoch, as of the chain's time ``at_s``; it is charged from ``opens_s`` to ``closes_s``.

    ``tables_s`` is the chain's time up to which the accounts were folded: before ``opens_s``, quotes may be missing.
    ``left_out`` has the markets with open quotes that are not charged, each with the reason. ``accounts`` is the number
    of ``Plan`` records of the epoch. ``party_b`` is the hedger, empty in records of before there could be several. The
    epoch is ``final`` once no block that may still leave the chain can change its plans, and all its outcomes are so.
    ``ticks_topic`` is the topic that the offsets of its ticks are of, empty in records of before it was named.
    """

    epoch: Epoch
    opens_s: int
    closes_s: int
    at_s: int
    tables_s: int
    markets: dict[int, FrozenMarket]
    left_out: dict[int, str]
    accounts: int
    party_b: str = ""
    final: bool = False
    ticks_topic: str = ""

    @property
    def window(self) -> Window:
        """When the epoch is charged."""
        return Window(self.epoch.epoch_s, self.epoch.pays_s, self.opens_s, self.closes_s)


class Plan(msgspec.Struct, tag="plan", tag_field="kind", frozen=True):
    """All quotes of one account with the hedger, (quote id, symbol id) each, that were open at the epoch's instant.

    Quotes of markets that are left out are among them, so that each of them has an outcome. ``late`` are those of which
    the tables came to know only after the window had closed, and which were open until then.
    """

    epoch: Epoch
    party_a: str
    quotes: tuple[tuple[int, int], ...]
    party_b: str = ""
    late: tuple[int, ...] = ()


class ChargeCells(NamedTuple):
    """A charge in a transaction: the quote, the epoch, the rate, and the rate without the quote's own maximum.

    ``symbol_id`` is the quote's market, 0 in records of before it was named.
    """

    quote_id: int
    epoch: Epoch
    rate: str
    wanted: str
    symbol_id: int = 0


class Transaction(msgspec.Struct, tag="transaction", tag_field="kind", frozen=True):
    """The transactions that were signed under one nonce of the signer: the first one and its replacements.

    ``state`` is ``sent`` from before the first one goes to a node, then ``mined``, ``reverted``, ``cancelled`` where a
    transfer of nothing took the nonce, or ``lost`` where somebody else's transaction seems to have taken it. It may
    change until it is ``final``, which is when the block that used the nonce is as deep as the deployment's finality.
    After ``expires_s`` the contract does not take the signature that they carry; None where that is not known.
    ``raw`` is the one that was signed last. ``hashes`` are those of the charges, ``cancels`` those of transfers of
    nothing. After ``closes_s``, in the chain's time, the charges are of no use. ``signed_s`` is the chain's time when
    the first one was signed, ``gas`` its limit. ``worst_wei`` is the most that any of them can cost, of which
    ``data_wei`` is not for gas, ``cost_wei`` what the one in the chain did cost, None of one that
    is lost. ``left_block`` is the block with which one of them left the chain last. ``moved_e18`` is the sum of what is
    charged, in the collateral, whoever pays it; ``coin_e18`` is what the chain's coin was taken to be worth in it, None
    where that was not configured.
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
    gas: int = 0
    signed_s: int = 0
    expires_s: int | None = None
    worst_wei: str = "0"
    data_wei: str = "0"
    cost_wei: str | None = None
    left_block: int | None = None
    moved_e18: str = "0"
    coin_e18: str | None = None
    final: bool = False


def spent_s(sent: Transaction) -> int:
    """When a transaction counts as spent, Unix s: when its window closes, since no endpoint decides that by its clock.

    Args:
        sent: The transaction. One without a window counts from when it was signed.
    """
    return sent.closes_s or sent.signed_s


class Outcome(msgspec.Struct, tag="outcome", tag_field="kind", frozen=True):
    """What became of one account's quotes in an epoch: each quote of its plan is in exactly one of five members.

    ``paid`` are charged. ``free`` are quotes with nothing to pay. ``closed`` were not open any more when their turn
    came, ``culprits`` would make a batch revert, and ``missed`` could not be charged before the window closed and never
    will be; each of these has the reason. Beside that, ``clipped`` has (rate, wanted rate) of quotes whose own maximum
    made the rate smaller. It may change with the chain until it is ``final``.
    """

    epoch: Epoch
    party_a: str
    paid: tuple[int, ...]
    free: tuple[int, ...]
    clipped: dict[int, tuple[str, str]]
    culprits: dict[int, str]
    missed: dict[int, str]
    closed: dict[int, str] = {}
    final: bool = False
    party_b: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many quotes there are of each kind; their sum is the number of the plan's quotes."""
        return {name: len(getattr(self, name)) for name in KINDS}

    @property
    def quotes(self) -> list[int]:
        """The ids of all quotes, in order; one that was told twice is there twice."""
        return sorted(quote_id for name in KINDS for quote_id in getattr(self, name))


BPS = 10_000
"""Shares are told in hundredths of a per cent."""


def share_bps(cost_wei: int, coin_e18: int | None, moved_e18: int) -> int | None:
    """A cost as a share of what is charged; None where nothing is, or the coin's worth is not known.

    Args:
        cost_wei: The cost.
        coin_e18: What the chain's coin is worth in the collateral, 1e18-scaled.
        moved_e18: What is charged, in the collateral, 1e18-scaled.
    """
    if coin_e18 is None or not moved_e18:
        return None
    return cost_wei * coin_e18 * BPS // (moved_e18 * E18)


KINDS = ("paid", "free", "closed", "culprits", "missed")
"""What may become of a quote, by the members of ``Outcome``."""


NOBODY = "no executor was there"


class Missed(msgspec.Struct, tag="missed", tag_field="kind", frozen=True):
    """A window that closed without any charge, with the reason; it is never charged."""

    epoch: Epoch
    opens_s: int
    closes_s: int
    party_b: str = ""
    reason: str = NOBODY


class Refused(msgspec.Struct, tag="refused", tag_field="kind", frozen=True):
    """An epoch that is not charged for now, and why: ``Missed`` has that reason if its window closes like that."""

    epoch: Epoch
    opens_s: int
    closes_s: int
    party_b: str
    reason: str

    @property
    def window(self) -> Window:
        """When the epoch could be charged."""
        return Window(self.epoch.epoch_s, self.epoch.pays_s, self.opens_s, self.closes_s)


class Settled(msgspec.Struct, tag="settled", tag_field="kind", frozen=True):
    """What was written before ``since_ms``, in Unix ms, is of no more use to whoever charges."""

    since_ms: int


class CeilingMet(msgspec.Struct, tag="ceiling", tag_field="kind", frozen=True):
    """A ceiling of fees, spending or gas that kept something from being sent; ``signer`` is whose spending it bounds.

    It was met from ``since_s`` to ``until_s``, None while it still is, in the chain's time. ``said`` has the figures.
    """

    signer: str
    ceiling: str
    said: str
    since_s: int
    until_s: int | None = None


Record = Frozen | Plan | Transaction | Outcome | Missed | Refused | Settled | CeilingMet

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Encode a record as JSON with its ``kind``."""
    return _encoder.encode(record)


def decode_record(value: bytes | None) -> Record:
    """Decode a record of ``funding``.

    Raises:
        BadRecord: ``value`` is not such a record.
    """
    try:
        return _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a record of funding, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error


def record_key(deployment: str, record: Record) -> bytes:
    """Make the key of a record: the deployment, the kind, and what the record is of."""
    match record:
        case Frozen(epoch=epoch):
            rest = f"epoch:{epoch}{_of(record.party_b)}"
        case Refused(epoch=epoch):
            rest = f"refused:{epoch}{_of(record.party_b)}"
        case Settled():
            rest = "settled"
        case Missed(epoch=epoch):
            rest = f"missed:{epoch}{_of(record.party_b)}"
        case Plan(epoch=epoch, party_a=party_a):
            rest = f"plan:{epoch}:{party_a}{_of(record.party_b)}"
        case Outcome(epoch=epoch, party_a=party_a):
            rest = f"outcome:{epoch}:{party_a}{_of(record.party_b)}"
        case Transaction(signer=signer, nonce=nonce):
            rest = f"transaction:{signer}:{nonce}"
        case CeilingMet(signer=signer, ceiling=ceiling):
            rest = f"ceiling:{signer}:{ceiling}"
        case _:
            assert_never(record)
    return f"{deployment}:{rest}".encode()


def _of(party_b: str) -> str:
    return f":{party_b}" if party_b else ""


def cells_of(charge: Charge, epoch: Epoch, symbol_id: int) -> ChargeCells:
    """Make the cells of a charge that a record holds."""
    return ChargeCells(charge.quote_id, epoch, str(charge.rate_e18), str(charge.wanted_e18), symbol_id)
