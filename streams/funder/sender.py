"""The sender of the signer's transactions, from before they are signed until they are final in the chain.

Rules:

* A transaction has a nonce of its own and is on record, as it was signed, before it goes to a node. One that is on
  record and not in the chain is sent again as it is, by any executor that reads it: the same bytes sent twice are one
  transaction.
* A transaction that is not in the chain after ``replace_after_s`` is replaced under its nonce, with fees an eighth
  higher, or those of now if they are higher still, and again after as long. Once its window has closed it is replaced
  by a transfer of nothing.
* If the chain has used a nonce, and has none of its hashes, the nonce went to somebody else's transaction. Ours is
lost. * A nonce below others of ours that is in no record is filled with a transfer of nothing, since the others would
wait for
  ever.
* A transaction whose receipt has no status is in the chain, and what it did is unknown: it is neither mined, reverted
  nor lost, and is looked at until an endpoint says it.
* A transaction that leaves the chain with its block is sent again as it is.
"""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from prometheus_client import Counter, Gauge

from streams.funder.chain_view import NodeDown
from streams.funder.funding_records import Transaction
from streams.funder.signer import Fees, fees_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.funder.chain_view import Chain
    from streams.funder.funding_journal import Journal
    from streams.funder.funding_records import ChargeCells
    from streams.funder.signer import Signed, Signer
    from streams.node.answers import Receipt

_log = logging.getLogger(__name__)

_SENT = Counter("tidemark_funding_transactions_total", "Transactions by what became of them.", ("deployment", "state"))

_UNCLEAR = Gauge(
    "tidemark_funding_unclear_transactions",
    "Transactions in the chain of which no endpoint says whether they succeeded.",
    ("deployment",),
)

# A node that has lost a transaction gets it again soon; one that has it answers so.
_RESEND_S = 3.0
# Endpoints differ: one may know that a nonce is used and not have its receipt yet, so this many looks have to agree.
_LOOKS_TO_BE_SURE = 3
# A transaction may leave the chain, but a node must not be asked for hundreds of receipts every second for that.
_LOOK_AGAIN_S = 3.0
_replace = msgspec.structs.replace


class State(StrEnum):
    """What became of a transaction."""

    SENT = "sent"
    MINED = "mined"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    LOST = "lost"


class Purpose(NamedTuple):
    """The charges of a transaction; after ``closes_s``, in the chain's time, they are of no use."""

    party_a: str
    charges: tuple[ChargeCells, ...]
    closes_s: int


class _Flight:
    """A transaction that may still get into the chain, or leave it."""

    def __init__(self, record: Transaction) -> None:
        self.record = record
        self.done: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self.is_stored = True
        self.signed_s = 0.0
        self.sent_s = 0.0
        self.looked_s = 0.0
        self.absences = 0
        self.is_unclear = False

    @property
    def is_pending(self) -> bool:
        return self.record.state == State.SENT

    @property
    def hashes(self) -> tuple[str, ...]:
        return self.record.hashes + self.record.cancels


class Sender:
    """Sends for one key.

    Args:
        deployment: Name of the deployment, for logs and metrics.
        chain: The node.
        signer: Signs with the key.
        journal: Where every transaction is recorded before it is sent.
        depth: After how many blocks a transaction is taken as final.
        replace_after_s: After how long a transaction that is not in the chain is replaced, in s.
        on_unmined: Called with an account's address when a transaction of it has left the chain.
    """

    def __init__(
        self,
        deployment: str,
        chain: Chain,
        signer: Signer,
        journal: Journal,
        *,
        depth: int,
        replace_after_s: float,
        on_unmined: Callable[[str], None],
    ) -> None:
        self._deployment = deployment
        self._chain = chain
        self._signer = signer
        self._journal = journal
        self._depth = depth
        self._replace_after_s = replace_after_s
        self._on_unmined = on_unmined
        self._flights: dict[int, _Flight] = {}
        self._next = 0
        self._gap: tuple[int, int] = (-1, 0)
        self._clock_s = asyncio.get_running_loop().time

    async def start(self, records: Iterable[Transaction]) -> None:
        """Take over the transactions of this key that are on record, and find the next nonce."""
        head = await self._chain.head(self._signer.address)
        self._next = head.nonce
        for record in records:
            if record.signer != self._signer.address or record.state == State.LOST:
                continue
            self._next = max(self._next, record.nonce + 1)
            if record.block is not None and head.block - record.block >= self._depth:
                continue
            flight = _Flight(record)
            flight.signed_s = self._clock_s()
            self._flights[record.nonce] = flight
            if not flight.is_pending:
                flight.done.set_result(State(record.state))

    async def send(self, to: str, data: bytes, gas: int, purpose: Purpose) -> State:
        """Send a call and wait for what becomes of it; that takes for ever while the node is down.

        Args:
            to: Address of the contract that is called.
            data: The encoded call.
            gas: The transaction's gas limit.
            purpose: What the transaction is for, and until when it is of use.
        """
        fees = fees_of(*await self._chain.fees())
        nonce = self._next
        self._next += 1
        signed = self._signer.sign(nonce=nonce, to=to, data=data, gas=gas, fees=fees)
        flight = self._take_off(nonce, purpose, signed, fees)
        await self._store([flight])
        await self._hand_over(flight)
        return await asyncio.shield(flight.done)

    async def settle(self, party_a: str) -> None:
        """Wait until no transaction of an account is under way."""
        waiting = [f.done for f in self._flights.values() if f.record.party_a == party_a and not f.done.done()]
        if waiting:
            await asyncio.wait(waiting)

    async def run(self, every_s: float) -> None:
        """Look after the transactions that are under way, every ``every_s`` seconds, until cancelled."""
        while True:
            try:
                await self._look()
            except NodeDown as error:
                _log.warning("transactions are not looked after: %s", error)
            await asyncio.sleep(every_s)

    async def _look(self) -> None:
        now_s = self._clock_s()
        flights = [
            flight
            for _, flight in sorted(self._flights.items())
            if flight.is_stored and (flight.is_pending or now_s - flight.looked_s >= _LOOK_AGAIN_S)
        ]
        if not flights:
            return
        head = await self._chain.head(self._signer.address)
        receipts = await self._chain.receipts([one for flight in flights for one in flight.hashes])
        changed, unmined = [], []
        for flight in flights:
            flight.looked_s = now_s
            receipt = next((receipts[one] for one in flight.hashes if one in receipts), None)
            if receipt is None:
                flight.is_unclear = False
                if not flight.is_pending:
                    unmined.append(flight)
                elif head.nonce > flight.record.nonce:
                    flight.absences += 1
                    if flight.absences >= _LOOKS_TO_BE_SURE:
                        flight.record = _replace(flight.record, state=State.LOST)
                        changed.append(flight)
                continue
            flight.absences = 0
            if self._is_unclear(flight, receipt):
                continue
            if receipt.block_hash != flight.record.block_hash:
                was = flight.record.state
                flight.record = _mined(flight.record, receipt)
                changed.append(flight)
                if was == State.MINED and flight.record.state != State.MINED:
                    self._on_unmined(flight.record.party_a)
            elif head.block - receipt.block >= self._depth:
                del self._flights[flight.record.nonce]
        for flight in unmined:
            self._unmine(flight)
        await self._store(changed + unmined)
        for flight in changed:
            self._land(flight)
        await self._push()
        await self._fill_gap(head.nonce)

    def _is_unclear(self, flight: _Flight, receipt: Receipt) -> bool:
        """Tell whether a transaction is in the chain, and no endpoint says whether it did what it was for."""
        was, flight.is_unclear = flight.is_unclear, receipt.succeeded is None
        if flight.is_unclear and not was:
            _log.error(
                "transaction mined, its receipt has no status: whether it did anything is unknown, waiting for an "
                "endpoint that says it hash=%s nonce=%d block=%d",
                receipt.hash, flight.record.nonce, receipt.block,
            )  # fmt: skip
        _UNCLEAR.labels(self._deployment).set(sum(one.is_unclear for one in self._flights.values()))
        return flight.is_unclear

    def _land(self, flight: _Flight) -> None:
        state = State(flight.record.state)
        _SENT.labels(self._deployment, state).inc()
        _log.info(
            "transaction %s party_a=%s nonce=%d quotes=%d block=%s",
            state, flight.record.party_a, flight.record.nonce, len(flight.record.charges), flight.record.block,
        )  # fmt: skip
        if state is State.LOST:
            del self._flights[flight.record.nonce]
        if not flight.done.done():
            flight.done.set_result(state)

    def _unmine(self, flight: _Flight) -> None:
        record = flight.record
        _log.warning(
            "transaction left the chain party_a=%s nonce=%d block=%s", record.party_a, record.nonce, record.block
        )
        flight.record = _replace(record, state=State.SENT, block=None, block_hash=None, gas_used=None)
        flight.done = asyncio.get_running_loop().create_future()
        flight.sent_s = flight.absences = 0
        self._on_unmined(record.party_a)

    async def _push(self) -> None:
        """Send transactions again that a node may have lost, and replace those that wait too long."""
        now_s = self._clock_s()
        patience_s = min(_RESEND_S, self._replace_after_s)
        due = [
            flight
            for flight in self._flights.values()
            # One that is in the chain is neither sent again nor replaced.
            if flight.is_stored and flight.is_pending and not flight.is_unclear and now_s - flight.sent_s >= patience_s
        ]
        if not due:
            return
        chain_s = await self._chain.pending_time_s()
        fees: Fees | None = None
        for flight in sorted(due, key=lambda one: one.record.nonce):
            is_over = chain_s > flight.record.closes_s
            is_slow = now_s - flight.signed_s >= self._replace_after_s
            if is_slow or (is_over and not flight.record.cancels):
                fees = fees or fees_of(*await self._chain.fees())
                self._replace(flight, fees, is_over=is_over)
                await self._store([flight])
            await self._hand_over(flight)

    def _replace(self, flight: _Flight, fees: Fees, *, is_over: bool) -> None:
        record = flight.record
        raised = fees.raised_over(Fees(int(record.max_fee_wei), int(record.tip_wei)))
        if is_over or record.cancels:
            signed = self._signer.sign_nothing(record.nonce, raised)
            hashes, cancels = record.hashes, (*record.cancels, signed.hash)
        else:
            signed = self._signer.sign_again(record.raw, raised)
            hashes, cancels = (*record.hashes, signed.hash), record.cancels
        _log.info("transaction replaced party_a=%s nonce=%d cancels=%s", record.party_a, record.nonce, is_over)
        flight.signed_s = self._clock_s()
        flight.record = _replace(
            record,
            raw=signed.raw,
            hashes=hashes,
            cancels=cancels,
            max_fee_wei=str(raised.max_wei),
            tip_wei=str(raised.tip_wei),
        )

    async def _fill_gap(self, nonce: int) -> None:
        """Fill the chain's next nonce where no transaction of ours has it, but some have later ones."""
        if nonce in self._flights or not any(f.record.nonce > nonce and f.is_pending for f in self._flights.values()):
            self._gap = (-1, 0)
            return
        looks = self._gap[1] + 1 if self._gap[0] == nonce else 1
        self._gap = (nonce, looks)
        if looks < _LOOKS_TO_BE_SURE:
            return
        fees = fees_of(*await self._chain.fees())
        signed = self._signer.sign_nothing(nonce, fees)
        _log.warning("nonce filled nonce=%d", nonce)
        flight = self._take_off(nonce, Purpose("", (), 0), signed, fees)
        flight.record = _replace(flight.record, hashes=(), cancels=(signed.hash,))
        await self._store([flight])
        await self._hand_over(flight)

    def _take_off(self, nonce: int, purpose: Purpose, signed: Signed, fees: Fees) -> _Flight:
        record = Transaction(
            signer=self._signer.address,
            nonce=nonce,
            party_a=purpose.party_a,
            charges=purpose.charges,
            state=State.SENT,
            closes_s=purpose.closes_s,
            raw=signed.raw,
            hashes=(signed.hash,),
            max_fee_wei=str(fees.max_wei),
            tip_wei=str(fees.tip_wei),
        )
        flight = _Flight(record)
        flight.signed_s = self._clock_s()
        # It is among the flights from here on, so that its nonce is no gap, but it is not sent before it is on record.
        flight.is_stored = False
        self._flights[nonce] = flight
        return flight

    async def _store(self, flights: list[_Flight]) -> None:
        if flights:
            await self._journal.write([flight.record for flight in flights])
            for flight in flights:
                flight.is_stored = True

    async def _hand_over(self, flight: _Flight) -> None:
        flight.sent_s = self._clock_s()
        refusal = await self._chain.send(flight.record.raw)
        if refusal is not None:
            # The node may have it all the same; the chain will show what becomes of it.
            level = logging.INFO if "already" in refusal else logging.WARNING
            _log.log(level, "transaction not taken nonce=%d error=%s", flight.record.nonce, refusal)


def _mined(record: Transaction, receipt: Receipt) -> Transaction:
    done = State.MINED if receipt.succeeded else State.REVERTED
    return _replace(
        record,
        state=State.CANCELLED if receipt.hash in record.cancels else done,
        block=receipt.block,
        block_hash=receipt.block_hash,
        gas_used=receipt.gas_used,
    )
