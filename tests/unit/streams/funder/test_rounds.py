"""Which outcomes on record whoever comes next does not believe, given the transactions on record."""

from __future__ import annotations

import pytest

from models.symmio.funding_records import ChargeCells, Epoch, Frozen, Outcome, Plan, Transaction
from streams.funder.flights import State
from streams.funder.rounds import Round

SIGNER, ALICE = "0x" + "51" * 20, "0x" + "a1" * 20
EPOCH = Epoch(14_400, 420, 14_400)


def round_where(*, paid: tuple[int, ...] = (), culprits: tuple[int, ...] = (), final: bool = False) -> Round:
    one = Round(Frozen(EPOCH, 14_400, 14_820, 14_404, 14_404, {}, {}, 1))
    quotes = sorted({*paid, *culprits})
    one.plans[ALICE] = Plan(EPOCH, ALICE, tuple((quote_id, 1) for quote_id in quotes))
    said = dict.fromkeys(culprits, "its charge reverted alone in block 9, and no two endpoints say why")
    one.outcomes[ALICE] = Outcome(EPOCH, ALICE, paid, (), {}, said, {}, final=final)
    return one


def sent(nonce: int, state: State, *quote_ids: int, epoch: Epoch = EPOCH) -> Transaction:
    charges = tuple(ChargeCells(one, epoch, "1", "1", 1) for one in quote_ids)
    return Transaction(SIGNER, nonce, ALICE, charges, state, 14_820, "", (f"0x{nonce}",))


ALONE = sent(1, State.REVERTED, 1)


@pytest.mark.parametrize(
    ("records", "is_believed"),
    [
        ((ALONE,), True),
        # Whoever wrote the outcome was killed before it saw what the fork did.
        ((sent(1, State.SENT, 1),), False),
        ((sent(1, State.MINED, 1),), False),
        ((sent(1, State.CANCELLED, 1),), False),
        ((sent(1, State.LOST, 1),), False),
        # Another revert of its own is still there, a revert of its batch says nothing of it.
        ((ALONE, sent(2, State.SENT, 1)), True),
        ((sent(1, State.REVERTED, 1, 2), sent(2, State.SENT, 1)), False),
        ((ALONE, sent(2, State.MINED, 1)), False),
        # Others' transactions, and those of other epochs, say nothing.
        ((ALONE, sent(2, State.SENT, 3)), True),
        ((ALONE, sent(2, State.SENT, 1, epoch=Epoch(14_400, 420, 28_800))), True),
        ((), True),
    ],
)
def test_a_culprit_is_believed_unless_its_revert_has_left_the_chain(
    records: tuple[Transaction, ...],
    is_believed: bool,  # noqa: FBT001 - a case of the table above
) -> None:
    one = round_where(culprits=(1,))
    one.doubt(records)
    assert is_believed == (ALICE in one.outcomes)
    assert is_believed == (1 not in one.reasons)


@pytest.mark.parametrize("state", [State.SENT, State.REVERTED, State.CANCELLED, State.LOST])
def test_a_payment_is_not_believed_whose_transaction_is_not_in_the_chain(state: State) -> None:
    one = round_where(paid=(1,))
    one.doubt([sent(1, State.MINED, 1)])
    assert ALICE in one.outcomes
    one.doubt([sent(1, state, 1)])
    assert ALICE not in one.outcomes


def test_what_is_final_is_not_doubted() -> None:
    one = round_where(culprits=(1,), final=True)
    one.doubt([sent(1, State.SENT, 1)])
    assert ALICE in one.outcomes
