"""What the unit tests of a package of a venue import beside ``tidemark.venue`` (docs/adding-a-venue.md).

An account is given records and valued at marks as a worker does it, without a broker. What would be counted as a fault
of the package in a worker is raised here.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Never

from models.book_figures import MOVE_MAX
from models.codec import ORDER_BYTES, encode_body, join_row
from models.guarded_venue import GuardedVenue
from models.money import E18, parse_e18
from models.prices import UsedMark
from models.references import UsedReference
from models.watermarks import DeploymentWatermark

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from models.venue import Inputs, Valuer, Venue

_TERM = 1
# A line in floats is off by far less than this share of its terms, and the book allows for as much.
_ROUNDING = Fraction(1, 10**12)
# The book compares floats, which say nothing of a few of the last units.
_TRUNCATION = Fraction(1, 10**15)


class GivenInputs:
    """Marks and references as a test says them, for what a venue is given as ``inputs``.

    Args:
        marks: The mark of each market, a plain decimal above 0; a market that is not named has none.
        references: References as the venue decodes them, by name.
        stale: The markets whose marks are stale.
        at_ms: The venue's time of all marks, Unix ms.
    """

    def __init__(
        self,
        marks: Mapping[int | str, str] | Mapping[str, str],
        references: Mapping[str, Any] | None = None,
        *,
        stale: Collection[int | str] = (),
        at_ms: int = 1_700_000_000_000,
    ) -> None:
        self._marks = {
            market: UsedMark(f"given:{market}", parse_e18(mark), at_ms, 0, market in stale)
            for market, mark in marks.items()
        }
        self._references = {name: UsedReference(value, 0, 0) for name, value in (references or {}).items()}

    def mark(self, market: int | str, /) -> UsedMark | None:
        """The mark in use of a market, None where the test gives none."""
        return self._marks.get(market)

    def reference(self, name: str, /) -> UsedReference | None:
        """A reference, None where the test gives none."""
        return self._references.get(name)


class TriedAccount:
    """One account of a venue; each record that changes it is followed by a row that is written and read again.

    Attributes:
        account: The account as its venue reads it from its row, None before the first record.
        events: What ``events`` told of the records so far, where the account had a statement.

    Args:
        venue: The venue, as the package offers it.
        body: What ``write`` gave of an account, in this version of the package or a former one; None for a new account.
    """

    def __init__(self, venue: Venue[Any, Any, Any], body: bytes | None = None) -> None:
        self._venue = GuardedVenue(venue, _raise)
        self._row = b""
        self._next_offset = 0
        self._valuer: Valuer | None = None
        self.account: Any = None
        self.events: list[Mapping[str, Any]] = []
        if body is not None:
            self._row = join_row(_TERM, 1, body)
            self.account = self._venue.read(self._row)
            self._next_offset = self.account.applied[0] + 1

    def say(self, *records: bytes) -> None:
        """Fold records, in order.

        Raises:
            BadRecord: ``decode`` or ``fold`` raises it: the record would be a dead letter, and the account as before.
            AssertionError: ``read`` and ``write`` lose something of the account.
            Exception: A fault of the package, which would make the account suspect in a worker.
        """
        for value in records:
            record = self._venue.decode(value, (self._next_offset, -1))
            self._next_offset += 1
            after = self._venue.fold(self.account, record, DeploymentWatermark())
            if after is self.account:
                continue
            if self._venue.statement(after) is not None:
                self.events += self._venue.events(self.account, record, after)
            self._row = join_row(_TERM, after.version, self._venue.write(after))
            self.account = self._venue.read(self._row)
            if (again := self._venue.write(self.account)) != self._row[ORDER_BYTES:]:
                msg = f"expected an account that is read to be written as before, {self._row!r}, found {again!r}"
                raise AssertionError(msg)
            self._valuer = None

    @property
    def statement(self) -> Mapping[str, Any] | None:
        """What the account shows beside its valuation."""
        return self._venue.statement(self.account)

    def value(self, inputs: Inputs, *, unsupported: bool = False) -> Mapping[str, Any]:
        """Value the account, by a valuer that is kept until the next record, and as one that was never valued.

        Args:
            inputs: The marks and references.
            unsupported: Whether its deployment is unsupported, so that its figures are unknown.

        Returns:
            The body of its row of ``valuations``.

        Raises:
            AssertionError: The two ways give different bytes.
            Exception: A fault of the package, or a column that core does not take.
        """
        held = self._venue.read_held(self._row)
        if self._valuer is None:
            self._valuer = self._venue.valuer(held, _TERM)
        kept = self._valuer.value(inputs, unsupported=unsupported)
        anew = self._venue.value(held, _TERM, inputs, unsupported=unsupported)
        if (encode_body(kept.body), kept.shown) != (encode_body(anew.body), anew.shown):
            msg = f"expected the valuer to give what value gives, {anew}, found {kept}"
            raise AssertionError(msg)
        return kept.body

    def expect_line_below(self, made_at: Inputs, moved_to: Inputs) -> None:
        """Expect the line of ``exposure`` not to lie above what is exactly left.

        Args:
            made_at: The inputs at which the line is made.
            moved_to: Where marks are by now: off by at most ``MOVE_MAX`` of what they were, where there is a slack.

        Raises:
            AssertionError: It does, so that a loss would be seen late.
            ValueError: A mark is missing, or off by more.
        """
        line = self._venue.exposure("given", self._venue.read_held(self._row), made_at)
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


def _raise(_kind: str, _hook: str, error: BaseException) -> Never:
    raise error


__all__ = ["GivenInputs", "TriedAccount"]
