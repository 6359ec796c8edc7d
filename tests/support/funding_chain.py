"""A chain with the part of the Diamond that charges funding, in this process: blocks, a pool and forks.

Beside charges, quotes are opened and closed in its blocks, and a fork moves that into other ones, or loses it.

It is a contract of its own, written by what SYMMIO's FundingRateFacet requires. Blocks come by the time of the event
loop, which a test lets jump. Its endpoints are in ``funding_endpoint.py``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from eth_abi.abi import decode
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_hash.auto import keccak
from hexbytes import HexBytes

from models.account_events import Transaction as AccountEvents
from streams.funder.diamond_calls import SIGNATURE
from tests.support.symmio import log

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from models.chain_records import RawLog

E18, GWEI = 10**18, 10**9
DIAMOND = "0x" + "d1" * 20
CHAIN_ID = 1
VALID_S = 60
OPEN = 4
_OPEN, _CLOSED = range(4, 7), 7
# What a fork does to openings and closings: whether a closing is in the new blocks too, and how many blocks later.
_CLOSES_AGAIN, _MOVED_BLOCKS = 0.6, (-4, -1, 0, 0, 1, 6)
_CHARGE_GAS, _EACH_GAS = 50_000, 10_000
_CHARGE_KINDS = ("address", "uint256[]", "int256[]", SIGNATURE)


class Refusal(Exception):
    """The contract's own reason."""


class Charged(NamedTuple):
    """A charge of a quote: the rate, the epoch that took it, the block's time, and the opened price before it."""

    rate_e18: int
    epoch_s: int
    time_s: int
    price: int


class Act(NamedTuple):
    """What somebody does to a quote: it opens, or it closes."""

    quote_id: int
    opens: bool


@dataclass
class OnChain:
    """A quote as the contract has it."""

    quote_id: int
    symbol_id: int
    is_long: bool
    party_a: str
    party_b: str
    price: int
    max_rate: int
    status: int = 4
    paid_s: int = 0
    charged: list[Charged] = field(default_factory=list)

    def copy(self) -> OnChain:
        return replace(self, charged=[*self.charged])


@dataclass
class State:
    quotes: dict[int, OnChain]
    # Funding epoch and window of the one market, in s.
    kind: tuple[int, int]
    nonces: dict[str, int] = field(default_factory=dict)
    senders: dict[str, int] = field(default_factory=dict)

    def copy(self) -> State:
        """A state of its own, to which a block may do something. copy.deepcopy() took a quarter of a test's time."""
        quotes = {quote_id: one.copy() for quote_id, one in self.quotes.items()}
        return State(quotes, self.kind, {**self.nonces}, {**self.senders})


@dataclass
class Block:
    number: int
    hash: str
    time_s: int
    base_wei: int
    state: State
    receipts: dict[str, dict[str, Any]]
    sent: list[str]
    acts: list[Act]


class FundingChain:
    """The chain itself.

    Args:
        quotes: What is open at the beginning.
        unborn: What may be opened later.
        began_s: The time of its first block, Unix s.
        epoch_s: The markets' funding epoch, s.
        window_s: The markets' window, s.
        draw: Decides hashes; two forks never have the same block.
    """

    def __init__(
        self,
        quotes: Sequence[OnChain],
        *,
        began_s: int,
        epoch_s: int,
        window_s: int,
        draw: random.Random,
        unborn: Sequence[OnChain] = (),
    ) -> None:
        self._draw = draw
        self._unborn = {one.quote_id: one for one in unborn}
        # What is done to quotes, each with the number of the first block that has it.
        self._acts: list[tuple[int, Act]] = []
        self._events: dict[str, list[tuple[str, AccountEvents]]] = {}
        self._began_s = began_s
        # What the market has from the next block on.
        self.kind = epoch_s, window_s
        self.refused: dict[int, str] = {}
        self.base_wei, self.suggested_wei = 2 * GWEI, GWEI // 10
        self.is_stalled = False
        self._pool: dict[str, TypedTransaction] = {}
        self._raws: dict[str, str] = {}
        state = State({one.quote_id: one.copy() for one in quotes}, self.kind)
        self.blocks = [Block(0, self._hash(), began_s, self.base_wei, state, {}, [], [])]

    @property
    def now_s(self) -> int:
        """The time that the next block would have."""
        return max(self._began_s + int(asyncio.get_running_loop().time()), self.blocks[-1].time_s + 1)

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    async def run(self) -> None:
        """Make a block a second, until cancelled."""
        while True:
            await asyncio.sleep(1)
            if not self.is_stalled:
                self.mine()

    def mine(self, acting: Sequence[tuple[str, str]] = (), time_s: int | None = None) -> None:
        """Make one block of what the pool has and pays for.

        Args:
            acting: Pairs of B and A for which somebody acts before that.
            time_s: The block's time where it is not now, Unix s; it is later than that of the one before all the same.
        """
        at_s = self.now_s if time_s is None else max(time_s, self.head.time_s + 1)
        state = self.head.state.copy()
        state.kind = self.kind
        for party_b, party_a in acting:
            for one in (f"{party_b} {party_a}", party_a):
                state.nonces[one] = state.nonces.get(one, 0) + 1
        block = Block(len(self.blocks), self._hash(), at_s, self.base_wei, state, {}, [], [])
        self._act(block)
        while (found := self._best(state)) is not None:
            self._include(block, *found)
        self.blocks.append(block)

    def fork(self, blocks: int, *, forgets: bool, acting: Sequence[tuple[str, str]]) -> None:
        """Let the newest blocks leave the chain; what was in them is mined again, unless the nodes forget it.

        Args:
            blocks: How many.
            forgets: Whether the nodes forget what was in them.
            acting: Pairs of B and A for which somebody acts before that: their signatures are stale then.
        """
        left = self.blocks[-blocks:] if blocks < len(self.blocks) else self.blocks[1:]
        del self.blocks[len(self.blocks) - len(left) :]
        for block in left:
            for one in block.sent:
                if not forgets:
                    self._pool[one] = _decoded(self._raws[one])
            for act in block.acts:
                # Who opens does so again; what closed a quote may be gone for good.
                if act.opens or self._draw.random() < _CLOSES_AGAIN:
                    number = block.number + self._draw.choice(_MOVED_BLOCKS)
                    self._acts.append((max(left[0].number, number), act))
        # A fork takes over by being longer. Its blocks have times of their own, near those of what they replace.
        for number, block in enumerate(left):
            self.mine(acting if number == 0 else (), block.time_s + self._draw.choice((0, 0, 1)))
        self.mine()

    def send(self, raw: str) -> str:
        """Take a transaction into the pool.

        Raises:
            Refusal: The pool does not take it.
        """
        one = _decoded(raw)
        sent = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
        fields, sender = one.as_dict(), _sender_of(raw)
        if sent in self._pool or any(sent in block.receipts for block in self.blocks):
            msg = "already known"
            raise Refusal(msg)
        if fields["nonce"] < self.head.state.senders.get(sender, 0):
            msg = "nonce too low"
            raise Refusal(msg)
        for other, standing in list(self._pool.items()):
            told = standing.as_dict()
            if (_sender_of(self._raws[other]), told["nonce"]) == (sender, fields["nonce"]):
                if any(fields[name] * 10 < told[name] * 11 for name in ("maxFeePerGas", "maxPriorityFeePerGas")):
                    msg = "replacement transaction underpriced"
                    raise Refusal(msg)
                del self._pool[other]
        self._pool[sent], self._raws[sent] = one, raw
        return sent

    def do(self, act: Act) -> None:
        """Let the next block open a quote that there is not yet, or close one."""
        self._acts.append((0, act))

    def events(self) -> list[tuple[str, AccountEvents]]:
        """What the log has of the chain as it is: each account's records, by its address."""
        return [found for block in self.blocks for found in self._events_of(block)]

    def _events_of(self, block: Block) -> list[tuple[str, AccountEvents]]:
        if block.hash not in self._events:
            logs: list[tuple[str, RawLog]] = []
            for quote_id, opens in block.acts:
                quote = block.state.quotes[quote_id]
                parties = quote_id, quote.party_a, quote.party_b
                event = (
                    log("OpenPosition", *parties, E18, quote.price)
                    if opens
                    else log("EmergencyClosePosition", *parties, E18, quote.price, _CLOSED, 1)
                )
                logs.append((quote.party_a, event))
            for quote in block.state.quotes.values():
                logs += [
                    (quote.party_a, log("ChargeFundingRate", quote.party_b, quote.party_a, [quote.quote_id], [rate]))
                    for rate, _, time_s, _ in quote.charged
                    if time_s == block.time_s
                ]
            self._events[block.hash] = [
                (account, AccountEvents((block.number, index), block.number, block.time_s, block.hash, (one,)))
                for index, (account, one) in enumerate(logs)
            ]
        return self._events[block.hash]

    def moved_s(self, *, opens: bool) -> dict[int, int]:
        """When each quote was opened, or closed, in the chain as it is, Unix s; without those of before its blocks."""
        return {act.quote_id: block.time_s for block in self.blocks for act in block.acts if act.opens == opens}

    def forget_pool(self) -> None:
        """Lose what waits, as nodes do that start again."""
        self._pool.clear()

    def is_pooled(self, sent: str) -> bool:
        """Whether a transaction waits, by its hash."""
        return sent in self._pool

    def receipt(self, sent: str, blocks: Sequence[Block]) -> dict[str, Any] | None:
        """Find the receipt of a transaction in some blocks."""
        return next((block.receipts[sent] for block in blocks if sent in block.receipts), None)

    def charge(self, state: State, sender: str, data: bytes, time_s: int) -> None:
        """Do what ``chargeFundingRate`` does.

        Raises:
            Refusal: The contract would revert.
        """
        party_a, quote_ids, rates, signature = decode(_CHARGE_KINDS, data[4:])
        pair = f"{sender} {party_a.lower()}"
        if time_s > signature[1] + VALID_S:
            msg = "the signature has expired"
            raise Refusal(msg)
        if signature[0] != _signed(state, sender, party_a.lower()):
            msg = "the signature is not of this state"
            raise Refusal(msg)
        for quote_id, rate in zip(quote_ids, rates, strict=True):
            self._charge_one(state.quotes.get(quote_id), pair, rate, time_s, state.kind)
        for one in (pair, party_a.lower()):
            state.nonces[one] = state.nonces.get(one, 0) + 1

    def _charge_one(self, quote: OnChain | None, pair: str, rate: int, time_s: int, kind: tuple[int, int]) -> None:
        if quote is None or f"{quote.party_b} {quote.party_a}" != pair:
            msg = "not a quote of the pair"
            raise Refusal(msg)
        for is_wrong, msg in (
            (quote.status not in _OPEN, "the quote is not open"),
            (quote.quote_id in self.refused, self.refused.get(quote.quote_id, "")),
            (abs(rate) > quote.max_rate, "the rate is above the quote's maximum"),
        ):
            if is_wrong:
                raise Refusal(msg)
        duration_s, window_s = kind
        latest_s = time_s // duration_s * duration_s
        epoch_s = latest_s if time_s <= latest_s + window_s else latest_s + duration_s
        if time_s > latest_s + window_s and time_s + window_s < epoch_s:
            msg = "outside of the window"
            raise Refusal(msg)
        if epoch_s <= quote.paid_s:
            msg = "the epoch is paid"
            raise Refusal(msg)
        quote.paid_s = epoch_s
        quote.charged.append(Charged(rate, epoch_s, time_s, quote.price))
        moved = quote.price * abs(rate) // E18
        quote.price += moved if (rate >= 0) == quote.is_long else -moved

    def _act(self, block: Block) -> None:
        """Do to the quotes what is to be done by this block; what cannot be done any more is not."""
        waiting: list[tuple[int, Act]] = []
        for number, act in self._acts:
            quote = block.state.quotes.get(act.quote_id)
            if number > block.number or (quote is None and not act.opens):
                waiting.append((number, act))
            elif quote is None:
                block.state.quotes[act.quote_id] = self._unborn[act.quote_id].copy()
                block.acts.append(act)
            elif not act.opens and quote.status in _OPEN:
                quote.status = _CLOSED
                block.acts.append(act)
        self._acts = waiting

    def _best(self, state: State) -> tuple[str, TypedTransaction, str] | None:
        for sent, one in sorted(self._pool.items(), key=lambda item: -item[1].as_dict()["maxPriorityFeePerGas"]):
            fields, sender = one.as_dict(), _sender_of(self._raws[sent])
            if fields["maxFeePerGas"] >= self.base_wei and fields["nonce"] == state.senders.get(sender, 0):
                return sent, one, sender
        return None

    def _include(self, block: Block, sent: str, one: TypedTransaction, sender: str) -> None:
        del self._pool[sent]
        fields = one.as_dict()
        block.state.senders[sender] = fields["nonce"] + 1
        status, data = 1, bytes(fields["data"])
        gas = min(gas_of(data), fields["gas"])
        if gas < gas_of(data):
            status = 0
        elif data:
            tried = block.state.copy()
            try:
                self.charge(tried, sender, data, block.time_s)
            except Refusal:
                status = 0
            else:
                block.state = tried
        price_wei = min(fields["maxFeePerGas"], block.base_wei + fields["maxPriorityFeePerGas"])
        block.sent.append(sent)
        block.receipts[sent] = {
            "transactionHash": sent,
            "blockNumber": hex(block.number),
            "blockHash": block.hash,
            "status": hex(status),
            "gasUsed": hex(gas),
            "effectiveGasPrice": hex(price_wei),
        }

    def paid(self, sender: str) -> list[tuple[dict[str, Any], dict[str, Any], int]]:
        """Everything that a sender paid for: its fields, its receipt, and the time of its block."""
        return [
            (_decoded(self._raws[one]).as_dict(), block.receipts[one], block.time_s)
            for block in self.blocks
            for one in block.sent
            if _sender_of(self._raws[one]) == sender
        ]

    def _hash(self) -> str:
        return f"0x{self._draw.getrandbits(256):064x}"


def signed_state(chain: FundingChain, party_b: str, party_a: str) -> bytes:
    """What a gateway signs of a pair: its nonces."""
    return _signed(chain.head.state, party_b, party_a)


def _signed(state: State, party_b: str, party_a: str) -> bytes:
    return f"{state.nonces.get(f'{party_b} {party_a}', 0)} {state.nonces.get(party_a, 0)}".encode()


def _decoded(raw: str) -> TypedTransaction:
    return TypedTransaction.from_bytes(HexBytes(raw))


_SENDERS: dict[str, str] = {}


def _sender_of(raw: str) -> str:
    if raw not in _SENDERS:
        _SENDERS[raw] = Account.recover_transaction(raw).lower()
    return _SENDERS[raw]


def gas_of(data: bytes) -> int:
    """The gas that a transaction with this data takes."""
    return _CHARGE_GAS + _EACH_GAS * (len(data) // 64) if data else 21_000
