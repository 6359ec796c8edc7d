"""What packages test themselves with finds what a worker would find fault with."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tidemark_paper import Paper, State

from models.errors import BadRow
from tidemark.venue import BadRecord, Booked, Booking, Exposure, Holds, PlainAccount, TopicSpec, Valued, ValuedWhole
from tidemark.venue_testing import GivenInputs, TriedAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tidemark.venue import Inputs, LogOffset, Own

MARKS = GivenInputs({"BTCUSDT": "60000"})
LONG = json.dumps(
    {"kind": "snapshot", "time_ms": 1, "cash": "1000", "positions": {"BTCUSDT": ["0.5", "59000"]}}
).encode()


CASH = b'{"kind": "cash", "time_ms": 2, "amount": "7"}'


def tried(venue: Paper, *records: bytes) -> TriedAccount:
    account = TriedAccount(venue)
    account.say(LONG, *records)
    return account


def richer(account: PlainAccount[State], cash: object) -> PlainAccount[State]:
    """The account with other cash in it."""
    assert account.state is not None
    return msgspec.structs.replace(account, state=msgspec.structs.replace(account.state, cash=str(cash)))


def test_what_a_package_raises_beside_what_it_may_is_raised() -> None:
    class Faulty(Paper):
        def holds(self, state: State) -> Holds:
            msg = f"no holdings of {state}"
            raise OSError(msg)

    account = TriedAccount(Faulty())
    with pytest.raises(OSError, match="no holdings of") as found:
        account.say(LONG)

    assert ["raised at the hook fold of the venue paper, which a worker counts as a fault"] == found.value.__notes__


class Lost(Exception):
    """What no package may raise."""


def _loses(*_: object) -> Any:  # noqa: ANN401 - it gives nothing
    msg = "no"
    raise Lost(msg)


@pytest.mark.parametrize(
    ("hook", "fault", "error"),
    [
        ("decode", _loses, Lost),
        ("fold", _loses, Lost),
        ("statement", _loses, Lost),
        ("events", _loses, Lost),
        ("fold", lambda *_: None, AttributeError),
        ("events", lambda *_: [5], TypeError),
    ],
)
def test_a_fault_makes_the_account_suspect_as_in_a_worker_and_names_its_hook(
    hook: str, fault: Callable[..., Any], error: type[Exception]
) -> None:
    venue = Paper()
    account = tried(venue)
    setattr(venue, hook, fault)
    with pytest.raises(error) as found:
        account.say(CASH)
    delattr(venue, hook)

    assert f"at the hook {hook} of" in found.value.__notes__[0]
    assert account.is_suspect
    account.say(LONG)
    assert not account.is_suspect


@pytest.mark.parametrize(
    ("hook", "named"), [("read", "read_held"), ("held", "held"), ("read_held", "read_held"), ("write", "write")]
)
def test_a_fault_at_what_is_made_of_a_record_makes_the_account_suspect_too(hook: str, named: str) -> None:
    venue = Paper()
    account = tried(venue)
    before, whole = account.account, getattr(venue, hook)
    # It fails at the record alone, not at the account before it. A plain venue reads what is held by ``read``.
    setattr(venue, hook, lambda asked: whole(asked) if asked is before or b'"1000"' in _bytes(asked) else None)
    with pytest.raises((AttributeError, TypeError)) as found:
        account.say(CASH)

    assert f"at the hook {named} of" in found.value.__notes__[0]
    assert account.is_suspect


def _bytes(asked: object) -> bytes:
    return asked if isinstance(asked, bytes) else repr(asked).replace("'", '"').encode()


def test_that_an_account_is_suspect_is_told_beyond_the_record_that_made_it_so() -> None:
    account = TriedAccount(Paper())
    assert not account.is_suspect
    account.say(b"nonsense")
    account.say(CASH)
    with pytest.raises(BadRecord, match="expected a record of paper trading"):
        account.say(b"more nonsense")
    assert account.is_suspect
    account.say(LONG)

    assert not account.is_suspect


def test_a_record_that_a_venue_refuses_leaves_the_account_as_it_was() -> None:
    class Choosy(Paper):
        def decode(self, value: bytes, position: LogOffset) -> Own:
            if not value:
                msg = "expected something"
                raise BadRecord(msg)
            return super().decode(value, position)

    account = tried(Choosy())
    before = account.account
    with pytest.raises(BadRecord, match="expected something"):
        account.say(b"")

    assert before is account.account


def test_rows_that_lose_something_are_found() -> None:
    class Forgetful(Paper):
        def read(self, row: bytes) -> PlainAccount[State]:
            found = super().read(row)
            assert found.state is not None
            return PlainAccount(found.applied, found.version, State(0, found.state.cash, found.state.positions))

    with pytest.raises(AssertionError, match="expected an account that is read to be written as before"):
        tried(Forgetful())


def test_a_row_that_has_other_than_the_account_is_found() -> None:
    class Wrong(Paper):
        def write(self, account: PlainAccount[State]) -> bytes:
            return super().write(richer(account, 1))

    with pytest.raises(AssertionError, match="expected read to give the account that write was given"):
        tried(Wrong())


@pytest.mark.parametrize("hook", ["held", "read_held"])
def test_that_a_kept_account_is_worth_something_else_than_one_that_is_read_is_found(hook: str) -> None:
    venue = Paper()
    whole = getattr(venue, hook)
    setattr(venue, hook, lambda asked: richer(whole(asked), 7))

    with pytest.raises(AssertionError, match="expected what read_held gives to be worth what held gives"):
        tried(venue).value(MARKS)


def test_a_row_that_has_other_than_an_account_that_cannot_be_compared_is_found_when_it_is_valued() -> None:
    class Opaque(PlainAccount[State], frozen=True):
        """None is equal to another."""

        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return self is other

    def opaque(found: PlainAccount[State]) -> PlainAccount[State]:
        return Opaque(found.applied, found.version, found.state, found.suspect)

    class Wrong(Paper):
        def read(self, row: bytes) -> PlainAccount[State]:
            return opaque(super().read(row))

        def fold(self, before: Any, record: Own, known: Any) -> Any:  # noqa: ANN401 - of both classes
            return opaque(super().fold(before, record, known))

        def write(self, account: PlainAccount[State]) -> bytes:
            return super().write(richer(account, 1))

    with pytest.raises(AssertionError, match="expected what read_held gives to be worth what held gives"):
        tried(Wrong()).value(MARKS)


class Counting(Paper):
    """Each of its answers may have in it how often it was asked."""

    booking_names: Sequence[str] = ("fee",)

    def __init__(self, impure: str) -> None:
        self._impure, self._times = impure, count(1)

    def _of(self, hook: str) -> int:
        return next(self._times) if hook == self._impure else 0

    def apply(self, state: State | None, value: bytes) -> State:
        after = super().apply(state, value)
        return msgspec.structs.replace(after, cash=f"{after.cash}.{self._of('apply'):05}")

    def whole(self, value: bytes) -> State | None:
        after = super().whole(value)
        return after and msgspec.structs.replace(after, cash=f"{after.cash}.{self._of('whole'):05}")

    def write(self, account: PlainAccount[State]) -> bytes:
        return super().write(account)[:-1] + b',"times":%d}' % self._of("write")

    def shows(self, _state: State) -> Mapping[str, Any]:
        return {"times": self._of("shows")}

    def happened(self, _before: State | None, _value: bytes, _after: State) -> Sequence[Mapping[str, Any]]:
        return [{"times": self._of("happened")}]

    def bookings(self, _before: Any, record: Own, _after: Any, _happened: Any) -> Booked:  # noqa: ANN401
        return Booked(record.position, -1, 1, (Booking("fee", "paid", balance=str(self._of("bookings"))),))

    def exposure(self, deployment: str, held: PlainAccount[State], inputs: Inputs) -> Exposure:
        line = super().exposure(deployment, held, inputs)
        return line._replace(margin=line.margin - self._of("exposure"))

    def value(self, held: PlainAccount[State], term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        valued = super().valuer(held, term).value(inputs, unsupported=unsupported)
        return valued._replace(body={**valued.body, "times": self._of("value")})

    def valuer(self, held: PlainAccount[State], term: int) -> ValuedWhole:
        return ValuedWhole(self, held, term)

    def view(self, _body: Mapping[str, Any]) -> dict[str, Any]:
        return {"times": self._of("view")}


@pytest.mark.parametrize(
    ("impure", "named"),
    [
        ("apply", "fold"), ("whole", "fold"), ("write", "write"), ("shows", "statement"), ("happened", "events"),
        ("bookings", "bookings"), ("exposure", "exposure"), ("value", "value"), ("view", "view"),
    ],
)  # fmt: skip
def test_a_hook_that_gives_another_answer_when_it_is_asked_again_is_found(impure: str, named: str) -> None:
    def say() -> None:
        account = TriedAccount(Counting(impure))
        account.say(b"nonsense", LONG, CASH)
        account.value(MARKS)

    with pytest.raises(AssertionError, match=f"^expected {named} to give the same"):
        say()


def test_a_package_that_always_gives_the_same_passes() -> None:
    account = TriedAccount(Counting("nothing"))
    account.say(b"nonsense", LONG, CASH)

    assert ("valued", 0) == (account.value(MARKS)["status"], account.value(MARKS)["times"])
    assert [{"times": 0}, {"times": 0}] == account.events
    assert ["0"] * 3 == [one.balance for booked in account.booked for one in booked.bookings]


def test_a_fold_that_changes_what_it_is_given_is_found() -> None:
    class Emptying(Paper):
        def apply(self, state: State | None, value: bytes) -> State:
            after = super().apply(state, value)
            if state is not None:
                after = msgspec.structs.replace(after, positions={})
                state.positions.clear()
            return after

    with pytest.raises(AssertionError, match="expected fold to leave the account that it is given as it was"):
        tried(Emptying(), CASH)


def test_a_fold_that_changes_an_account_only_sometimes_is_found() -> None:
    class Once(Paper):
        def __init__(self) -> None:
            self._times = count()

        def apply(self, state: State | None, value: bytes) -> State:
            return super().apply(state, value) if state is None or next(self._times) else state

    with pytest.raises(AssertionError, match="expected fold to change an account whenever"):
        tried(Once(), CASH)


FEE = Booking("fee", "paid", balance="-1")


@pytest.mark.parametrize(
    ("booked", "said"),
    [
        (Booked((99, -1), -1, 1, (FEE,)), r"expected all bookings of the record at \(1, -1\)"),
        (Booked((1, -1), -1, 1, (FEE,), first=1), r"expected all bookings of the record at \(1, -1\)"),
        (Booked((1, -1), -1, 1, (msgspec.structs.replace(FEE, name="transfer"),)), "names booking_names has, fee"),
        (Booked((1, -1), -1, 1, (msgspec.structs.replace(FEE, balance="1.5"),)), "expected a record of bookings"),
    ],
)
def test_bookings_that_no_reader_could_keep_are_found(booked: Booked, said: str) -> None:
    venue: Any = Counting("nothing")
    account = tried(venue)
    venue.bookings = lambda *_: booked
    with pytest.raises(ValueError, match=said):
        account.say(CASH)

    assert account.is_suspect


def test_bookings_that_are_no_beginning_of_an_account_are_found() -> None:
    venue: Any = Counting("nothing")
    venue.bookings = lambda _before, record, *_: Booked(record.position, -1, 1, (FEE,), is_beginning=True)
    with pytest.raises(AssertionError, match="expected is_beginning of bookings of an account that had nothing before"):
        tried(venue, CASH)


@pytest.mark.parametrize("names", [5, None, "fee", ["costs"], [["fee"]]])
def test_names_that_no_booking_has_are_refused(names: object) -> None:
    venue: Any = Counting("nothing")
    venue.booking_names = names
    with pytest.raises(ValueError, match="expected booking_names out of open, close"):
        TriedAccount(venue)


class Taxed(Paper):
    """A reference says what share of an account is kept back, in percent."""

    references = TopicSpec("paper-taxes", "deployment:name")

    def reference(self, name: str, value: bytes) -> int:
        if name == "odd":
            raise Lost
        return int(value)


def test_a_reference_is_decoded_as_a_worker_does() -> None:
    account = TriedAccount(Taxed())
    used = GivenInputs({}, {"tax": account.refer("tax", b"5")}).reference("tax")

    assert used is not None
    assert 5 == used.value
    for name, value in (("tax", b"five"), ("tax", b"\xff"), ("a tax", b"5"), ("tax", b"")):
        with pytest.raises(BadRecord):
            account.refer(name, value)
    with pytest.raises(Lost):
        account.refer("odd", b"5")


def test_a_fault_of_a_view_is_raised() -> None:
    class Blind(Paper):
        def view(self, body: Mapping[str, Any]) -> dict[str, Any]:
            return {"none": body["none"]}

    with pytest.raises(KeyError, match="none"):
        tried(Blind()).value(MARKS)


def test_an_account_of_which_nothing_was_said_has_no_value() -> None:
    with pytest.raises(ValueError, match="expected an account of which something was said"):
        TriedAccount(Paper()).value(MARKS)


@pytest.mark.parametrize("mark", ["0", "-1", "NaN", "1e3", "1000000000000001", "0.0000000000000000001"])
def test_a_mark_that_no_worker_takes_is_refused(mark: str) -> None:
    with pytest.raises(BadRecord, match="mark of given:BTCUSDT"):
        GivenInputs({"BTCUSDT": mark})


def test_inputs_show_what_they_were_made_of() -> None:
    given = GivenInputs({"BTCUSDT": "5"}, {"tax": 7}, stale=["BTCUSDT"], at_ms=9)

    assert "GivenInputs({'BTCUSDT': '5'}, {'tax': 7}, stale=['BTCUSDT'], at_ms=9)" == repr(given)


def test_a_row_that_cannot_be_read_is_said_to_be_one() -> None:
    with pytest.raises(BadRow, match="expected schema 1 of paper, found 2 of paper"):
        TriedAccount(Paper(), b'{"venue": "paper", "schema": 2}')


def test_a_valuer_that_gives_other_figures_than_value_is_found() -> None:
    class Stubborn(Paper):
        def value(self, held: PlainAccount[State], term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
            valued = super().value(held, term, inputs, unsupported=unsupported)
            return valued._replace(body={**valued.body, "own": 1})

    with pytest.raises(AssertionError, match="expected the valuer to give what value gives"):
        tried(Stubborn()).value(MARKS)


def test_a_column_that_core_does_not_take_is_found() -> None:
    class Rounding(Paper):
        def value(self, held: PlainAccount[State], term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
            valued = super().valuer(held, term).value(inputs, unsupported=unsupported)
            return valued._replace(body={**valued.body, "upnl": 1.5})

        def valuer(self, held: PlainAccount[State], term: int) -> ValuedWhole:
            return ValuedWhole(self, held, term)

    with pytest.raises(msgspec.ValidationError, match="got `float`"):
        tried(Rounding()).value(MARKS)


class Altered(Paper):
    """Values accounts as paper trading does, but for what a test makes of that."""

    def __init__(self, alter: Callable[[Valued], Valued]) -> None:
        self._alter = alter

    def value(self, held: PlainAccount[State], term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        return self._alter(super().valuer(held, term).value(inputs, unsupported=unsupported))

    def valuer(self, held: PlainAccount[State], term: int) -> ValuedWhole:
        return ValuedWhole(self, held, term)


def _other_mark(valued: Valued) -> Valued:
    return valued._replace(
        body={**valued.body, "positions": [{**one, "mark": "5"} for one in valued.body["positions"]]}
    )


def _other_conversion(valued: Valued) -> Valued:
    converted = {"mark": "5", "mark_key": "given:BTCUSDT", "mark_offset": 0, "stale": False}
    return valued._replace(body={**valued.body, "conversions": {"BTCUSDT": converted}})


@pytest.mark.parametrize("alter", [_other_mark, _other_conversion])
def test_a_mark_that_is_not_the_one_in_use_is_found(alter: Callable[[Valued], Valued]) -> None:
    with pytest.raises(AssertionError, match="expected the mark of BTCUSDT that is in use"):
        tried(Altered(alter)).value(MARKS)


def test_figures_that_are_shown_other_than_they_are_written_are_found() -> None:
    def hopeful(valued: Valued) -> Valued:
        return valued._replace(shown=valued.shown and valued.shown._replace(available=1e9))

    with pytest.raises(AssertionError, match="expected Shown with the available_balance of the body"):
        tried(Altered(hopeful)).value(MARKS)


def test_a_line_that_understates_a_loss_is_found() -> None:
    class Hopeful(Paper):
        def exposure(self, deployment: str, held: PlainAccount[State], inputs: Inputs) -> Exposure:
            line = super().exposure(deployment, held, inputs)
            return line._replace(margin=line.margin + 1e-6)

    with pytest.raises(AssertionError, match="expected a line of at most"):
        tried(Hopeful()).expect_line_below(MARKS, MARKS)
    tried(Paper()).expect_line_below(MARKS, GivenInputs({"BTCUSDT": "1"}))


def test_a_move_beyond_reach_of_a_line_with_a_slack_is_refused() -> None:
    class Curved(Paper):
        def exposure(self, deployment: str, held: PlainAccount[State], inputs: Inputs) -> Exposure:
            return super().exposure(deployment, held, inputs)._replace(slack=0.1)

    with pytest.raises(ValueError, match="expected a mark of BTCUSDT within"):
        tried(Curved()).expect_line_below(MARKS, GivenInputs({"BTCUSDT": "61000"}))


def test_a_line_is_held_against_marks_that_are_known() -> None:
    with pytest.raises(ValueError, match="expected a mark of BTCUSDT in both inputs"):
        tried(Paper()).expect_line_below(MARKS, GivenInputs({}))
