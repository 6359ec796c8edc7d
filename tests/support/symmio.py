"""Made-up logs of a Diamond, and folding a whole chain as its partition of account-events would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eth_abi.abi import encode

from models.account_events import Final, RolledBack, Transaction
from models.chain_records import Block, Checkpoint, PartyBView, QuoteView, RawLog
from models.symmio.abi import CATALOGUE
from models.symmio.account import AccountRow, advance, settle
from models.symmio.routing import route_block
from models.symmio.state import OPEN_STATUSES, PENDING_STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from models.symmio.state import Balances, Quote

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


@dataclass
class Chain:
    """What a partition that holds every account makes of a chain, with finality ``depth`` blocks behind the head."""

    diamond: str = DIAMOND
    multi_accounts: frozenset[str] = frozenset({MULTI_ACCOUNT})
    depth: int = 8
    records: list[tuple[str | None, Transaction | Final | RolledBack]] = field(default_factory=list)
    _holders: dict[int, str] = field(default_factory=dict)
    _offset: int = 0
    _begun_at: int | None = None

    def add(self, one: Block) -> None:
        """Route a block, and say what is final."""
        assert self.add_abandoned(one)
        position = (self._offset - 1, -1)
        self.records.append((None, Final(position, one.number, one.time_s, one.number - self.depth)))

    def add_abandoned(self, one: Block) -> bool:
        """Route a block that will be rolled back; tell whether it is supported."""
        routed = route_block(
            one,
            offset=self._offset,
            diamond=self.diamond,
            multi_accounts=self.multi_accounts,
            account_of=self._holders.get,
            begun=self._begun_at is not None,
        )
        if routed.begun and self._begun_at is None:
            self._begun_at = one.number
        self._holders |= {quote_id: account for quote_id, account, _ in routed.quotes}
        self.records += routed.transactions
        self._offset += 2
        return routed.unsupported is None

    def roll_back(self, ancestor: int) -> None:
        if self._begun_at is not None and self._begun_at > ancestor:
            self._begun_at = None
        self.records.append((None, RolledBack((self._offset, -1), ancestor)))
        self._offset += 1


@dataclass
class Partition:
    """Rows of every account, and what left them."""

    depth: int = 8
    rows: dict[str, AccountRow] = field(default_factory=dict)
    finished: dict[int, tuple[str, Quote]] = field(default_factory=dict)

    def apply(self, records: Iterable[tuple[str | None, Transaction | Final | RolledBack]]) -> Partition:
        for account, record in records:
            match record:
                case Transaction():
                    assert account is not None
                    final = record.block - self.depth
                    self.rows[account] = advance(self.rows.get(account), record, final=final)
                case Final():
                    for key, row in self.rows.items():
                        self.rows[key], gone = settle(row, record.final, record.position)
                        self.finished |= {quote.quote_id: (key, quote) for quote in gone}
                case RolledBack():
                    self.rows = {key: advance(row, record) for key, row in self.rows.items()}
        return self


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
        fee_out(0),
        send_quote(1, symbol_id=1, side=0),
        log("LockQuote", HEDGER, 1),
        log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, 100 * E18),
    )
    return advance(None, Transaction((4, 2), 30, 1_030, "0x01", logs), final=30)
