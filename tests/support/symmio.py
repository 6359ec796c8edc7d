"""Made-up logs of a Diamond, and folding a whole chain as its partition of account-events would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_abi.abi import encode

from models.account_events import AccountRecord, Transaction, Unsupported
from models.bookings import decode_booking_record
from models.chain_records import Block, Checkpoint, PartyBView, QuoteView, RawLog, Rollback, Watermark
from models.engine.accounts import Accounts
from models.engine.booker import Booker
from models.engine.tables import ACCOUNTS, QUOTE_HISTORY, WATERMARKS, MemoryTables
from models.ids import split_key
from models.symmio.abi import CATALOGUE
from models.symmio.account import AccountRow, advance, decode_account, decode_finished
from models.symmio.deployment import SymmioDeployment
from models.symmio.router import Router
from models.symmio.state import OPEN_STATUSES, PENDING_STATUSES
from models.symmio.venue import SYMMIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from models.bookings import BookingRecord
    from models.chain_records import ChainRecord
    from models.engine.step import Step, Write
    from models.symmio.state import Balances, Quote

NAME = "main"
Keyed = tuple[bytes, AccountRecord]

DIAMOND = "0x" + "d1" * 20
MULTI_ACCOUNT = "0x" + "a1" * 20
ALICE, BOB = "0x" + "0a" * 20, "0x" + "0b" * 20
HEDGER, SECOND_HEDGER = "0x" + "b1" * 20, "0x" + "b2" * 20
LIQUIDATOR = "0x" + "11" * 20
E18 = 10**18


def log(name: str, *arguments: object, address: str = DIAMOND, tx_index: int = 0, log_index: int = 0) -> RawLog:
    """Encode an event by its name; which form of it follows from the number of arguments."""
    event = next(e for e in CATALOGUE.values() if e.name == name and len(e.parameters) == len(arguments))
    values = list(zip(event.parameters, arguments, strict=True))
    topics = ["0x" + encode([p.kind], [value]).hex() for p, value in values if p.indexed]
    data = encode([p.kind for p, _ in values if not p.indexed], [value for p, value in values if not p.indexed])
    return RawLog(address, (event.topic0, *topics), "0x" + data.hex(), "0x" + f"{tx_index:064x}", tx_index, log_index)


def block(number: int, *transactions: Sequence[RawLog]) -> Block:
    """A block of these transactions; their logs are numbered."""
    placed: list[RawLog] = []
    for tx_index, logs in enumerate(transactions):
        for one in logs:
            tx = f"0x{number:032x}{tx_index:032x}"
            placed.append(RawLog(one.address, one.topics, one.data, tx, tx_index, len(placed)))
    return Block(number, f"0x{number:064x}", f"0x{number - 1:064x}", 1_700_000_000 + number, tuple(placed))


def send_quote(
    quote_id: int = 1,
    *,
    symbol_id: int = 1,
    side: int = 0,
    order_type: int = 0,
    price: int = 100 * E18,
    market_price: int = 101 * E18,
    quantity: int = 10 * E18,
) -> RawLog:
    """Alice's quote, with 50 cva, 20 liquidation fee, maintenance margins of 130 and 40, and a fee of 0.1 %."""
    whitelist: list[str] = []
    return log(
        "SendQuote", ALICE, quote_id, whitelist, symbol_id, side, order_type, price, market_price, quantity,
        *(value * E18 for value in (50, 20, 130, 40)), E18 // 1000, 2_000_000_000,
    )  # fmt: skip


def fee_out(amount: int, party_a: str = ALICE) -> RawLog:
    return log("BalanceChangePartyA", party_a, amount, 3)


def fee_in(amount: int, party_a: str = ALICE) -> RawLog:
    return log("BalanceChangePartyA", party_a, amount, 2)


def allocate(amount: int, party_a: str = ALICE) -> RawLog:
    return log("BalanceChangePartyA", party_a, amount, 0)


def allocate_b(amount: int, party_b: str = HEDGER, party_a: str = ALICE) -> RawLog:
    return log("BalanceChangePartyB", party_b, party_a, amount, 0)


class Chain:
    """A deployment's chain-blocks, routed record by record, with finality ``depth`` blocks behind the head.

    ``records`` are what the router makes of it: the account-events of all partitions in one, each with its key.
    """

    def __init__(
        self, diamond: str = DIAMOND, multi_accounts: frozenset[str] = frozenset({MULTI_ACCOUNT}), depth: int = 8
    ) -> None:
        self.depth = depth
        self.records: list[Keyed] = []
        self._tables = MemoryTables()
        self._router = Router({NAME: SymmioDeployment(diamond, multi_accounts)}, self._tables)
        self._offset = 0

    def add(self, one: Block) -> None:
        """A block, and what is final by then."""
        assert self.add_abandoned(one)
        self.say(Watermark(one.number, one.time_s, one.number - self.depth))

    def add_abandoned(self, one: Block) -> bool:
        """A block that will be rolled back; tell whether it is supported."""
        return not any(isinstance(record, Unsupported) for _, record in self.say(one))

    def roll_back(self, ancestor: int) -> None:
        self.say(Rollback(ancestor, f"0x{ancestor:064x}"))

    def say(self, record: ChainRecord) -> list[Keyed]:
        """Route a record; return what it is routed to."""
        step = self._router.apply(NAME, record, self._offset)
        self._offset += 1
        self._tables.take(step)
        self._tables.take(self._router.take_deployments())
        routed = [(output.key, output.record) for stage in step.stages for output in stage.outputs]
        self.records += routed
        return routed


class Partition:
    """A partition of the accounts' tables that holds every account, and the engine that folds into it.

    ``booked`` are the records of bookings of what ``apply`` folded, in their order, each with its key.
    """

    def __init__(self, tables: MemoryTables | None = None) -> None:
        self.tables = tables or MemoryTables()
        self.booked: list[tuple[bytes, BookingRecord]] = []
        states, booker = SYMMIO.notices({}, self.tables), Booker(SYMMIO)
        self._accounts = Accounts(0, self.tables, lambda: self.tables.keys(ACCOUNTS), SYMMIO, states, booker=booker)
        for key, row in self.tables.items(ACCOUNTS):
            self._accounts.restore(key, row)
        for key, row in self.tables.items(WATERMARKS):
            self._accounts.restore_watermark(key, row)

    def apply(self, records: Sequence[Keyed], records_a_slice: int = 25) -> Partition:
        """Fold and write records, slice by slice."""
        for start in range(0, len(records), records_a_slice):
            for stage in self.fold(records[start : start + records_a_slice]).stages:
                self.write(stage.writes)
                self.booked += [(kept.key, decode_booking_record(kept.value)) for kept in stage.bookings]
        return self

    def fold(self, records: Iterable[Keyed]) -> Step:
        """Fold records as one slice; nothing of it is written."""
        for key, record in records:
            self._accounts.apply(key, record, 0)
        return self._accounts.take()

    def write(self, writes: Iterable[Write]) -> None:
        """Write some of a step's rows."""
        for write in writes:
            self.tables.put(write)
            if write.table == ACCOUNTS:
                self._accounts.written(write.key)

    @property
    def rows(self) -> dict[str, AccountRow]:
        """Every account's row by its address."""
        return {split_key(key)[1]: decode_account(row) for key, row in self.tables.items(ACCOUNTS)}

    @property
    def finished(self) -> dict[int, tuple[str, Quote]]:
        """Every quote that left its row, by its id, with its account's address."""
        found = {}
        for key, value in self.tables.items(QUOTE_HISTORY):
            quote = decode_finished(value)
            found[quote.quote_id] = (split_key(key)[1].partition(":")[0], quote)
        return found


def checkpoint_of(account: str, row: AccountRow, number: int) -> Checkpoint:
    """The account as the contract's views would answer at a block where it stands as in ``row``."""
    state = row.state
    live = [q for q in state.quotes.values() if q.status in OPEN_STATUSES | PENDING_STATUSES]
    return Checkpoint(
        block=number,
        hash=f"0x{number:064x}",
        time_s=row.time_s,
        account=account,
        owner=state.owner,
        multi_account=state.multi_account,
        name=state.name,
        balances=_texts(state.balances),
        liquidated=state.liquidating,
        reimbursement=str(state.reimbursement),
        party_bs=tuple(PartyBView(party_b, _texts(bucket)) for party_b, bucket in state.party_b.items()),
        quotes=tuple(_view(quote) for quote in live),
    )


def _texts(balances: Balances) -> tuple[str, ...]:
    return tuple(map(str, (balances.allocated, *balances.locked, *balances.pending)))


def _view(quote: Quote) -> QuoteView:
    cva, lf, amm, bmm = map(str, quote.locked)
    first_cva, first_lf, first_amm, first_bmm = map(str, quote.initial_locked)
    return QuoteView(
        quote_id=quote.quote_id,
        symbol_id=quote.symbol_id,
        position_type=quote.position_type,
        order_type=quote.order_type,
        status=quote.status,
        party_b=quote.party_b,
        whitelist=quote.whitelist,
        requested_open_price=str(quote.requested_open_price),
        market_price=str(quote.market_price),
        opened_price=str(quote.opened_price),
        initial_opened_price=str(quote.initial_opened_price),
        quantity=str(quote.quantity),
        closed_amount=str(quote.closed_amount),
        avg_closed_price=str(quote.avg_closed_price),
        requested_close_price=str(quote.requested_close_price),
        quantity_to_close=str(quote.quantity_to_close),
        locked=(cva, lf, amm, bmm),
        initial_locked=(first_cva, first_lf, first_amm, first_bmm),
        trading_fee=str(quote.trading_fee),
        deadline_s=str(quote.deadline_s),
        parent_id=quote.parent_id,
        max_funding_rate="0",
    )


def account_with_one_long(allocated: int) -> AccountRow:
    """An account of which all is final, long 10 of symbol 1 from 100; 70 of what it allocated is cva and fee."""
    logs = (
        allocate(allocated),
        allocate_b(1_000 * E18),
        fee_out(0),
        send_quote(1, symbol_id=1, side=0),
        log("LockQuote", HEDGER, 1),
        log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, 100 * E18),
    )
    return advance(None, Transaction((4, 2), 30, 1_030, "0x01", logs), final=30)
