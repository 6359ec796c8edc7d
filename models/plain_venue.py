"""A venue that says only what its accounts hold; core keeps their rows and values their positions.

It suits every venue whose records are keyed by account and whose positions gain and lose in proportion to a mark. One
whose values follow from anything else implements ``models.venue.Venue`` itself.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

import msgspec

from models.account_rows import AccountColumns, AccountRows
from models.book_figures import Exposure
from models.chain_records import LogOffset  # noqa: TC001 - msgspec resolves the annotations at run time
from models.codec import decode_order, encode_body
from models.errors import BadRecord
from models.money import E18
from models.package_faults import UNREADABLE, cause_of
from models.plain_valuer import PlainValuer
from models.venue import Settled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.account_events import RolledBack
    from models.engine.stored_rows import StoredRows
    from models.venue import Inputs, TopicSpec, Valued, Valuer
    from models.watermarks import DeploymentWatermark

S = TypeVar("S")

_E36 = E18 * E18
# As much as is kept of the cause that made an account suspect, which may quote a record of any length.
_CAUSE_CHARACTERS_MAX = 500
# The largest that ``parse_e18`` reads, 60 digits before the point. Products of two stay far below the largest float.
_AMOUNT_E18_MAX = 10**78
# The last millisecond of the year 9999, which is the last that RFC 3339 can write.
TIME_MS_MAX = 253_402_300_799_999
# Markets become parts of keys, so that one of any length would make rows that the broker does not take.
_TEXT_CHARACTERS_MAX = 128
# A row of so many positions, each with three texts of _TEXT_CHARACTERS_MAX of four bytes each, stays below 1 MB, which
# is what the broker takes.
_POSITIONS_MAX = 500
# So does one of this and of the events beside it. A worker would end at a row that the broker does not take.
WRITTEN_BYTES_MAX = 250_000


class Position(NamedTuple):
    """An open position. ``quantity_e18`` is signed, negative where it is short, and not 0; prices are positive."""

    id: str
    market: str
    quantity_e18: int
    entry_e18: int


class Holds(NamedTuple):
    """What an account holds.

    Attributes:
        balance_e18: What the account is worth at a uPnL of 0, signed.
        maintenance_e18: With less than this in it, balance and uPnL together, the account can be liquidated; >= 0.
        positions: Its positions, by id.
        time_ms: When what is newest of it happened, Unix ms.
        owner: Who owns the account, None where that is not known.
    """

    balance_e18: int
    maintenance_e18: int
    positions: Sequence[Position]
    time_ms: int
    owner: str | None = None


class Own(NamedTuple):
    """A record of an account as it was read, and where it stands in the raw topic."""

    position: LogOffset
    value: bytes


class PlainAccount(msgspec.Struct, Generic[S], frozen=True):
    """An account as of the last record folded; ``state`` is the venue's, the last good one where it is suspect."""

    applied: LogOffset
    version: int
    state: S | None
    suspect: tuple[str, LogOffset] | None = None

    @property
    def suspicion(self) -> str | None:
        """Why the record folded last made the account suspect, None where it did not."""
        return self.suspect[0] if self.suspect is not None and self.suspect[1] == self.applied else None

    @property
    def unsettled(self) -> bool:
        """Never: no record of the venue is taken back."""
        return False

    def unsettled_above(self, final: int) -> bool:  # noqa: ARG002 - it is never unsettled
        """Never, either."""
        return False


class _Columns(AccountColumns, Generic[S]):
    suspect: tuple[str, LogOffset] | None
    state: S | None


_encoder = msgspec.json.Encoder()


class PlainVenue(Generic[S]):
    """The base of a plain venue: a package subclasses it, and sets or overrides what is its own.

    Attributes:
        kind: What configurations call it.
        raw: The topic of its records, keyed ``<deployment>:<account>``.
        figures_version: It rises whenever the same account is worth something else at the same inputs.
        schema: The version of ``state``; it rises whenever rows of before can no longer be read as they are.
        state: The type of an account's state, of which msgspec makes JSON.
    """

    kind: str
    raw: TopicSpec
    figures_version: int = 1
    schema: int = 1
    state: type[S]
    routed = None
    told = None
    references: TopicSpec | None = None

    # What a package says.

    def account_id(self, text: str) -> str | None:
        """The one spelling of an account's id; by default every text that can be one is spelt as it is."""
        return text

    def apply(self, state: S | None, value: bytes) -> S:
        """Fold a record into an account's state.

        Args:
            state: The state so far, None of a new account.
            value: The record.

        Returns:
            The state after it; ``state`` itself where it changes nothing.

        Raises:
            BadRecord: It cannot be read, or does not fit the state. The account is suspect from then on, until a record
                says its whole state.
        """
        raise NotImplementedError

    def whole(self, value: bytes) -> S | None:
        """The state that a record says as a whole, by which a suspect account is known again; by default none does.

        Args:
            value: The record.

        Returns:
            None where it says only a part of the state.

        Raises:
            BadRecord: It cannot be read.
        """
        del value
        return None

    def holds(self, state: S) -> Holds:
        """What an account of a state holds."""
        raise NotImplementedError

    def reference(self, name: str, value: bytes) -> Any:  # noqa: ANN401 - it is the venue's own
        """Decode a record of the topic ``references``; a venue that has one overrides this.

        Args:
            name: The reference's name.
            value: The record.

        Raises:
            BadRecord: It cannot be read.
        """
        raise NotImplementedError

    def shows(self, state: S) -> Mapping[str, Any] | None:  # noqa: ARG002 - a venue may
        """What an account shows beside its valuation; by default nothing."""
        return None

    def happened(self, before: S | None, value: bytes, after: S) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002
        """What a record did to an account, in order; by default nothing is told of it.

        Args:
            before: The state before, None of a new account.
            value: The record.
            after: The state after it.
        """
        return ()

    # What core makes of it.

    @property
    def is_linear(self) -> bool:
        """Whether accounts are valued by core alone: a venue that values them itself may be linear or not."""
        own = type(self)
        return all(getattr(own, name) is getattr(PlainVenue, name) for name in ("exposure", "valuer", "value"))

    @cached_property
    def _rows(self) -> AccountRows[_Columns[S]]:
        # The type is known when it is run, and to no checker.
        columns: type[_Columns[S]] = cast("Any", _Columns)[self.state]
        return AccountRows(self.kind, self.schema, columns)

    def routes(self, deployments: Mapping[str, Any], rows: StoredRows) -> Any:  # noqa: ANN401
        """Nothing: records are folded directly.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def notices(self, deployments: Mapping[str, Any], rows: StoredRows) -> None:
        """Nothing is told to holders beside the account itself."""

    def decode(self, value: bytes, position: LogOffset) -> Own:
        """Keep the record as it is: what cannot be read makes its account suspect, which only the fold can say."""
        return Own(position, value)

    def read(self, row: bytes) -> PlainAccount[S]:
        """Read an account out of a row of ``accounts``, its ``ORDER_BYTES`` included.

        Raises:
            BadRow: It is another venue's, of another schema, or no row.
        """
        found = self._rows.read(row)
        return PlainAccount(found.applied, decode_order(row)[1], found.state, found.suspect)

    def write(self, account: PlainAccount[S]) -> bytes:
        """Encode the body of an account's row."""
        return self._rows.write(_Columns(self.kind, self.schema, account.applied, account.suspect, account.state))

    def fold(self, before: PlainAccount[S] | None, record: Own, known: DeploymentWatermark) -> PlainAccount[S]:
        """Fold a record; one at or below ``applied`` was folded before.

        Raises:
            BadRecord: It cannot be read, and the account is suspect already, which it stays.
        """
        del known  # No record waits for finality.
        if before is not None and record.position <= before.applied:
            return before
        try:
            if before is None or before.suspect is None:
                after = self._sound(self.apply(None if before is None else before.state, record.value))
            else:
                whole = self.whole(record.value)
                if whole is None:
                    return before
                after = self._sound(whole)
            if before is None or after is not before.state:
                self._expect_written(before, record.value, after)
        except UNREADABLE as error:
            if before is not None and before.suspect is not None:
                raise BadRecord(cause_of(error)) from error
            return self.doubt(before, record.position, cause_of(error))
        if before is not None and after is before.state:
            return before
        return PlainAccount(record.position, 1 if before is None else before.version + 1, after)

    def _sound(self, state: S) -> S:
        """The state, if it can be valued, written and shown."""
        holds = self.holds(state)
        _expect_whole("balance, maintenance margin and time", holds.balance_e18, holds.maintenance_e18, holds.time_ms)
        _expect_within("a number of positions", len(holds.positions), 0, _POSITIONS_MAX)
        for one in holds.positions:
            _expect_whole("quantity and entry price", one.quantity_e18, one.entry_e18)
            if not one.quantity_e18 or one.entry_e18 <= 0:
                msg = f"expected a quantity other than 0 at an entry price above 0, found {one}"
                raise BadRecord(msg)
            _expect_within("a quantity", one.quantity_e18, -_AMOUNT_E18_MAX, _AMOUNT_E18_MAX)
            _expect_within("an entry price", one.entry_e18, 1, _AMOUNT_E18_MAX)
            _expect_text("the id of a position", one.id)
            _expect_text("a market", one.market)
        if len({one.id for one in holds.positions}) < len(holds.positions):
            msg = f"expected positions of different ids, found {[one.id for one in holds.positions]!r:.200}"
            raise BadRecord(msg)
        _expect_within("a time in Unix ms", holds.time_ms, 0, TIME_MS_MAX)
        _expect_within("a balance", holds.balance_e18, -_AMOUNT_E18_MAX, _AMOUNT_E18_MAX)
        _expect_within("a maintenance margin", holds.maintenance_e18, 0, _AMOUNT_E18_MAX)
        if holds.owner is not None:
            _expect_text("an owner", holds.owner)
        return state

    def _expect_written(self, before: PlainAccount[S] | None, value: bytes, after: S) -> None:
        """Expect rows to hold what is kept, shown and told of a record: numbers beyond 64 bits, say, are not."""
        _expect_size("a state", len(_encoder.encode(after)))
        shown = self.shows(after)
        if shown is not None:
            _expect_size("a statement", len(encode_body(shown)))
        for told in self.happened(None if before is None else before.state, value, after):
            _expect_size("an event", len(encode_body(told)))

    def doubt(self, before: PlainAccount[S] | None, position: LogOffset, cause: str) -> PlainAccount[S]:
        """Freeze the account at its last good state."""
        if before is not None and position <= before.applied:
            return before
        suspect = cause[:_CAUSE_CHARACTERS_MAX], position
        if before is None:
            return PlainAccount(position, 1, None, suspect)
        return PlainAccount(position, before.version + 1, before.state, before.suspect or suspect)

    def undo(self, before: PlainAccount[S], record: RolledBack) -> PlainAccount[S]:  # noqa: ARG002
        """No record of the venue is taken back."""
        return before

    def settle(self, key: bytes, before: PlainAccount[S], final: int, position: LogOffset) -> Settled:  # noqa: ARG002
        """Nothing waits for finality."""
        return Settled(before)

    def statement(self, account: PlainAccount[S]) -> Mapping[str, Any] | None:
        """What the account shows, as of its last good state."""
        return None if account.state is None else self.shows(account.state)

    def events(
        self, before: PlainAccount[S] | None, record: Own, after: PlainAccount[S]
    ) -> Sequence[Mapping[str, Any]]:
        """What the record did, where it could be folded."""
        if after.state is None or after.suspect is not None:
            return ()
        return self.happened(None if before is None else before.state, record.value, after.state)

    def held(self, account: PlainAccount[S]) -> PlainAccount[S]:
        """The whole account."""
        return account

    def read_held(self, row: bytes) -> PlainAccount[S]:
        """The whole account."""
        return self.read(row)

    def exposure(self, deployment: str, held: PlainAccount[S], inputs: Inputs) -> Exposure:  # noqa: ARG002 - linear
        """Quantities by market, and what is left before liquidation."""
        if held.suspect is not None or held.state is None:
            return Exposure({}, 0.0, 0.0)
        holds = self.holds(held.state)
        signed: dict[tuple[str, int | str], float] = {}
        cost = 0
        for position in holds.positions:
            market = deployment, position.market
            signed[market] = signed.get(market, 0.0) + position.quantity_e18 / E18
            cost += position.quantity_e18 * position.entry_e18
        return Exposure(signed, cost / _E36, (holds.balance_e18 - holds.maintenance_e18) / E18)

    def view(self, body: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - a venue may
        """Nothing more than all accounts have."""
        return {}

    def valuer(self, held: PlainAccount[S], term: int) -> Valuer:
        """What values the account again and again, and works out only the positions that moved."""
        holds = Holds(0, 0, (), 0) if held.state is None else self.holds(held.state)
        return PlainValuer(held, holds, term)

    def value(self, held: PlainAccount[S], term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the positions at the marks in use, as ``PlainValuer`` does."""
        return self.valuer(held, term).value(inputs, unsupported=unsupported)


def _expect_whole(what: str, *numbers: object) -> None:
    """Raise unless all are ints: a float is not exact, and a bool would count as 1."""
    if any(type(number) is not int for number in numbers):
        msg = f"expected {what} as whole numbers, found {numbers!r:.200}"
        raise BadRecord(msg)


def _expect_within(what: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        msg = f"expected {what} from {least} to {most}, found {number!r:.200}"
        raise BadRecord(msg)


def _expect_size(what: str, size: int) -> None:
    if size > WRITTEN_BYTES_MAX:
        msg = f"expected {what} of at most {WRITTEN_BYTES_MAX} bytes as JSON, found {size}"
        raise BadRecord(msg)


def _expect_text(what: str, text: str) -> None:
    if not 0 < len(text) <= _TEXT_CHARACTERS_MAX or not text.isprintable():
        msg = f"expected {what} of 1 to {_TEXT_CHARACTERS_MAX} printable characters, found {text!r:.200}"
        raise BadRecord(msg)
