"""A venue of an installed package, whose faults are those of its records and rows and of nothing else.

Core relies on what a venue gives it: an account that can be written and read again, columns that can be summed. Code of
others may give anything and raise anything. A worker that ended at that would be given the same record again, for ever,
and fold no other venue's; so all that a package is asked for passes here, and comes out as ``models.venue`` says:

* What it raises at a record, and what it makes of one that no row can hold, makes the account suspect, as a record does
  that cannot be read. Only a ``BadRecord`` of ``decode`` or ``fold`` itself is the venue's word that the record is
  none, and changes nothing. Where the venue cannot say that the account is suspect, the record is refused, too.
* To leave the process, as ``sys.exit`` does, is a fault as any other; an interruption from outside is none of its own.
* What it raises at a row is a ``BadRow``, and at an account that is to be valued ``NoAnswer``, which is one whose row
  was read: the account's figures are unknown.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec

from models.account_events import Progress, decode_account_record, encode_account_record
from models.bookings import TellsBookings
from models.codec import BODY_BEGINS, join_row
from models.errors import BadRecord, BadRow, NoAnswer
from models.package_faults import cause_of, expect_own, said_of
from models.package_values import (
    checked_account,
    checked_booked,
    checked_booking_names,
    checked_exposure,
    checked_held,
    checked_history,
    checked_valuation,
    encoded,
    expect_object,
    expect_size,
)
from models.row_bodies import MISSED_BEGINS
from models.valuations import UNPRICED, VALUED
from models.venue import Settled, Valued

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.account_events import RolledBack
    from models.book_figures import Exposure
    from models.bookings import Booked, Happened
    from models.chain_records import LogOffset
    from models.venue import Account, Held, Inputs, Positioned, Valuer, Venue
    from models.watermarks import DeploymentWatermark

    OnFault = Callable[[str, str, BaseException], None]

T = TypeVar("T")

# Hooks that a venue may have beside those of ``Venue``; whoever needs one looks whether it is there.
_OPTIONAL = ("moves", "charged")
# Hooks that are given a row itself: where one of these fails, the row cannot be read.
_READING = frozenset({"read", "read_held"})


class _Undecoded(NamedTuple):
    """A record at which the package failed before it was decoded: the account misses it."""

    position: LogOffset
    cause: str


class _Answers(NamedTuple):
    """What was asked of an account when it was folded."""

    body: bytes
    held: Any
    statement: Mapping[str, Any] | None = None
    events: Sequence[Mapping[str, Any]] = ()
    booked: Booked | None = None


class _Folded:
    """An account that was folded, as ``models.venue.Account`` says; it has the answers with it until it is written."""

    __slots__ = ("account", "answers", "applied", "suspicion", "unsettled", "version")

    def __init__(self, account: Any, answers: _Answers) -> None:  # noqa: ANN401 - it is the venue's own
        self.account = account
        self.answers: _Answers | None = answers
        self.applied, self.version = account.applied, account.version
        self.suspicion, self.unsettled = account.suspicion, account.unsettled

    def unsettled_above(self, final: int) -> bool:
        """As the venue's own account says."""
        return bool(self.account.unsettled_above(final))


class GuardedVenue:
    """A venue of a package, as ``models.venue.Venue`` says it.

    Args:
        venue: The venue. Its records are folded directly, and nobody else tells of its positions.
        on_fault: Called with its kind, what it was asked for, and what it raised, where that is not what it may raise.

    Raises:
        ValueError: It routes its records, or has others tell of positions: both are of built-in venues alone. Or
            ``booking_names`` has a name that no booking has.
    """

    routed = None
    told = None

    def __init__(self, venue: Venue[Any, Any, Any], on_fault: OnFault) -> None:
        self.kind, self.raw, self.references = venue.kind, venue.raw, venue.references
        self.figures_version = venue.figures_version
        # A package need not say it; core works nothing out of what it does not know to be linear.
        self.is_linear = getattr(venue, "is_linear", False) is True
        if venue.routed is not None or venue.told is not None:
            msg = f"expected a venue whose routed and told are None, found {venue.routed} and {venue.told}"
            raise ValueError(msg)
        self._venue = venue
        self._on_fault = on_fault
        for name in _OPTIONAL:
            if hasattr(venue, name):
                own = getattr(venue, name)
                setattr(self, name, partial(_asked, own) if callable(own) else own)
        if isinstance(venue, TellsBookings):
            self.booking_names = checked_booking_names(venue.booking_names)
            self.bookings = self._bookings

    def account_id(self, text: str) -> str | None:
        """As the venue says; None where it cannot say."""
        try:
            spelt = self._venue.account_id(text)
        except BaseException as error:  # noqa: BLE001 - code of others may raise anything
            self._fault("account_id", error)
            return None
        return spelt if isinstance(spelt, str) else None

    def reference(self, name: str, value: bytes) -> Any:  # noqa: ANN401 - it is the venue's own
        """As the venue says.

        Raises:
            BadRecord: The venue raises anything.
        """
        return self._of_record("reference", lambda: self._venue.reference(name, value))

    def routes(self, deployments: Mapping[str, Any], rows: object) -> Any:  # noqa: ANN401
        """Nothing: records are folded directly.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def notices(self, deployments: Mapping[str, Any], rows: object) -> None:
        """Nothing is told to holders beside the account itself."""

    def decode(self, value: bytes, position: LogOffset) -> Positioned:
        """As the venue says; where it raises anything else, or its record stands elsewhere, one that cannot be folded.

        Raises:
            BadRecord: The venue raises it.
        """
        try:
            record = self._venue.decode(value, position)
        except BadRecord as error:
            # It may be of a class of the package's own.
            raise BadRecord(cause_of(error)) from error
        except BaseException as error:  # noqa: BLE001 - code of others may raise anything
            return self._undecoded(position, error)
        try:
            return _expect_standing(record, position)
        except BaseException as error:  # noqa: BLE001 - what it gave may raise anything, too
            return self._undecoded(position, error)

    def _undecoded(self, position: LogOffset, error: BaseException) -> _Undecoded:
        self._fault("decode", error)
        return _Undecoded(position, cause_of(error))

    def read(self, row: bytes) -> Any:  # noqa: ANN401 - it is the venue's own
        """As the venue says.

        Raises:
            BadRow: The venue raises anything.
        """
        return self._of_row("read", lambda: checked_account(self._venue.read(row)))

    def read_held(self, row: bytes) -> Any:  # noqa: ANN401 - it is the venue's own
        """As the venue says.

        Raises:
            BadRow: The venue raises anything.
        """
        return self._of_row("read_held", lambda: checked_held(self._venue.read_held(row)))

    def write(self, account: Account) -> bytes:
        """The body of the account's row."""
        answers = _answers(account)
        return self._venue.write(_own(account)) if answers is None else answers.body

    def held(self, account: Account) -> Any:  # noqa: ANN401 - it is the venue's own
        """What the account holds; its row was written by now.

        Raises:
            BadRow: The venue raises anything.
        """
        answers = _answers(account)
        if answers is not None and isinstance(account, _Folded):
            account.answers = None
            return answers.held
        return self._of_row("held", lambda: checked_held(self._venue.held(_own(account))))

    def statement(self, account: Account) -> Mapping[str, Any] | None:
        """What the account shows."""
        answers = _answers(account)
        return self._venue.statement(_own(account)) if answers is None else answers.statement

    def events(self, before: Account | None, record: Positioned, after: Account) -> Sequence[Mapping[str, Any]]:
        """What the record did to the account."""
        answers = _answers(after)
        return self._venue.events(_own(before), record, _own(after)) if answers is None else answers.events

    def fold(self, before: Account | None, record: Positioned, known: DeploymentWatermark) -> Any:  # noqa: ANN401
        """As the venue says; suspect where it raises anything but ``BadRecord``, or where its account is none.

        Raises:
            BadRecord: The venue's own fold raises it, or the venue cannot say that the account is suspect.
        """
        if isinstance(record, _Undecoded):
            return self.doubt(before, record.position, record.cause)
        try:
            after = self._venue.fold(_own(before), record, known)
        except BadRecord as error:
            # It may be of a class of the package's own.
            raise BadRecord(cause_of(error)) from error
        except BaseException as error:  # noqa: BLE001 - code of others may raise anything
            self._fault("fold", error)
            return self.doubt(before, record.position, cause_of(error))
        if after is _own(before) and before is not None:
            return before
        try:
            answers = self._checked(before, record.position, after)
            return _Folded(after, self._with_events(before, record, after, answers))
        except BaseException as error:  # noqa: BLE001 - the record was folded, so a BadRecord is no word of it, either
            self._fault("fold", error)
            return self.doubt(before, record.position, cause_of(error))

    def doubt(self, before: Account | None, position: LogOffset, cause: str) -> Any:  # noqa: ANN401
        """As the venue says.

        Raises:
            BadRecord: It cannot say it; the cause is that of the doubt.
        """
        try:
            after = self._venue.doubt(_own(before), position, cause)
            if after is _own(before) and before is not None:
                return before
            folded = _Folded(after, self._written(before, position, after))
        except BaseException as error:
            self._fault("doubt", error)
            raise BadRecord(cause) from error
        try:
            folded.answers = self._with_statement(after, cast("_Answers", folded.answers))
        except BaseException as error:  # noqa: BLE001 - that it is suspect can be said of an account that shows nothing
            self._fault("statement", error)
        return folded

    def undo(self, before: Account, record: RolledBack) -> Any:  # noqa: ANN401 - it is the venue's own
        """As the venue says; suspect where it raises anything.

        Raises:
            BadRecord: It cannot say that the account is suspect.
        """
        try:
            after = self._venue.undo(_own(before), record)
            if after is _own(before):
                return before
            return _Folded(after, self._checked(before, record.position, after))
        except BaseException as error:  # noqa: BLE001 - code of others may raise anything
            self._fault("undo", error)
            return self.doubt(before, record.position, cause_of(error))

    def settle(self, key: bytes, before: Account, final: int, position: LogOffset) -> Settled:
        """As the venue says; suspect where it raises anything.

        Raises:
            BadRecord: It cannot say that the account is suspect.
        """
        try:
            after, finished = self._venue.settle(key, _own(before), final, position)
            history = checked_history(finished)
            after.unsettled_above(final)
            if after is _own(before):
                return Settled(before, history)
            return Settled(_Folded(after, self._checked(before, None, after)), history)
        except BaseException as error:  # noqa: BLE001 - code of others may raise anything
            self._fault("settle", error)
            return Settled(self.doubt(before, position, cause_of(error)))

    def exposure(self, deployment: str, held: Held, inputs: Inputs) -> Exposure:
        """As the venue says, in floats.

        Raises:
            BadRow: The venue raises anything, or its numbers are none.
        """
        return self._of_row(
            "exposure", lambda: checked_exposure(deployment, self._venue.exposure(deployment, held, inputs))
        )

    def view(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """As the venue says; nothing of an account whose figures are unknown, where it can say nothing of that.

        Raises:
            ValueError: The venue raises anything.
        """
        try:
            # As clients read it: it is compared with later ones, which the package may make of the same objects.
            view = msgspec.json.decode(encoded("a view", self._venue.view(body)), type=dict[str, Any])
        except BaseException as error:
            expect_own(error)
            if body.get("status") not in {VALUED, UNPRICED}:
                return {}
            self._fault("view", error)
            raise ValueError(cause_of(error)) from error
        return view

    def valuer(self, held: Held, term: int) -> Valuer:
        """As the venue says.

        Raises:
            BadRow: The venue raises anything; so does the valuer then.
        """
        return _GuardedValuer(self, self._of_row("valuer", lambda: self._venue.valuer(held, term)))

    def value(self, held: Held, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        """As the venue says.

        Raises:
            BadRow: The venue raises anything, or its columns are not those of a valuation.
        """
        return self.valued(lambda: self._venue.value(held, term, inputs, unsupported=unsupported))

    def valued(self, value: Callable[[], Valued]) -> Valued:
        """What a valuation comes to.

        Args:
            value: Values an account.

        Raises:
            BadRow: It raises anything, or its columns are not those of a valuation.
        """
        return self._of_row("value", lambda: checked_valuation(value()))

    def _bookings(self, before: Account | None, record: Positioned, after: Account, happened: Happened) -> Any:  # noqa: ANN401
        answers = _answers(after)
        return self._booked(before, record, after, happened) if answers is None else answers.booked

    def _booked(self, before: Account | None, record: Positioned, after: Account, happened: Happened) -> Booked | None:
        if not isinstance(self._venue, TellsBookings):
            return None
        booked = self._venue.bookings(_own(before), record, _own(after), happened)
        return None if booked is None else checked_booked(booked, record.position, self.booking_names)

    def _checked(self, before: Account | None, position: LogOffset | None, after: Any) -> _Answers:  # noqa: ANN401
        """Ask now for all that is asked of an account later, and expect that rows can hold it."""
        return self._with_statement(after, self._written(before, position, after))

    def _written(self, before: Account | None, position: LogOffset | None, after: Any) -> _Answers:  # noqa: ANN401
        checked_account(after)
        if position is not None and after.applied != position:
            msg = f"expected an account as of {position}, found one as of {after.applied!r:.200}"
            raise ValueError(msg)
        if before is not None and after.version <= before.version:
            msg = f"expected a version above {before.version}, found {after.version}"
            raise ValueError(msg)
        if not isinstance(after.suspicion, str | None) or not isinstance(after.unsettled, bool):
            msg = f"expected a suspicion in words and whether the account is unsettled, found {after!r:.200}"
            raise TypeError(msg)
        after.unsettled_above(0)
        body = bytes(self._venue.write(after))
        if not body.startswith(BODY_BEGINS):
            msg = f"expected write to give a JSON object, with {{ as its first byte, found {body[:60]!r}"
            raise ValueError(msg)
        if body.startswith(MISSED_BEGINS):
            msg = f"expected write to give no column missed first, which is core's own, found {body[:60]!r}"
            raise ValueError(msg)
        expect_size("a state", len(body))
        checked_held(self._venue.read_held(join_row(0, after.version, body)))
        checked_account(self._venue.read(join_row(0, after.version, body)))
        return _Answers(body, checked_held(self._venue.held(after)))

    def _with_statement(self, after: Any, answers: _Answers) -> _Answers:  # noqa: ANN401
        statement = self._venue.statement(after)
        if statement is not None:
            expect_object("a statement", statement)
        return answers._replace(statement=statement)

    def _with_events(self, before: Account | None, record: Positioned, after: Any, answers: _Answers) -> _Answers:  # noqa: ANN401
        events = list(self._venue.events(_own(before), record, after))
        for event in events:
            expect_object("an event", event)
        booked = self._booked(before, record, after, events)
        return answers._replace(events=events, booked=booked)

    def _of_record(self, hook: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except BadRecord as error:
            # It may be of a class of the package's own.
            raise BadRecord(cause_of(error)) from error
        except BaseException as error:
            self._fault(hook, error)
            raise BadRecord(cause_of(error)) from error

    def _of_row(self, hook: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except BadRow as error:
            raise BadRow(cause_of(error)) from error
        except BaseException as error:
            self._fault(hook, error)
            msg = f"expected {hook} of the venue {self.kind} to give an answer, found {said_of(error):.200}"
            raise (BadRow if hook in _READING else NoAnswer)(msg) from error

    def _fault(self, hook: str, error: BaseException) -> None:
        expect_own(error)
        self._on_fault(self.kind, hook, error)


class _GuardedValuer:
    """The valuer of a package's venue.

    Args:
        venue: Checks what it gives.
        valuer: The valuer.
    """

    def __init__(self, venue: GuardedVenue, valuer: Valuer) -> None:
        self._venue = venue
        self._valuer = valuer

    def value(self, inputs: Inputs, *, unsupported: bool) -> Valued:
        """As the venue says.

        Raises:
            BadRow: The venue raises anything, or its columns are not those of a valuation.
        """
        return self._venue.valued(lambda: self._valuer.value(inputs, unsupported=unsupported))


def _expect_standing(record: Positioned, position: LogOffset) -> Positioned:
    if record.position != position:
        msg = f"expected a record at {position}, found one at {record.position!r:.200}"
        raise TypeError(msg)
    # What is said of a deployment is written to a row as it is, and read again by the next worker.
    return decode_account_record(encode_account_record(record)) if isinstance(record, Progress) else record


def _own(account: Any) -> Any:  # noqa: ANN401 - it is the venue's own
    """The account as its venue knows it."""
    return account.account if isinstance(account, _Folded) else account


def _answers(account: Any) -> _Answers | None:  # noqa: ANN401
    """What was asked of an account when it was folded; None of one that is written."""
    return account.answers if isinstance(account, _Folded) else None


def _asked(hook: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Ask a hook that is looked for and not guarded."""
    return hook(*map(_own, arguments))
