"""What the unit tests of a package of a venue import beside ``tidemark.venue`` (docs/adding-a-venue.md).

An account is given records and valued at marks as a worker does it, without a broker. What would be counted as a fault
of the package in a worker is raised here.
"""

from __future__ import annotations

from fractions import Fraction
from math import isclose
from typing import TYPE_CHECKING, Any

import msgspec

from models.book_figures import MOVE_MAX
from models.bookings import bookings_of, encode_booked
from models.codec import ORDER_BYTES, encode_body, join_row
from models.errors import BadRecord
from models.guarded_venue import GuardedVenue
from models.money import E18
from models.prices import MarkTick, UsedMark, mark_of
from models.references import UsedReference, read_reference, said_by
from models.valuations import SUSPECT
from models.watermarks import DeploymentWatermark

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from models.book_figures import Exposure
    from models.bookings import Booked
    from models.chain_records import LogOffset
    from models.venue import Account, Held, Inputs, Positioned, Valued, Valuer, Venue

_TERM = 1
# A line in floats is off by far less than this share of its terms, and the book allows for as much.
_ROUNDING = Fraction(1, 10**12)
# The book compares floats, which say nothing of a few of the last units.
_TRUNCATION = Fraction(1, 10**15)
# What is shown in floats may be worked out in floats, too.
_SHOWN_OFF_BY = 1e-6


class GivenInputs:
    """Marks and references as a test says them, for what a venue is given as ``inputs``.

    Args:
        marks: The mark of each market, a plain decimal above 0 and at most 10^15; a market that is not named has none.
        references: References as the venue decodes them (``TriedAccount.refer``), by name.
        stale: The markets whose marks are stale.
        at_ms: The venue's time of all marks, Unix ms, above 0.

    Raises:
        BadRecord: A mark or the time is none that a worker takes.
    """

    def __init__(
        self,
        marks: Mapping[int | str, str] | Mapping[str, str],
        references: Mapping[str, Any] | None = None,
        *,
        stale: Collection[int | str] = (),
        at_ms: int = 1_700_000_000_000,
    ) -> None:
        self._said = f"{dict(marks)}, {dict(references or {})}, stale={list(stale)}, at_ms={at_ms}"
        self._marks = {
            market: UsedMark(f"given:{market}", _mark_e18(market, mark, at_ms), at_ms, 0, market in stale)
            for market, mark in marks.items()
        }
        self._references = {name: UsedReference(value, 0, 0) for name, value in (references or {}).items()}

    def __repr__(self) -> str:
        """As it was made."""
        return f"GivenInputs({self._said})"

    def mark(self, market: int | str, /) -> UsedMark | None:
        """The mark in use of a market, None where the test gives none."""
        return self._marks.get(market)

    def reference(self, name: str, /) -> UsedReference | None:
        """A reference, None where the test gives none."""
        return self._references.get(name)


class TriedAccount:
    """One account of a venue; each record that changes it is followed by a row that is written and read again.

    Whatever a worker asks of a package for a record or a valuation is asked here twice, of an account that was kept and
    of one that was read, since all of it has to follow from the arguments alone. A fault of the package is raised as it
    is, with a note of the hook; a worker counts it, and the account is suspect from then on, as it is here, too.

    Attributes:
        account: The account as its venue reads it from its row, None before the first record.
        events: What ``events`` told of the records so far, where the account had a statement.
        booked: What ``bookings`` gave of the records so far, of a venue that has it.

    Args:
        venue: The venue, as the package offers it.
        body: What ``write`` gave of an account, in this version of the package or a former one; None for a new account.
    """

    def __init__(self, venue: Venue[Any, Any, Any], body: bytes | None = None) -> None:
        self._hooks: Any = _Hooks(venue)
        self._venue = GuardedVenue(self._hooks, self._on_fault)
        # While a record is folded a fault is kept, so that its account becomes suspect; it is raised after that.
        self._is_folding = False
        self._faults: list[BaseException] = []
        self._row = b""
        self._next_offset = 0
        self._held: Any = None
        self._valuer: Valuer | None = None
        self.account: Any = None
        self.events: list[Mapping[str, Any]] = []
        self.booked: list[Booked] = []
        if body is not None:
            self._row = join_row(_TERM, 1, body)
            self.account = self._venue.read(self._row)
            self._held = self._venue.read_held(self._row)
            self._next_offset = self.account.applied[0] + 1

    def say(self, *records: bytes) -> None:
        """Fold records, in order.

        Raises:
            BadRecord: ``decode`` or ``fold`` raises it: the record would be a dead letter, and the account as before.
            AssertionError: ``read``, ``write`` or ``held`` lose something of the account, or a hook gives another
                answer when it is asked again, or changes what it is given.
            Exception: A fault of the package, by which the account is suspect, as it is in a worker.
        """
        for value in records:
            self._say(value, (self._next_offset, -1))

    def _say(self, value: bytes, position: LogOffset) -> None:
        before = self.account
        written = None if before is None else self._venue.write(before)
        before_again = None if before is None else self._venue.read(self._row)
        self._next_offset += 1
        record, after = self._fold(before, value, position)
        told = None if after is before else self._told(before, record, after)
        if told is not None:
            self._keep(before, record, after)
        self._raise_fault()
        if before is not None and self._venue.write(before) != written:
            msg = f"expected fold to leave the account that it is given as it was, {written!r}, found {before}"
            raise AssertionError(msg)
        if told is not None:
            self._expect_kept(after.account)
        record, again = self._fold(before_again, value, position)
        self._raise_fault()
        _expect_same(told, None if again is before_again else self._told(before_again, record, again))

    def _fold(self, before: Any, value: bytes, position: LogOffset) -> tuple[Positioned, Any]:  # noqa: ANN401
        self._is_folding, self._faults = True, []
        try:
            record = self._venue.decode(value, position)
            return record, self._venue.fold(before, record, DeploymentWatermark())
        except BadRecord:
            self._raise_fault()
            raise
        finally:
            self._is_folding = False

    def _told(self, before: Account | None, record: Positioned, after: Account) -> Mapping[str, Any]:
        """What the venue gave of a record, by hook, as it is written."""
        statement = self._venue.statement(after)
        events = self._venue.events(before, record, after)
        booked = bookings_of(self._venue, before, record, after, events)
        return {
            "fold": self._venue.write(after),
            "statement": None if statement is None else encode_body(statement),
            "events": [encode_body(event) for event in events],
            "bookings": None if booked is None else [*encode_booked(booked)],
        }

    def _keep(self, before: Account | None, record: Positioned, after: Any) -> None:  # noqa: ANN401
        """Keep an account as a worker does: what it holds for valuations, and its row for all else."""
        events = self._venue.events(before, record, after)
        booked = bookings_of(self._venue, before, record, after, events)
        if booked is not None:
            self._expect_beginning(booked)
            self.booked.append(booked)
        if self._venue.statement(after) is not None:
            self.events += events
        self._row = join_row(_TERM, after.version, self._venue.write(after))
        self.account, self._held, self._valuer = self._venue.read(self._row), self._venue.held(after), None

    def _expect_kept(self, own: Any) -> None:  # noqa: ANN401 - it is the venue's own
        """Expect that a worker that reads the account's row goes on as one does that folded it."""
        first, again = self._venue.write(self.account), self._venue.write(self.account)
        if first != again:
            msg = f"expected write to give the same of an account whenever it is asked, {first!r}, found {again!r}"
            raise AssertionError(msg)
        if again != self._row[ORDER_BYTES:]:
            msg = f"expected an account that is read to be written as before, {self._row!r}, found {again!r}"
            raise AssertionError(msg)
        # Accounts of a class that compares them by identity are held against each other by what they are worth.
        if own != self.account and self._venue.read(self._row) == self.account:
            msg = f"expected read to give the account that write was given, {own}, found {self.account}"
            raise AssertionError(msg)

    def _expect_beginning(self, booked: Booked) -> None:
        """Expect bookings not to be said to be an account's first while it had positions before."""
        if not booked.is_beginning or self.account is None:
            return
        body = self._venue.value(self._held, _TERM, GivenInputs({}), unsupported=False).body
        if body["positions"] or body["status"] == SUSPECT:
            msg = f"expected is_beginning of bookings of an account that had nothing before, found {body}"
            raise AssertionError(msg)

    @property
    def statement(self) -> Mapping[str, Any] | None:
        """What the account shows beside its valuation."""
        return self._venue.statement(self.account)

    @property
    def is_suspect(self) -> bool:
        """Whether the account's figures are unknown until a record says it whole; ``suspicion`` is of one record."""
        if self.account is None:
            return False
        valued = self._venue.value(self._held, _TERM, GivenInputs({}), unsupported=False)
        return bool(valued.body["status"] == SUSPECT)

    def refer(self, name: str, value: bytes) -> Any:  # noqa: ANN401 - it is the venue's own
        """Decode a record of a reference, as what ``GivenInputs`` takes.

        Args:
            name: The reference's name.
            value: The record, which is not empty: an empty one takes the reference away.

        Raises:
            BadRecord: It is none, and what was said of the reference before would stay.
            Exception: A fault of the package, for which a worker would refuse it, too.
        """
        if not value:
            msg = f"expected a record of reference {name}, found an empty one, which takes it away"
            raise BadRecord(msg)
        said_by(self._venue, name, value, (0, 0))
        return read_reference(self._venue, name, value)

    def value(self, inputs: Inputs, *, unsupported: bool = False) -> Mapping[str, Any]:
        """Value the account, by a valuer that is kept until the next record, and as one that was never valued.

        ``exposure`` and ``view`` are asked for what a worker and a replica of the api ask them for.

        Args:
            inputs: The marks and references.
            unsupported: Whether its deployment is unsupported, so that its figures are unknown.

        Returns:
            The body of its row of ``valuations``.

        Raises:
            AssertionError: The two ways give different bytes, or what ``held`` gives is worth something else than what
                ``read_held`` gives, or a hook gives another answer when it is asked again. Or the body has another mark
                under the key of one in use, or figures that are not those of ``Shown``.
            ValueError: There is no account yet.
            Exception: A fault of the package, or a column that core does not take.
        """
        if self.account is None:
            msg = "expected an account of which something was said before it is valued"
            raise ValueError(msg)
        if self._valuer is None:
            self._valuer = self._venue.valuer(self._held, _TERM)
        kept = self._valuer.value(inputs, unsupported=unsupported)
        anew, again = (self._whole(self._held, inputs, unsupported=unsupported) for _ in range(2))
        _expect_as_valued("value to give the same whenever it is asked", anew, again)
        _expect_as_valued("the valuer to give what value gives", anew, kept)
        read = self._whole(self._venue.read_held(self._row), inputs, unsupported=unsupported)
        _expect_as_valued("what read_held gives to be worth what held gives", anew, read)
        _expect_true(kept, inputs)
        self._line(inputs)
        seen = msgspec.json.decode(encode_body(kept.body))
        view, view_again = self._venue.view(seen), self._venue.view(seen)
        if view != view_again:
            msg = f"expected view to give the same whenever it is asked, {view}, found {view_again}"
            raise AssertionError(msg)
        return kept.body

    def _whole(self, held: Held, inputs: Inputs, *, unsupported: bool) -> Valued:
        return self._venue.value(held, _TERM, inputs, unsupported=unsupported)

    def _line(self, made_at: Inputs) -> Exposure:
        line, again = (self._venue.exposure("given", self._held, made_at) for _ in range(2))
        if line != again:
            msg = f"expected exposure to give the same whenever it is asked, {line}, found {again}"
            raise AssertionError(msg)
        return line

    def _raise_fault(self) -> None:
        """Raise what the package raised first of a record, if it did."""
        if self._faults:
            raise self._faults[0]

    def _on_fault(self, kind: str, _hook: str, error: BaseException) -> None:
        error.add_note(f"raised at the hook {self._hooks.asked} of the venue {kind}, which a worker counts as a fault")
        if not self._is_folding:
            raise error
        self._faults.append(error)

    def expect_line_below(self, made_at: Inputs, moved_to: Inputs) -> None:
        """Expect the line of ``exposure`` not to lie above what is exactly left.

        Args:
            made_at: The inputs at which the line is made.
            moved_to: Where marks are by now: off by at most ``MOVE_MAX`` of what they were, where there is a slack.

        Raises:
            AssertionError: It does, so that a loss would be seen late.
            ValueError: A mark is missing, or off by more.
        """
        line = self._line(made_at)
        left = Fraction(line.margin) - Fraction(line.cost) - Fraction(line.slack or 0.0)
        terms = abs(Fraction(line.margin)) + abs(Fraction(line.cost))
        for (_, market), amount in line.signed.items():
            mark_e18 = _moved(market, made_at, moved_to, is_bounded=line.slack is not None)
            left += Fraction(amount) * Fraction(mark_e18, E18)
            terms += abs(Fraction(amount)) * Fraction(mark_e18, E18)
        exact = self.value(moved_to)["available_balance"]
        if exact is None:
            msg = f"expected an account that is valued at {moved_to}"
            raise ValueError(msg)
        if left > Fraction(int(exact), E18) + _ROUNDING * terms + _TRUNCATION:
            msg = f"expected a line of at most {exact} at 1e18, found {int(left * E18)} of {line}"
            raise AssertionError(msg)


def _moved(market: int | str, made_at: Inputs, moved_to: Inputs, *, is_bounded: bool) -> int:
    before, after = made_at.mark(market), moved_to.mark(market)
    if before is None or after is None:
        msg = f"expected a mark of {market} in both inputs, found {before} and {after}"
        raise ValueError(msg)
    if is_bounded and abs(after.mark_e18 - before.mark_e18) > MOVE_MAX * before.mark_e18:
        msg = f"expected a mark of {market} within {MOVE_MAX} of {before.mark_e18}, found {after.mark_e18}"
        raise ValueError(msg)
    return after.mark_e18


def _mark_e18(market: int | str, mark: str, at_ms: int) -> int:
    """A mark as a worker reads it, which takes no tick of another."""
    return mark_of(MarkTick("given", str(market), at_ms, at_ms, mark, None, None, None), 0).mark_e18


def _expect_same(told: Mapping[str, Any] | None, again: Mapping[str, Any] | None) -> None:
    """Expect a record that is folded again to come to the same, of each hook that was asked of it."""
    if told is None or again is None:
        if told is not again:
            msg = f"expected fold to change an account whenever it is given the same, or never, found {told or again}"
            raise AssertionError(msg)
        return
    for hook, said in told.items():
        if said != again[hook]:
            msg = f"expected {hook} to give the same whenever it is given the same, {said!r}, found {again[hook]!r}"
            raise AssertionError(msg)


def _expect_as_valued(what: str, expected: Valued, found: Valued) -> None:
    if (encode_body(expected.body), expected.shown) != (encode_body(found.body), found.shown):
        msg = f"expected {what}, {expected}, found {found}"
        raise AssertionError(msg)


def _expect_true(valued: Valued, inputs: Inputs) -> None:
    """Expect a body to name marks as they are, and to have the figures that are shown of it."""
    body = valued.body
    named = [(one["symbol"], one) for one in body["positions"]]
    for market, one in (*named, *body.get("conversions", {}).items()):
        used = inputs.mark(market)
        if used is None or one["mark_key"] != used.key:
            continue
        if (one["mark"], one["mark_offset"]) != (str(used.mark_e18), used.offset):
            msg = f"expected the mark of {market} that is in use, {used}, found {one}"
            raise AssertionError(msg)
    if valued.shown is None:
        return
    for name, shown in (("available_balance", valued.shown.available), ("notional", valued.shown.notional)):
        if not isclose(int(body[name]) / E18, shown, rel_tol=_SHOWN_OFF_BY, abs_tol=_SHOWN_OFF_BY):
            msg = f"expected Shown with the {name} of the body, {body[name]} at 1e18, found {shown}"
            raise AssertionError(msg)


class _Hooks:
    """The hooks of a venue, of which it is known which was asked last.

    Args:
        venue: The venue.
    """

    def __init__(self, venue: Venue[Any, Any, Any]) -> None:
        self._venue = venue
        self.asked = ""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - it is the venue's own
        own = getattr(self._venue, name)
        if not callable(own):
            return own

        def asked(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as the hook has them
            self.asked = name
            return own(*arguments, **named)

        return asked


__all__ = ["GivenInputs", "TriedAccount"]
