"""What an account of inverse contracts has, and what records do to it."""

import msgspec

from tidemark.venue import BadRecord, format_e18, parse_e18


class Contract(msgspec.Struct, frozen=True):
    """An open position: ``size`` in dollars, negative where it is short, at ``entry`` dollars a coin."""

    market: str
    size: str
    entry: str

    @property
    def size_e18(self) -> int:
        """Its signed size in dollars."""
        return parse_e18(self.size)

    @property
    def entry_e18(self) -> int:
        """Its entry price."""
        return parse_e18(self.entry)


class Paid(msgspec.Struct, tag="paid", tag_field="kind"):
    """So many coins were added to a wallet."""

    time_ms: int
    wallet: str
    amount: str


class Ordered(msgspec.Struct, tag="order", tag_field="kind"):
    """An order keeps a margin back; none, once it is gone."""

    time_ms: int
    id: str
    margin: str


class Opened(msgspec.Struct, tag="position", tag_field="kind"):
    """A position as it is now; its size is 0 once it is closed."""

    time_ms: int
    id: str
    market: str
    size: str
    entry: str


class Whole(msgspec.Struct, tag="whole", tag_field="kind", frozen=True):
    """All that an account has: coins by wallet, margins by order, positions by id."""

    time_ms: int
    wallets: dict[str, str]
    orders: dict[str, str]
    positions: dict[str, Contract]


Record = Paid | Ordered | Opened | Whole
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def read_record(value: bytes) -> Record:
    """Read a record.

    Raises:
        BadRecord: It is none.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a record of inverse contracts, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error


def after(state: Whole | None, record: Record) -> Whole:
    """Fold a record into what an account has.

    Raises:
        BadRecord: Something in it cannot be.
        BadNumber: A number cannot be read.
    """
    before = state or Whole(record.time_ms, {}, {}, {})
    return _sound(_changed(before, record))


def _changed(before: Whole, record: Record) -> Whole:
    match record:
        case Whole():
            return record
        case Paid():
            coins_e18 = parse_e18(before.wallets.get(record.wallet, "0")) + parse_e18(record.amount)
            wallets = before.wallets | {record.wallet: format_e18(coins_e18)}
            return Whole(record.time_ms, wallets, before.orders, before.positions)
        case Ordered():
            orders = before.orders | {record.id: record.margin}
            if not parse_e18(record.margin):
                del orders[record.id]
            return Whole(record.time_ms, before.wallets, orders, before.positions)
        case Opened():
            contract = Contract(record.market, record.size, record.entry)
            positions = before.positions | {record.id: contract}
            if not contract.size_e18:
                del positions[record.id]
            return Whole(record.time_ms, before.wallets, before.orders, positions)


def _sound(state: Whole) -> Whole:
    for coins in state.wallets.values():
        parse_e18(coins)
    for margin in state.orders.values():
        if parse_e18(margin) <= 0:
            msg = f"expected a margin of an order of 0 or more, above 0 in a whole state, found {margin}"
            raise BadRecord(msg)
    for contract in state.positions.values():
        if not contract.size_e18 or contract.entry_e18 <= 0:
            msg = f"expected a size other than 0 at an entry price above 0, found {contract}"
            raise BadRecord(msg)
    return state
