"""The charges of one account, batch after batch; each has a signature fetched after the batch before was mined."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from models.errors import TidemarkError
from models.symmio.funding_plan import (
    Charge,
    ChargeOn,
    Eligibility,
    Search,
    Terms,
    Window,
    batches,
    charge_of,
    eligibility_of,
    moved_to_party_b,
)
from models.symmio.funding_records import Epoch, cells_of
from streams.funder.ceilings import TooMuchGas
from streams.funder.chain_errors import Reverted
from streams.funder.diamond_calls import PairSignature, charge_data, forward_data
from streams.funder.flights import State
from streams.funder.sender import Purpose

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from models.symmio.funding_plan import ChainQuote
    from models.symmio.funding_records import Transaction
    from streams.funder.chain_view import Chain, Pair
    from streams.funder.muon import Muon
    from streams.funder.sender import Sender

_log = logging.getLogger(__name__)

# Others may act for the pair at the same time, and a signature that was overtaken is fetched again. If that happens
# more often than this in a row, it is a fault of the gateway; the account is tried again with the next pass.
_TRIES = 6
# Others may act for a pair in each block, and have each of its charges revert at the signer's cost, or be taken back.
_FAILURES = 12
# A revert reason with one of these words is about the pair, its signature or the whole deployment: no quote is to
# blame.
_NOT_A_QUOTES = ("paus", "liquidat", "solven", "muon", "signature", "expired", "nonce", "suspend", "emergency")
_NOT_TAKEN = (
    "expected a node to take the account's transaction, found that none does: see `transaction not taken` in the log"
)
# The epoch was frozen, so its window had opened before.
_NOT_OPENED = "its window is not open yet: the block that opened it has left the chain"

_UNSURE = "endpoints differ about it"
_CONTRADICTED = "endpoints differ on whether it is to be charged: some have an old state"
_REVERTED = "its charge reverted alone in block {}, and no two endpoints say why"
_REVERT_LEFT = "the block has left the chain in which its charge reverted, which is under way again"

CHANGED = "its market has other funding epochs since this one began"
"""Why a quote is not charged whose market was changed: the contract would take that for one of the new epochs."""


class AccountFault(TidemarkError):
    """The account cannot be charged now, and no single quote is the cause.

    It is tried again while its window is open.
    """


class Due(NamedTuple):
    """A quote to be charged for an epoch, within its window, at the market's frozen terms."""

    quote_id: int
    symbol_id: int
    epoch: Epoch
    window: Window
    terms: Terms

    @property
    def kind(self) -> tuple[int, int]:
        """Funding epoch and window of its market, in s, as they were when the epoch began."""
        return self.epoch.epoch_s, self.epoch.window_s


class Charged(NamedTuple):
    """A quote as the contract has it, with its charge."""

    due: Due
    quote: ChainQuote
    charge: Charge


class Attempt(NamedTuple):
    """A charge that was sent: what it charged, and the contract's own nonces of the pair then."""

    charges: tuple[Charge, ...]
    nonces: tuple[int, int]


class Progress:
    """What has become of an account's quotes so far.

    ``paid`` quotes are charged, ``free`` ones have nothing to pay, ``closed`` ones were not open any more, ``culprits``
    make a batch revert, and ``late`` ones came up after their window had closed. ``clipped`` has (rate, wanted rate) of
    quotes whose maximum made it smaller.
    """

    def __init__(self) -> None:
        self.paid: set[int] = set()
        self.free: set[int] = set()
        self.clipped: dict[int, tuple[str, str]] = {}
        self.closed: dict[int, str] = {}
        self.culprits: dict[int, str] = {}
        self.late: set[int] = set()

    def settled(self, quote_id: int) -> bool:
        """Whether nothing is left to do for the quote."""
        return any(quote_id in found for found in (self.paid, self.free, self.closed, self.culprits, self.late))

    def forget(self, quote_id: int) -> None:
        """Begin again with a quote: there is another one under its id."""
        for ids in (self.paid, self.free, self.late):
            ids.discard(quote_id)
        for said in (self.closed, self.culprits):
            said.pop(quote_id, None)
        self.clipped.pop(quote_id, None)

    def note_clip(self, charge: Charge) -> None:
        """Remember a charge that the quote's own maximum made smaller."""
        if charge.is_clipped:
            self.clipped[charge.quote_id] = str(charge.rate_e18), str(charge.wanted_e18)


class Route(NamedTuple):
    """How a call reaches the Diamond as one of party B: sent by party B itself, or through its contract."""

    signer: str
    party_b: str
    diamond: str

    def wrap(self, data: bytes) -> tuple[str, bytes]:
        """Find the receiver and the data of the transaction that makes the call."""
        return (self.diamond, data) if self.signer == self.party_b else (self.party_b, forward_data(data))


class AccountCharges:
    """Charges one account.

    Args:
        party_a: The account.
        progress: What is done already, by epoch; it is brought up to date.
        route: How a call gets to the Diamond.
        chain: The node.
        muon: Signs the uPnL of both parties.
        sender: Sends the transactions.
        charge_on: The price that rates are taken of.
        batch: How many quotes go into a transaction at most.
    """

    def __init__(
        self,
        party_a: str,
        progress: dict[Epoch, Progress],
        *,
        route: Route,
        chain: Chain,
        muon: Muon,
        sender: Sender,
        charge_on: ChargeOn,
        batch: int,
    ) -> None:
        self._party_a = party_a
        self._progress = progress
        self._route = route
        self._chain = chain
        self._muon = muon
        self._sender = sender
        self._charge_on = charge_on
        self._batch = batch

    async def run(self, dues: Sequence[Due]) -> None:
        """Charge the quotes that are due, in order; return when each is settled.

        Raises:
            AccountFault: The account cannot be charged now.
            CeilingInTheWay: It would cost more than it may now.
            NoSignature: Muon does not sign.
            NotSigned: The key's holder does not sign.
            ChainError: The node does not answer, or the contract refuses what has to be known.
        """
        # Transactions that are under way move the pair's nonces when they are mined.
        is_settled = await self._sender.settle(self._party_a)
        left = [due for due in dues if not self._progress[due.epoch].settled(due.quote_id)]
        now_s = await self._chain.agreed_time_s()
        over = [due for due in left if now_s > due.window.closes_s]
        held_up: dict[int, str] = {}
        for batch in batches(over, self._batch):
            await self._tell(batch, now_s, held_up)
        open_now = [due for due in left if now_s <= due.window.closes_s]
        if open_now and not is_settled:
            raise AccountFault(_NOT_TAKEN)
        for batch in batches(open_now, self._batch):
            await self._charge(batch, held_up)
        if held_up:
            msg = f"expected to settle all quotes that are due, found: {_listed(held_up)}"
            raise AccountFault(msg)

    async def _tell(self, batch: Sequence[Due], now_s: int, held_up: dict[int, str]) -> None:
        """Find out what became of quotes whose window has closed; that the contract does not say it is a reason too."""
        ids = [due.quote_id for due in batch]
        try:
            quotes = await self._chain.quotes(ids)
        except Reverted:
            refused = await self._chain.unreadable(ids)
            for due in batch:
                if due.quote_id in refused:
                    self._progress[due.epoch].culprits[due.quote_id] = f"its view: {refused[due.quote_id]}"
            batch = [due for due in batch if due.quote_id not in refused]
            quotes = await self._chain.quotes([due.quote_id for due in batch])
        contradicted = await self._contradicted(batch, quotes)
        held_up |= dict.fromkeys(contradicted, _CONTRADICTED)
        self._decide(batch, quotes, now_s, contradicted)

    async def _charge(self, batch: Sequence[Due], held_up: dict[int, str]) -> None:
        reverted: Attempt | None = None
        for _ in range(_TRIES):
            batch = [
                due
                for due in batch
                if due.quote_id not in held_up and not self._progress[due.epoch].settled(due.quote_id)
            ]
            try:
                pair = await self._chain.pair(self._party_a, self._route.party_b, [due.quote_id for due in batch])
            except Reverted:
                refused = await self._chain.unreadable([due.quote_id for due in batch])
                if not refused:
                    raise
                held_up |= refused
                continue
            unsure = {due.quote_id: _UNSURE for due in batch if due.quote_id not in pair.quotes}
            held_up |= unsure
            batch = [due for due in batch if due.quote_id not in unsure]
            contradicted = await self._contradicted(batch, pair.quotes)
            held_up |= dict.fromkeys(contradicted, _CONTRADICTED)
            moment = await self._chain.moment({due.symbol_id: due.kind for due in batch})
            charged, gone = self._decide(batch, pair.quotes, moment.now_s, contradicted)
            held_up |= gone
            others = {
                one.due.quote_id: CHANGED for one in charged if one.due.symbol_id in moment.changed | moment.unsure
            }
            held_up |= others
            charged = [one for one in charged if one.due.quote_id not in others]
            if not charged:
                return
            signature = await self._signature(charged, pair)
            data = self._data(charged, signature)
            reason = await self._refusal(data)
            if reason is not None:
                await self._blame(charged, pair, signature, reason)
                continue
            attempt = Attempt(tuple(one.charge for one in charged), pair.nonces)
            if attempt == reverted:
                revert = self._revert_of(charged)
                if not await self._has_moved(pair, revert):
                    await self._give_up(charged, revert, held_up)
                    return
            self._expect_few_failures(charged)
            try:
                state = await self._send(charged, data, pair.last_s(signature))
            except TooMuchGas:
                if len(charged) == 1:
                    raise
                await self._divide(charged, held_up)
                return
            if state is State.SENT:
                raise AccountFault(_NOT_TAKEN)
            if state is State.MINED:
                for one in charged:
                    self._progress[one.due.epoch].paid.add(one.due.quote_id)
                return
            # One whose signature may have expired before reverted for that.
            is_in_time = await self._chain.agreed_time_s() <= pair.last_s(signature)
            reverted = attempt if state is State.REVERTED and is_in_time else None
        msg = f"expected a batch to be mined within {_TRIES} tries, found it overtaken each time"
        raise AccountFault(msg)

    async def _contradicted(self, batch: Sequence[Due], quotes: Mapping[int, ChainQuote]) -> set[int]:
        """Find the quotes that are not to be charged by one endpoint's state, of which no other one says so too."""

        def is_for_sure(due: Due, quote: ChainQuote) -> bool:
            eligibility = self._eligibility(due, quote)
            is_ours = eligibility is Eligibility.PAID and self._sender.has_charged(due.epoch, due.quote_id)
            return eligibility is Eligibility.DUE or is_ours

        doubtful = [due for due in batch if not is_for_sure(due, quotes[due.quote_id])]
        if not doubtful:
            return set()
        told = await self._chain.quotes_by_each([due.quote_id for due in doubtful])
        return {
            due.quote_id
            for due in doubtful
            if not self._chain.agree(not is_for_sure(due, others[due.quote_id]) for others in told)
        }

    def _decide(
        self, batch: Sequence[Due], quotes: Mapping[int, ChainQuote], now_s: int, contradicted: Collection[int]
    ) -> tuple[list[Charged], dict[int, str]]:
        """Settle what can be settled; find what is to be charged, and what the blocks that left the chain took along.

        The blocks that follow may bring that back, so it is tried until its window closes.
        """
        charged: list[Charged] = []
        gone: dict[int, str] = {}
        for due in batch:
            if due.quote_id in contradicted:
                continue
            progress, quote = self._progress[due.epoch], quotes[due.quote_id]
            eligibility = self._eligibility(due, quote)
            if eligibility is Eligibility.PAID:
                progress.paid.add(due.quote_id)
            elif eligibility is Eligibility.LATER:
                # Of the epochs before the newest one only our own transactions tell.
                has_charged = self._sender.has_charged(due.epoch, due.quote_id)
                (progress.paid if has_charged else progress.late).add(due.quote_id)
            elif eligibility is Eligibility.GONE and now_s <= due.window.closes_s:
                gone[due.quote_id] = eligibility.value
            elif eligibility in (Eligibility.NOT_OPEN, Eligibility.GONE):
                progress.closed[due.quote_id] = eligibility.value
            elif eligibility is not Eligibility.DUE:
                progress.culprits[due.quote_id] = eligibility.value
            elif now_s > due.window.closes_s:
                progress.late.add(due.quote_id)
            elif now_s < due.window.opens_s:
                gone[due.quote_id] = _NOT_OPENED
            else:
                charge = charge_of(quote, due.terms, self._charge_on)
                progress.note_clip(charge)
                if charge.rate_e18:
                    charged.append(Charged(due, quote, charge))
                else:
                    progress.free.add(due.quote_id)
        return charged, gone

    async def _signature(self, charged: Sequence[Charged], pair: Pair) -> PairSignature:
        if pair.liquidating:
            msg = "the account is under liquidation"
            raise AccountFault(msg)
        signature = await self._muon.sign(self._party_a, self._route.party_b)
        now_s = await self._chain.agreed_time_s()
        if now_s > pair.last_s(signature):
            age_s = now_s - signature.timestamp_s
            msg = f"expected a signature of the last {pair.valid_s} s, found one of {age_s} s ago"
            raise AccountFault(msg)
        _expect_passing(charged, pair.last_s(signature))
        self._expect_solvent(charged, pair, signature)
        return signature

    def _expect_solvent(self, charged: Sequence[Charged], pair: Pair, signature: PairSignature) -> None:
        available_a, available_b = pair.available(signature)
        moved = moved_to_party_b([(one.quote, one.charge) for one in charged])
        for name, left in (("party A", available_a - moved), ("party B", available_b + moved)):
            if left < 0:
                msg = f"{name} would be insolvent, by {-left} e-18"
                raise AccountFault(msg)

    async def _blame(self, charged: Sequence[Charged], pair: Pair, signature: PairSignature, reason: str) -> None:
        """Find the quotes that make the batch revert; none is blamed where somebody else's transaction came between."""
        if await self._is_overtaken(pair):
            return
        if _is_no_quotes(reason):
            raise AccountFault(reason)
        search = Search(charged)
        while (group := search.group) is not None:
            refusal = await self._refusal(self._data(group, signature))
            if refusal is None:
                search.passed()
            else:
                search.failed(refusal)
        if await self._is_overtaken(pair):
            return
        reasons = {refusal for _, refusal in search.culprits}
        unanimous = len(charged) > 1 and not search.good and len(reasons) == 1
        if unanimous or any(map(_is_no_quotes, reasons)):
            raise AccountFault(reason)
        told = await self._chain.quotes_by_each([one.due.quote_id for one, _ in search.culprits])
        for one, refusal in search.culprits:
            found = [self._eligibility(one.due, quotes[one.due.quote_id]) for quotes in told]
            if self._chain.agree(eligibility is not Eligibility.DUE for eligibility in found):
                # It was closed or paid since it was read: the next try says so of it.
                continue
            if not await self._chain.is_refused(*self._as_party_b(self._data([one], signature))):
                # Others would take it: the endpoint that refused has an old state. It is tried again.
                _log.warning("quote refused by an old state party_a=%s quote=%d", self._party_a, one.due.quote_id)
                continue
            if not (await self._chain.times()).are_within(one.due.window):
                # The window may have closed since it was read, and everything is refused then: the next try says so.
                continue
            _log.warning("quote refused party_a=%s quote=%d reason=%s", self._party_a, one.due.quote_id, refusal)
            self._progress[one.due.epoch].culprits[one.due.quote_id] = refusal

    def _eligibility(self, due: Due, quote: ChainQuote) -> Eligibility:
        return eligibility_of(
            quote,
            symbol_id=due.symbol_id,
            party_a=self._party_a,
            party_b=self._route.party_b,
            pays_s=due.epoch.pays_s,
        )

    async def _is_overtaken(self, pair: Pair) -> bool:
        return await self._chain.nonces(self._party_a, self._route.party_b) != pair.nonces

    async def _has_moved(self, pair: Pair, revert: Transaction) -> bool:
        """Whether somebody acted for the pair before a charge reverted, unless endpoints that know of it say not."""
        # What is in the chain has its block.
        return await self._chain.has_moved(self._party_a, self._route.party_b, pair.nonces, revert.block or 0)

    def _revert_of(self, charged: Sequence[Charged]) -> Transaction:
        """The newest transaction of ours that was to make these charges and reverted."""
        wanted = {(one.due.epoch, one.due.quote_id) for one in charged}
        for record in reversed(self._sender.reverts(self._party_a, {one.due.epoch for one in charged})):
            if wanted == {(cells.epoch, cells.quote_id) for cells in record.charges}:
                return record
        # It is sent again as it is, and the next try waits for it.
        raise AccountFault(_REVERT_LEFT)

    async def _give_up(self, charged: Sequence[Charged], revert: Transaction, held_up: dict[int, str]) -> None:
        """Send halves of a charge that reverted for no reason that is known; a quote that did alone is to blame."""
        if len(charged) > 1:
            await self._divide(charged, held_up)
            return
        due = charged[0].due
        _log.warning("charge reverted party_a=%s quote=%d block=%s", self._party_a, due.quote_id, revert.block)
        self._progress[due.epoch].culprits[due.quote_id] = _REVERTED.format(revert.block)

    async def _divide(self, charged: Sequence[Charged], held_up: dict[int, str]) -> None:
        dues = [one.due for one in charged]
        half = len(dues) // 2
        await self._charge(dues[:half], held_up)
        await self._charge(dues[half:], held_up)

    def _expect_few_failures(self, charged: Sequence[Charged]) -> None:
        """Expect that charging the account has not come to nothing so often that it is not to be paid for any more."""
        failures = self._sender.failures(self._party_a, {one.due.epoch for one in charged})
        if failures >= _FAILURES:
            msg = (
                f"expected fewer than {_FAILURES} of the account's charges to revert or be taken back in an epoch, "
                f"found {failures}"
            )
            raise AccountFault(msg)

    async def _send(self, charged: Sequence[Charged], data: bytes, expires_s: int) -> State | None:
        to, wrapped = self._route.wrap(data)
        purpose = Purpose(
            self._party_a,
            tuple(cells_of(one.charge, one.due.epoch, one.due.symbol_id) for one in charged),
            min(one.due.window.closes_s for one in charged),
            sum(abs(moved_to_party_b([(one.quote, one.charge)])) for one in charged),
            expires_s,
        )
        try:
            return await self._sender.send(to, wrapped, purpose)
        except Reverted as error:
            if await self._refusal(data) is not None:
                # Something has changed since: the next try finds what.
                return None
            msg = f"expected {to} to take the signer's call, which the Diamond would, found: {error}"
            raise AccountFault(msg) from error

    async def _refusal(self, data: bytes) -> str | None:
        """Find out why the Diamond would refuse a call; None where it would not."""
        return await self._chain.refusal(*self._as_party_b(data))

    def _as_party_b(self, data: bytes) -> tuple[str, str, bytes]:
        return self._route.party_b, self._route.diamond, data

    def _data(self, charged: Sequence[Charged], signature: PairSignature) -> bytes:
        return charge_data(self._party_a, [one.charge for one in charged], signature)


def _expect_passing(charged: Sequence[Charged], last_s: int) -> None:
    """Expect a signature to expire, which it does after ``last_s``, before the contract takes the next epoch's charges.

    However long the chain stands still with a charge in its pool, and whoever is there to take it back, it never pays
    another epoch then. Replacements carry the same signature.
    """
    next_s = min(one.due.epoch.next_opens_s for one in charged)
    if last_s >= next_s:
        msg = (
            f"expected a signature that the contract takes until {next_s - 1} at most, found one until {last_s}: a "
            "charge that is late would pay the next epoch at the terms of this one"
        )
        raise AccountFault(msg)


def _listed(reasons: Mapping[int, str]) -> str:
    return "; ".join(f"quote {quote_id}: {said}" for quote_id, said in sorted(reasons.items()))


def _is_no_quotes(reason: str) -> bool:
    return any(word in reason.lower() for word in _NOT_A_QUOTES)
