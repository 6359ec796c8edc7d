"""One account's charges between a pair of parties, a gateway that signs and a sender, all held by a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_abi.abi import decode

from models.money import E18
from models.symmio.funding import FundingRates
from models.symmio.funding_plan import ChainQuote, ChargeOn, Terms, Window
from models.symmio.funding_records import ChargeCells, Epoch, Transaction
from models.symmio.state import Balances, Locked, PositionType, QuoteStatus
from streams.funder.account_charges import AccountCharges, Due, Progress, Route
from streams.funder.ceilings import TooMuchGas
from streams.funder.chain_errors import Reverted
from streams.funder.chain_view import Chain, Moment, Pair
from streams.funder.clocks import Times, times_of
from streams.funder.diamond_calls import PairSignature
from streams.funder.flights import State
from streams.funder.muon import Muon
from streams.funder.sender import Purpose, Sender
from streams.node.endpoints import Node
from streams.process.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

PARTY_A, PARTY_B, DIAMOND = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "d1" * 20
EPOCH = Epoch(14_400, 420, 14_400)
WINDOW = Window(14_400, 14_400, 14_400, 14_820)
VALID_S = 60
TERMS = Terms(100 * E18, FundingRates(-E18 // 1_000, E18 // 2_000))
SIGNATURE = ["bytes", "uint256", "int256", "int256", "bytes", "(uint256,address,address)"]


def quote(quote_id: int, *, paid_s: int = 0, status: QuoteStatus = QuoteStatus.OPENED) -> ChainQuote:
    return ChainQuote(quote_id, 1, PositionType.LONG, PARTY_A, PARTY_B, status, 100 * E18, E18, E18 // 100, paid_s)


class HeldPair(Chain):
    """The contract's answers: ``cursed`` maps a quote to the reason for which a batch with it reverts."""

    def __init__(self, quotes: Sequence[ChainQuote]) -> None:
        super().__init__(Node("main", (), 1), DIAMOND, SystemClock())
        self.now_s = 14_500
        self.behind_s = 0
        self.known = {one.quote_id: one for one in quotes}
        self.allocated = 10 * E18
        self.liquidating = False
        self.moves = 0
        self.valid_s = VALID_S
        self.cursed: dict[int, str] = {}
        self.nonce = 0
        self.moves_elsewhere = False
        self.asked_since: list[int] = []
        self.is_contradicted = False
        self.closes: set[int] = set()
        self.illegible: set[int] = set()
        # The quotes that endpoints differ about.
        self.unsure: set[int] = set()
        self.elsewhere = self.known
        self.changed: frozenset[int] = frozenset()
        self.enough_now = 2

    @property
    def enough(self) -> int:
        return self.enough_now

    async def times(self) -> Times:
        return times_of([self.now_s, self.now_s - self.behind_s])

    async def moment(self, kinds: Mapping[int, tuple[int, int]]) -> Moment:
        assert {(EPOCH.epoch_s, EPOCH.window_s)} >= {*kinds.values()}
        return Moment(await self.agreed_time_s(), self.changed & kinds.keys())

    async def pair(self, party_a: str, party_b: str, quote_ids: Sequence[int]) -> Pair:
        assert (PARTY_A, PARTY_B) == (party_a, party_b)
        self._expect_readable(quote_ids)
        balances = Balances(self.allocated, Locked(0, 0, 0, 0))
        quotes = {quote_id: self.known[quote_id] for quote_id in quote_ids if quote_id not in self.unsure}
        return Pair((self.nonce, self.nonce), self.liquidating, balances, balances, self.valid_s, quotes)

    async def quotes(self, quote_ids: Sequence[int]) -> dict[int, ChainQuote]:
        self._expect_readable(quote_ids)
        return {quote_id: self.known[quote_id] for quote_id in quote_ids}

    def _expect_readable(self, quote_ids: Sequence[int]) -> None:
        if self.illegible & {*quote_ids}:
            msg = "execution reverted"
            raise Reverted(msg, "#1")

    async def nonces(self, party_a: str, party_b: str) -> tuple[int, int]:
        assert (PARTY_A, PARTY_B) == (party_a, party_b)
        if self.moves:
            self.moves -= 1
            self.nonce += 1
            self.cursed.pop(-1, None)
        return self.nonce, self.nonce

    async def refusal(self, sender: str, to: str, data: bytes) -> str | None:
        assert (PARTY_B, DIAMOND) == (sender, to)
        for one in self.closes & self.cursed.keys():
            self.known[one] = quote(one, status=QuoteStatus.CLOSED)
        return next((self.cursed[one] for one in (-1, *quote_ids(data)) if one in self.cursed), None)

    async def has_moved(self, party_a: str, party_b: str, nonces: tuple[int, int], since_block: int) -> bool:
        assert (PARTY_A, PARTY_B) == (party_a, party_b)
        self.asked_since.append(since_block)
        return self.moves_elsewhere or nonces != (self.nonce, self.nonce)

    async def quotes_by_each(self, quote_ids: Sequence[int]) -> list[dict[int, ChainQuote]]:
        return [{quote_id: known[quote_id] for quote_id in quote_ids} for known in (self.known, self.elsewhere)]

    async def is_refused(self, sender: str, to: str, data: bytes) -> bool:
        if self.is_contradicted:
            # The endpoint that refused catches up.
            self.cursed.clear()
            return False
        return await self.refusal(sender, to, data) is not None


def quote_ids(data: bytes) -> tuple[int, ...]:
    _, ids, *_ = decode(["address", "uint256[]", "int256[]", f"({','.join(SIGNATURE)})"], data[4:])
    found: tuple[int, ...] = ids
    return found


class Signing(Muon):
    """Signs at once; ``upnl`` is party A's and party B's."""

    def __init__(self, chain: HeldPair) -> None:
        self._held = chain
        self.signed = 0
        self.upnl = (0, 0)
        self.age_s = 0

    @property
    def last_s(self) -> int:
        """Until when the contract takes what is signed now."""
        return self._held.now_s - self.age_s + VALID_S

    async def sign(self, party_a: str, party_b: str) -> PairSignature:
        assert (PARTY_A, PARTY_B) == (party_a, party_b)
        self.signed += 1
        timestamp_s = self._held.now_s - self.age_s
        return PairSignature(b"", timestamp_s, *self.upnl, b"", 1, "0x" + "11" * 20, "0x" + "22" * 20)


class Sending(Sender):
    """Every transaction becomes what the test says next, and is mined where it says nothing."""

    def __init__(self) -> None:
        self.ends: list[State] = []
        # The quotes with which a transaction reverts though it was not refused, and why the signer's call is refused.
        self.reverting: set[int] = set()
        self.untrusted = ""
        self.reverted: list[Transaction] = []
        self.taken_back = 0
        self.sent: list[tuple[int, ...]] = []
        self.most_charges = 100
        self.on_send: Callable[[], None] = lambda: None
        self.is_settled = True
        self.charged: set[int] = set()

    async def settle(self, party_a: str) -> bool:
        assert PARTY_A == party_a
        return self.is_settled

    def has_charged(self, epoch: Epoch, quote_id: int) -> bool:
        assert EPOCH == epoch
        return quote_id in self.charged

    def reverts(self, party_a: str, epochs: Collection[Epoch]) -> list[Transaction]:
        assert (PARTY_A, {EPOCH}) == (party_a, {*epochs})
        return self.reverted

    def failures(self, party_a: str, epochs: Collection[Epoch]) -> int:
        return self.taken_back + len(self.reverts(party_a, epochs))

    async def send(self, to: str, data: bytes, purpose: Purpose) -> State:
        assert (DIAMOND, WINDOW.closes_s) == (to, purpose.closes_s)
        assert purpose.expires_s is not None
        if self.untrusted:
            raise Reverted(self.untrusted, "#1")
        if len(purpose.charges) > self.most_charges:
            msg = "too much"
            raise TooMuchGas(msg)
        assert len(purpose.charges) * E18 // 10 == purpose.moved_e18
        self.sent.append(quote_ids(data))
        self.on_send()
        does_revert = bool(self.reverting & {*quote_ids(data)})
        state = self.ends.pop(0) if self.ends else State.REVERTED if does_revert else State.MINED
        self.taken_back += state is State.CANCELLED
        if state is State.REVERTED:
            nonce = len(self.sent)
            charges = tuple(ChargeCells(one, EPOCH, "1", "1") for one in quote_ids(data))
            self.reverted.append(Transaction(PARTY_B, nonce, PARTY_A, charges, state, 0, "", (), block=100 + nonce))
        return state


class Bench:
    def __init__(self, *quotes: ChainQuote) -> None:
        self.dues = quotes
        self.chain = HeldPair(quotes)
        self.muon = Signing(self.chain)
        self.sender = Sending()
        self.progress = Progress()

    async def run(self, batch: int = 30) -> Progress:
        progress: Mapping[Epoch, Progress] = {EPOCH: self.progress}
        charges = AccountCharges(
            PARTY_A,
            dict(progress),
            route=Route(PARTY_B, PARTY_B, DIAMOND),
            chain=self.chain,
            muon=self.muon,
            sender=self.sender,
            charge_on=ChargeOn.MARK,
            batch=batch,
        )
        await charges.run([Due(one.quote_id, one.symbol_id, EPOCH, WINDOW, TERMS) for one in self.dues])
        return self.progress
