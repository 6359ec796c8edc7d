"""What packages test themselves with finds what a worker would find fault with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from tidemark_paper import Paper, State

from models.errors import BadRow
from tidemark.venue import BadRecord, Exposure, Holds, PlainAccount, Valued, ValuedWhole
from tidemark.venue_testing import GivenInputs, TriedAccount

if TYPE_CHECKING:
    from tidemark.venue import Inputs, LogOffset, Own

MARKS = GivenInputs({"BTCUSDT": "60000"})
LONG = json.dumps(
    {"kind": "snapshot", "time_ms": 1, "cash": "1000", "positions": {"BTCUSDT": ["0.5", "59000"]}}
).encode()


def tried(venue: Paper) -> TriedAccount:
    account = TriedAccount(venue)
    account.say(LONG)
    return account


def test_what_a_package_raises_beside_what_it_may_is_raised() -> None:
    class Faulty(Paper):
        def holds(self, state: State) -> Holds:
            msg = f"no holdings of {state}"
            raise OSError(msg)

    with pytest.raises(OSError, match="no holdings of"):
        tried(Faulty())


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
