"""The sender of the signer's transactions, from before they are signed until they are final in the chain.

Rules:

* A transaction has a nonce of its own and is on record, as it was signed, before it goes to a node. One that is on
  record and not in the chain is sent again as it is, by any executor that reads it: the same bytes sent twice are one
  transaction.
* A transaction that is not in the chain after ``replace_after_s`` is replaced under its nonce, with fees an eighth
  higher, or those of now if they are higher still, and again after as long, up to the ceilings. A chain without new
  blocks takes nothing, whatever it costs, and one whose nonce is not next waits for others: neither is replaced. Once
  its window has closed a transaction is replaced by a transfer of nothing, and where that cannot be signed, it is not
  handed to a node again.
* A tip that a node refuses is replaced at once by the one that the refusal names.
* Nothing is signed that could cost more than the ceilings (``ceilings.py``).
* A nonce below others of ours that is in no record is filled with a transfer of nothing, since the others would wait
  for ever.
* A transaction that leaves the chain with its block is sent again as it is. Each is looked at until it is final
  (``flights.py``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.symmio.funding_plan import LATE_S
from models.symmio.funding_records import Transaction
from streams.funder import flights_told
from streams.funder.agreed_chain import Head, Sights
from streams.funder.ceilings import CeilingInTheWay
from streams.funder.chain_errors import ChainError, NodeDown
from streams.funder.data_fees import DataFees
from streams.funder.fees import Fees
from streams.funder.flights import LOOKS_TO_BE_SURE, Change, Flight, State
from streams.funder.gas_prices import GasPrices
from streams.funder.sent_charges import SentCharges
from streams.funder.signer import TRANSFER_GAS, NotSigned, call_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from models.symmio.funding_records import ChargeCells, Epoch
    from streams.funder.ceilings import Ceilings
    from streams.funder.chain_view import Chain
    from streams.funder.funding_journal import Journal
    from streams.funder.gas_prices import Prices
    from streams.funder.signer import Signed, Signer

_log = logging.getLogger(__name__)

# A node that has lost a transaction gets it again soon; one that has it answers so.
_RESEND_S = 3.0
# A transaction may leave the chain, but a node must not be asked for hundreds of receipts every second for that.
_LOOK_AGAIN_S = 3.0
# What looks well at one endpoint, all of them are asked about once in so long: it may stand still.
_AGREED_AGAIN_S = 30.0
# The estimate does not know the transactions that others send in the same block, so there is a margin.
_GAS_NUMERATOR, _GAS_DENOMINATOR = 5, 4
_replace = msgspec.structs.replace


class Purpose(NamedTuple):
    """The charges of a transaction; after ``closes_s``, in the chain's time, they are of no use.

    ``moved_e18`` is the sum of what is charged, in the collateral, whoever pays it. After ``expires_s``, in the chain's
    time, the contract takes the signature no more that they carry; None where that is not known.
    """

    party_a: str
    charges: tuple[ChargeCells, ...]
    closes_s: int
    moved_e18: int = 0
    expires_s: int | None = None


class Sender:
    """Sends for one key.

    Args:
        deployment: Name of the deployment, for logs and metrics.
        chain: The node.
        signer: Signs with the key.
        journal: Where every transaction is recorded before it is sent.
        ceilings: Say what is too dear.
        depth: After how many blocks a transaction is taken as final.
        replace_after_s: After how long a transaction that is not in the chain is replaced, in s.
        coin_e18: What the chain's coin is worth in the collateral, 1e18-scaled; None where it is not known.
        on_unmined: Called with the record of a transaction that has left the chain, or turned out to be another.
    """

    def __init__(
        self,
        deployment: str,
        chain: Chain,
        signer: Signer,
        journal: Journal,
        *,
        ceilings: Ceilings,
        depth: int,
        replace_after_s: float,
        coin_e18: int | None,
        on_unmined: Callable[[Transaction], None],
    ) -> None:
        self._deployment = deployment
        self._chain = chain
        self._signer = signer
        self._journal = journal
        self._ceilings = ceilings
        self._data_fees = DataFees(chain)
        self._prices = GasPrices(chain, ceilings)
        self._depth = depth
        self._replace_after_s = replace_after_s
        self._on_unmined = on_unmined
        self._flights: dict[int, Flight] = {}
        self._sent = SentCharges()
        self._next = 0
        # The highest nonce whose transaction is final.
        self._done = -1
        self._head = Head(0, 0)
        self._gap: tuple[int, int] = (-1, 0)
        self._agreed_s = 0.0
        self._coin_e18 = coin_e18
        # From the look at the ceilings until a transaction is counted nothing else may be signed.
        self._signing = asyncio.Lock()
        self._clock_s = asyncio.get_running_loop().time

    async def start(self, records: Iterable[Transaction]) -> None:
        """Take over the transactions of this key that are on record, and find the next nonce.

        Raises:
            NodeDown: Too few endpoints answer to say which that is.
        """
        sights = await self._chain.sights(self._signer.address, ())
        if not sights.are_enough:
            msg = f"expected {sights.enough} endpoints to tell the signer's next nonce, found {len(sights.told)}"
            raise NodeDown(msg)
        self._head = sights.head
        self._next = self._head.nonce
        for record in records:
            if record.signer != self._signer.address:
                continue
            self._note(record)
            self._next = max(self._next, record.nonce + 1)
            if record.final:
                self._done = max(self._done, record.nonce)
                self._flights.pop(record.nonce, None)
                continue
            flight = self._flights[record.nonce] = Flight(record)
            flight.signed_s, flight.signed_block = self._clock_s(), self._head.block
            if flight.is_pending and not record.cancels:
                flight.call, flight.may_be_out = call_of(record.raw), True
        # What a day costs is told from the start: the next charge may be hours away.
        self._ceilings.spent_wei(await self._chain.agreed_time_s(), 0)

    def has_charged(self, epoch: Epoch, quote_id: int) -> bool:
        """Whether one of our transactions in the chain charged a quote for an epoch of the last days."""
        return self._sent.has_charged(epoch, quote_id)

    def reverts(self, party_a: str, epochs: Collection[Epoch]) -> list[Transaction]:
        """Our transactions that were to charge an account for any of some epochs and reverted, in order of nonces."""
        return self._sent.reverts(party_a, epochs)

    def failures(self, party_a: str, epochs: Collection[Epoch]) -> int:
        """How many of our transactions were to charge an account for any of some epochs and charged nothing."""
        return self._sent.failures(party_a, epochs)

    def _note(self, record: Transaction) -> None:
        self._ceilings.note(record)
        self._sent.note(record)

    def is_watching(self, party_a: str) -> bool:
        """Whether a transaction of an account is not final yet."""
        return any(flight.record.party_a == party_a for flight in self._flights.values())

    async def send(self, to: str, data: bytes, purpose: Purpose) -> State | None:
        """Send a call and wait for what becomes of it; that takes for ever while the node is down.

        It is ``sent`` where no node takes it, as of a signer without coin, or where it can do nothing any more. It is
        None where its window has closed meanwhile, and nothing was signed.

        Args:
            to: Address of the contract that is called.
            data: The encoded call.
            purpose: What the transaction is for, and until when it is of use.

        Raises:
            CeilingInTheWay: It would cost more than the ceilings; nothing is sent.
            NodeDown: The node does not say what it would cost, and nothing is sent; or it is signed and on record,
                and is handed out once the node answers.
            NotSigned: The key's holder does not sign; nothing is sent.
            Reverted: The contract would refuse it; nothing is sent.
        """
        async with self._signing:
            # Others may have had the signer for long.
            now_s = await self._chain.agreed_time_s()
            if now_s > purpose.closes_s:
                return None
            gas = await self._gas_of(to, data)
            await self._ceilings.expect_gas(gas, now_s)
            fees = await self._prices.expect(await self._prices.now(), now_s)
            data_wei = await self._data_fees.bound_wei(data, gas)
            await self._ceilings.expect_room(gas * fees.max_wei + data_wei, purpose.closes_s, now_s)
            signed = await self._signer.sign(nonce=self._next, to=to, data=data, gas=gas, fees=fees)
            flight = self._take_off(self._next, purpose, signed, fees, gas=gas, data_wei=data_wei, now_s=now_s)
            flight.call = to, data
            self._next += 1
        await self._store([flight])
        await self._hand_over(flight)
        await flight.done_or_stuck()
        return State(flight.record.state)

    async def _gas_of(self, to: str, data: bytes) -> int:
        """The limit of a call's gas."""
        most = self._ceilings.limits.gas * _GAS_DENOMINATOR // _GAS_NUMERATOR
        gas = await self._chain.gas_of(self._signer.address, to, data, most)
        return gas * _GAS_NUMERATOR // _GAS_DENOMINATOR

    async def settle(self, party_a: str) -> bool:
        """Wait until no transaction of an account is under way; return False where one will be for a long time."""
        waiting = [one for one in self._flights.values() if one.record.party_a == party_a]
        return all([await one.done_or_stuck() for one in waiting])

    async def run(self, every_s: float) -> None:
        """Look after the transactions until they are final, every ``every_s`` seconds, until cancelled."""
        while True:
            try:
                await self._look()
                await self._prices.look_again()
            except (ChainError, NotSigned) as error:
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
        self._head = await self._chain.head(self._signer.address)
        receipts = await self._chain.receipts([one for flight in flights for one in flight.hashes])
        found = {
            flight.record.nonce: next((receipts[one] for one in flight.hashes if one in receipts), None)
            for flight in flights
        }
        for_good = [one for one in flights if one.is_for_good(self._head, found[one.record.nonce], self._depth)]
        if now_s - self._agreed_s >= _AGREED_AGAIN_S:
            # The endpoint that is asked may stand still.
            for_good, self._agreed_s = flights, now_s
        sights = await self._sights(for_good)
        changes: list[tuple[Flight, Change, str]] = []
        for flight in flights:
            flight.looked_s = now_s
            receipt = found[flight.record.nonce]
            was, was_unclear = flight.record.state, flight.is_unclear
            change = flight.weigh(sights, self._depth) if flight in for_good else flight.look(receipt)
            if flight.is_unclear and not was_unclear and receipt is not None:
                flights_told.tell_unclear(flight.record, receipt)
            if change is not Change.NOTHING:
                changes.append((flight, change, was))
        await self._store([flight for flight, _, _ in changes])
        for flight, change, was in changes:
            self._take_in(flight, change, was)
        flights_told.count(self._deployment, self._flights.values())
        await self._push()
        await self._fill_gap()

    async def _sights(self, flights: Sequence[Flight]) -> Sights:
        """What every endpoint says of some transactions, where there are any."""
        if not flights:
            return Sights(())
        return await self._chain.sights(self._signer.address, [one for flight in flights for one in flight.hashes])

    def _take_in(self, flight: Flight, change: Change, was: str) -> None:
        record = flight.record
        flights_told.tell(self._deployment, record, change)
        if change is Change.FINAL:
            self._done = max(self._done, record.nonce)
            del self._flights[record.nonce]
            return
        if change is Change.LEFT or was not in (State.SENT, record.state):
            self._on_unmined(record)
        if not flight.is_pending and not flight.done.done():
            flight.done.set_result(State(record.state))

    async def _push(self) -> None:
        """Send transactions again that a node may have lost, and replace those that wait too long."""
        now_s = self._clock_s()
        patience_s = min(_RESEND_S, self._replace_after_s)
        waiting = [
            flight
            for flight in self._flights.values()
            if flight.is_stored and flight.is_pending and now_s - flight.sent_s >= patience_s
        ]
        if not waiting:
            return
        # One endpoint's wrong clock takes nothing back.
        chain_s = await self._chain.agreed_time_s()
        for flight in waiting:
            if chain_s > flight.record.closes_s + LATE_S:
                flight.is_stuck.set()
        # One that is in the chain is neither sent again nor replaced.
        due = [flight for flight in waiting if not flight.is_unclear]
        if not due:
            return
        prices = await self._prices.now()
        for flight in sorted(due, key=lambda one: one.record.nonce):
            if self._is_to_be_replaced(flight, prices, chain_s):
                try:
                    async with self._signing:
                        await self._replace(flight, prices, chain_s)
                except CeilingInTheWay:
                    # It was told when the ceiling was met, and this comes every few seconds.
                    pass
                except NotSigned as error:
                    _log.warning("transaction not replaced nonce=%d: %s", flight.record.nonce, error)
            await self._hand_over(flight)

    def _is_to_be_replaced(self, flight: Flight, prices: Prices, chain_s: int) -> bool:
        record = flight.record
        if flight.is_of_no_use(chain_s) and not record.cancels:
            return True
        if int(record.tip_wei) < prices.floor_wei:
            return True
        # The chain passed it over: it had blocks meanwhile, and this one was next, or was too cheap for them.
        is_passed_over = self._head.block > flight.signed_block and (
            record.nonce <= self._head.nonce or int(record.max_fee_wei) < prices.base_wei
        )
        return is_passed_over and self._clock_s() - flight.signed_s >= self._replace_after_s

    async def _replace(self, flight: Flight, prices: Prices, chain_s: int) -> None:
        record = flight.record
        cancels = flight.is_of_no_use(chain_s) or bool(record.cancels)
        fees = await self._prices.expect(prices, chain_s, takes_back=cancels)
        raised = fees.raised_over(Fees(int(record.max_fee_wei), int(record.tip_wei)))
        if not raised.within(self._prices.most(takes_back=cancels)):
            return
        gas_wei = (TRANSFER_GAS if cancels else record.gas) * raised.max_wei
        worst_wei = max(int(record.worst_wei), gas_wei + int(record.data_wei))
        more_wei = worst_wei - int(record.worst_wei)
        if more_wei:
            await self._ceilings.expect_room(more_wei, record.closes_s, chain_s)
        if cancels:
            signed = await self._signer.sign_nothing(record.nonce, raised)
        else:
            signed = await self._signer.sign_again(record.raw, raised)
        if not flight.is_pending:
            return
        _log.info(
            "transaction replaced party_a=%s nonce=%d cancels=%s max_fee_wei=%d tip_wei=%d",
            record.party_a, record.nonce, cancels, raised.max_wei, raised.tip_wei,
        )  # fmt: skip
        flight.signed_s, flight.signed_block = self._clock_s(), self._head.block
        flight.record = _replace(
            record,
            raw=signed.raw,
            hashes=record.hashes if cancels else (*record.hashes, signed.hash),
            cancels=(*record.cancels, signed.hash) if cancels else record.cancels,
            max_fee_wei=str(raised.max_wei),
            tip_wei=str(raised.tip_wei),
            worst_wei=str(worst_wei),
        )
        await self._store([flight])

    async def _fill_gap(self) -> None:
        """Fill the chain's next nonce where no transaction of ours has it, but some have later ones."""
        nonce = self._head.nonce
        # A nonce that an endpoint names which is behind is none.
        is_ours = nonce <= self._done or nonce in self._flights
        if is_ours or not any(f.record.nonce > nonce and f.is_pending for f in self._flights.values()):
            self._gap = (-1, 0)
            return
        looks = self._gap[1] + 1 if self._gap[0] == nonce else 1
        self._gap = (nonce, looks)
        if looks < LOOKS_TO_BE_SURE:
            return
        sights = await self._chain.sights(self._signer.address, ())
        if not sights.are_enough or sights.head.nonce != nonce:
            return
        try:
            async with self._signing:
                now_s = await self._chain.agreed_time_s()
                fees = await self._prices.expect(await self._prices.now(), now_s, takes_back=True)
                data_wei = await self._data_fees.bound_wei(b"", TRANSFER_GAS)
                await self._ceilings.expect_room(TRANSFER_GAS * fees.max_wei + data_wei, 0, now_s)
                signed = await self._signer.sign_nothing(nonce, fees)
                nothing = Purpose("", (), 0)
                flight = self._take_off(nonce, nothing, signed, fees, gas=TRANSFER_GAS, data_wei=data_wei, now_s=now_s)
        except CeilingInTheWay:
            return
        _log.warning("nonce filled nonce=%d", nonce)
        flight.record = _replace(flight.record, hashes=(), cancels=(signed.hash,))
        await self._store([flight])
        await self._hand_over(flight)

    def _take_off(
        self, nonce: int, purpose: Purpose, signed: Signed, fees: Fees, *, gas: int, data_wei: int, now_s: int
    ) -> Flight:
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
            gas=gas,
            signed_s=now_s,
            expires_s=purpose.expires_s,
            worst_wei=str(gas * fees.max_wei + data_wei),
            data_wei=str(data_wei),
            moved_e18=str(purpose.moved_e18),
            coin_e18=None if self._coin_e18 is None else str(self._coin_e18),
        )
        flight = Flight(record)
        flight.signed_s, flight.signed_block = self._clock_s(), self._head.block
        # It is among the flights from here on, so that its nonce is no gap, but it is not sent before it is on record.
        flight.is_stored = False
        self._flights[nonce] = flight
        self._ceilings.note(record)
        flights_told.tell_signed(record)
        return flight

    async def _store(self, flights: list[Flight]) -> None:
        if flights:
            for flight in flights:
                self._note(flight.record)
            await self._journal.write([flight.record for flight in flights])
            for flight in flights:
                flight.is_stored = True

    async def _is_of_use(self, flight: Flight) -> bool:
        is_out = flight.may_be_out and await self._chain.is_known(flight.hashes)
        if flight.call is not None and not is_out:
            # Signing may have taken long, or who signed it was killed. What a pool has would be refused beside itself.
            refusal = await self._chain.refusal(self._signer.address, *flight.call)
            if refusal is not None:
                flight.is_void = True
                _log.warning("transaction taken back, since it would revert nonce=%d: %s", flight.record.nonce, refusal)
        flight.call = None
        moment = await self._chain.moment(flight.kinds)
        if moment.changed and not flight.is_void:
            flight.is_void = True
            _log.error(
                "transaction taken back, since markets have other funding epochs by now nonce=%d symbols=%s",
                flight.record.nonce, sorted(moment.changed),
            )  # fmt: skip
        return not (flight.is_of_no_use(moment.now_s) or moment.unsure)

    async def _hand_over(self, flight: Flight) -> None:
        """Hand it to every node, unless it is a charge of no use: its window has closed, or its market was changed.

        Right here, since what comes before may take minutes: signing, above all.
        """
        flight.sent_s, was_void = self._clock_s(), flight.is_void
        if not flight.record.cancels and not await self._is_of_use(flight):
            if flight.is_void and not was_void:
                # Later ones of ours wait for its nonce, which is filled with the next look.
                flight.sent_s = 0.0
            return
        refusal = await self._chain.send(flight.record.raw)
        flight.was_handed_over(is_taken=refusal is None)
        if refusal is None:
            return
        self._prices.note_refusal(refusal)
        # The node may have it all the same; the chain will show what becomes of it.
        _log.warning("transaction not taken nonce=%d error=%s", flight.record.nonce, refusal)
