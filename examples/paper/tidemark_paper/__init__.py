"""Paper trading: accounts with play money that hold positions in the markets of a real exchange.

A record is a JSON object, keyed ``<deployment>:<account>``. Each says the whole of what it is about:

    {"kind": "cash", "time_ms": 1700000000000, "amount": "1000"}
    {"kind": "position", "time_ms": 1700000001000, "market": "BTCUSDT", "size": "-0.5", "entry": "60000"}
    {"kind": "closed", "time_ms": 1700000002000, "market": "BTCUSDT", "cash": "1003.5"}
    {"kind": "snapshot", "time_ms": 1700000003000, "cash": "1000", "positions": {"BTCUSDT": ["-0.5", "60000"]}}

Each may have a number, ``"seq": 7``, by one higher than that of the record before; a snapshot has that of the last
record that is in it. So a record that is sent twice is told from a new one, and one that is missing is noticed.
"""

from typing import Literal

import msgspec

from tidemark.venue import (
    BadRecord,
    DeploymentSettings,
    DeploymentWatermark,
    Holds,
    Own,
    PlainAccount,
    PlainVenue,
    Position,
    TopicSpec,
    VenuePackage,
    parse_e18,
)

# An account can be liquidated when its equity is less than this share of what its positions cost.
_MAINTENANCE_BPS = 500
_BPS = 10_000


class Cash(msgspec.Struct, tag="cash", tag_field="kind"):
    """How much cash the account has."""

    time_ms: int
    amount: str
    seq: int | None = None


class Opened(msgspec.Struct, tag="position", tag_field="kind"):
    """The position of the account in a market; ``size`` is negative where it is short."""

    time_ms: int
    market: str
    size: str
    entry: str
    seq: int | None = None


class Closed(msgspec.Struct, tag="closed", tag_field="kind"):
    """The account has no position in a market any more, and so much cash."""

    time_ms: int
    market: str
    cash: str
    seq: int | None = None


class Snapshot(msgspec.Struct, tag="snapshot", tag_field="kind"):
    """All that the account has: size and entry price of its position in each market."""

    time_ms: int
    cash: str
    positions: dict[str, tuple[str, str]]
    seq: int | None = None


class State(msgspec.Struct, frozen=True):
    """What an account has, as of the record ``seq`` where they are numbered; texts are exact decimal numbers."""

    time_ms: int
    cash: str
    positions: dict[str, tuple[str, str]]
    seq: int | None = None


Record = Cash | Opened | Closed | Snapshot
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Paper(PlainVenue[State]):
    """Paper trading as a venue."""

    kind = "paper"
    raw = TopicSpec("paper-records", "deployment:account")
    state = State

    def apply(self, state: State | None, value: bytes) -> State:
        """Fold a record; one that is in the state already, sent again, changes nothing.

        Raises:
            BadRecord: It cannot be read, or one before it is missing.
        """
        record = _read(value)
        if state is not None and _is_old(state, record):
            return state
        if state is not None and not isinstance(record, Snapshot):
            _expect_next(state, record)
        return _after(state, record)

    def whole(self, value: bytes) -> State | None:
        """Only a snapshot says all that an account has."""
        record = _read(value)
        return _after(None, record) if isinstance(record, Snapshot) else None

    def fold(self, before: PlainAccount[State] | None, record: Own, known: DeploymentWatermark) -> PlainAccount[State]:
        """Fold a record; a snapshot from before the last good state, sent again, leaves a suspect account as it is.

        ``whole`` sees no state, and would take it for what the account has now.
        """
        if before is None or before.suspect is None or before.state is None:
            return super().fold(before, record, known)
        if _is_old(before.state, _read(record.value)):
            return before
        return super().fold(before, record, known)

    def holds(self, state: State) -> Holds:
        """Cash, and the positions at their entry prices."""
        positions = [
            Position(market, market, parse_e18(size), parse_e18(entry))
            for market, (size, entry) in sorted(state.positions.items())
        ]
        cost_e18 = sum(abs(one.quantity_e18) * one.entry_e18 for one in positions) // 10**18
        return Holds(parse_e18(state.cash), cost_e18 * _MAINTENANCE_BPS // _BPS, positions, state.time_ms)


def _read(value: bytes) -> Record:
    try:
        return _decoder.decode(value)
    except msgspec.DecodeError as error:
        msg = f"expected a record of paper trading, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error


def _is_old(state: State, record: Record) -> bool:
    """Whether a numbered record is in the state already."""
    return state.seq is not None and record.seq is not None and record.seq <= state.seq


def _expect_next(state: State, record: Record) -> None:
    if state.seq is not None and record.seq != state.seq + 1:
        msg = f"expected record {state.seq + 1}, found {record.seq}: those between are missing until a snapshot comes"
        raise BadRecord(msg)


def _after(state: State | None, record: Record) -> State:
    if isinstance(record, Snapshot):
        return State(record.time_ms, record.cash, record.positions, record.seq)
    if state is None:
        if not isinstance(record, Cash):
            msg = f"expected cash or a snapshot first, found {record}"
            raise BadRecord(msg)
        return State(record.time_ms, record.amount, {}, record.seq)
    match record:
        case Cash():
            return State(record.time_ms, record.amount, state.positions, record.seq)
        case Opened():
            opened = {record.market: (record.size, record.entry)}
            return State(record.time_ms, state.cash, state.positions | opened, record.seq)
        case Closed():
            left = {market: one for market, one in state.positions.items() if market != record.market}
            return State(record.time_ms, record.cash, left, record.seq)


class PaperSettings(DeploymentSettings):
    """The settings of a deployment of it."""

    kind: Literal["paper"] = "paper"


PACKAGE = VenuePackage(Paper(), PaperSettings)
