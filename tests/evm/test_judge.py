"""The judge of the storms finds each fault that it is there for, in a chain, ticks and records that are made up."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec
import pytest

from models.symmio.funding_records import Epoch, FrozenMarket, Outcome, TickRef, Transaction
from streams.settings import FundingSettings
from tests.evm.complaints import complaints_of_outcomes, complaints_of_terms
from tests.evm.judge import Paid, complaints_of_spending
from tests.evm.verdict import Held, Said, Seen, Terms, terms_at, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

E18 = 10**18
GWEI = 10**9
EPOCH_S, WINDOW_S, PAYS_S = 14_400, 3_600, 1_795_968_000
WINDOW = PAYS_S, PAYS_S + WINDOW_S
NO_MARK = "no source said a price in the five minutes before the epoch's instant"
ALICE, BOB = "0x" + "a1" * 20, "0x" + "b1" * 20
# Longs and shorts of a market with terms, one that is clipped, one that pays nothing, a refused one, a closed one, one
# of a market without terms, and one more that pays. Then one that was closed before the window, one that was opened in
# it, and one that was closed when it was over.
PAID, CLIPPED, FREE, REFUSED, SHUT, UNPRICED = (1, 2, 8), 3, 4, 5, 6, 7
BEFORE, AFTER, LATER = 9, 10, 11


def said(offset: int, event_s: int, mark: str, rate: str, *, source: int = 0) -> Said:
    at_ms = (PAYS_S + event_s) * 1_000
    return Said(source, offset, at_ms, at_ms, int(Fraction(mark) * E18), int(Fraction(rate) * E18), PAYS_S * 1_000)


TICKS = (
    [said(0, -2, "109", "0.0001"), said(1, 0, "110", "0.0002"), said(2, 3, "111", "0.0003")],
    [said(0, 0, "112", "0.0004", source=1), said(1, 3, "113", "0.0005", source=1)],
)


def terms_of(*sources: list[Said]) -> Terms:
    found = terms_at(sources, PAYS_S, EPOCH_S)
    assert isinstance(found, Terms)
    return found


JUDGED: Mapping[int, Terms | str] = {1: terms_of(*TICKS), 2: NO_MARK}


def seen() -> Seen:
    held = {quote_id: Held(1, quote_id != 2, 100 * E18, E18) for quote_id in range(1, 12)}
    held[CLIPPED] = held[CLIPPED]._replace(max_rate=10**12)
    held[FREE] = held[FREE]._replace(max_rate=0)
    held[SHUT] = held[SHUT]._replace(closed_s=PAYS_S + WINDOW_S)
    held[BEFORE] = held[BEFORE]._replace(closed_s=PAYS_S)
    held[AFTER] = held[AFTER]._replace(opened_s=PAYS_S + 1)
    held[LATER] = held[LATER]._replace(closed_s=PAYS_S + WINDOW_S + 1)
    held[UNPRICED] = held[UNPRICED]._replace(symbol_id=2)
    refused = {REFUSED: "the quote is cursed"}
    due = verdicts(Seen(held, {}, (), refused), JUDGED, WINDOW)
    charged = {quote_id: [due[quote_id].rate_e18] for quote_id in (*PAID, CLIPPED, LATER)}
    return Seen(held, charged, (PAYS_S, PAYS_S + WINDOW_S), refused)


def outcomes() -> list[Outcome]:
    return [
        Outcome(
            Epoch(EPOCH_S, WINDOW_S, PAYS_S),
            ALICE,
            paid=(1, 2, CLIPPED),
            free=(FREE,),
            clipped={},
            culprits={REFUSED: "the quote is cursed"},
            missed={},
            final=True,
        ),
        Outcome(
            Epoch(EPOCH_S, WINDOW_S, PAYS_S),
            BOB,
            paid=(8, LATER),
            free=(),
            clipped={},
            culprits={},
            missed={UNPRICED: NO_MARK},
            closed={SHUT: "it is not open"},
            final=True,
        ),
    ]


def frozen() -> FrozenMarket:
    at_ms = PAYS_S * 1_000
    return FrozenMarket(
        mark=str(110 * E18),
        mark_key="binance-futures:AAA",
        venue_rate=str(E18 // 5_000),
        long=str(-E18 // 10_000),
        short=str(E18 * 3 // 40_000),
        mark_tick=TickRef("binance-futures:AAA", 0, 1, at_ms),
        rate_tick=TickRef("binance-futures:AAA", 0, 1, at_ms),
    )


def test_records_that_are_true_are_not_complained_of() -> None:
    assert [] == complaints_of_terms(JUDGED, {1: frozen(), 2: NO_MARK})
    assert [] == complaints_of_outcomes(seen(), JUDGED, outcomes(), WINDOW)
    rate_e18 = 11 * E18 // 100_000
    charges = {1: [rate_e18], 2: [-rate_e18 * 3 // 4], 3: [10**12], 8: [rate_e18], LATER: [rate_e18]}
    assert charges == seen().charged


def charged(**rates: list[int]) -> Callable[[Seen], Seen]:
    return lambda one: one._replace(charged={**one.charged, **{int(name[1:]): told for name, told in rates.items()}})


def without(*quote_ids: int) -> Callable[[Seen], Seen]:
    return lambda one: one._replace(charged={key: told for key, told in one.charged.items() if key not in quote_ids})


RATE = seen().charged[1][0]


@pytest.mark.parametrize(
    ("fault", "said_of_it"),
    [
        pytest.param(charged(q1=[RATE, RATE]), "quote 1: expected charges at", id="a second charge"),
        pytest.param(charged(q1=[RATE + 1]), "quote 1: expected charges at", id="another rate in the last digit"),
        pytest.param(charged(q1=[RATE * 112 // 110]), "quote 1: expected charges at", id="the other source's mark"),
        pytest.param(charged(q3=[10**12 + 1]), "quote 3: expected charges at", id="more than a quote's maximum"),
        pytest.param(charged(q7=[RATE]), "quote 7: expected charges at", id="a charge without terms"),
        pytest.param(charged(q4=[1]), "quote 4: expected charges at", id="a charge of what has nothing to pay"),
        pytest.param(without(8), "quote 8: expected charges at", id="a fork that was not noticed"),
        pytest.param(without(LATER), "quote 11: expected charges at", id="what was open through the window"),
        pytest.param(
            lambda one: one._replace(charged_at_s=(PAYS_S + WINDOW_S + 1,)), "outside of the window", id="a late charge"
        ),
        pytest.param(
            lambda one: one._replace(charged_at_s=(PAYS_S - 1,)), "outside of the window", id="an early charge"
        ),
    ],
)
def test_a_chain_that_was_charged_otherwise_is_complained_of(fault: Callable[[Seen], Seen], said_of_it: str) -> None:
    complaints = complaints_of_outcomes(fault(seen()), JUDGED, outcomes(), WINDOW)
    assert any(said_of_it in one for one in complaints), complaints


def told(place: int, **changes: object) -> Callable[[list[Outcome]], list[Outcome]]:
    return lambda some: [msgspec.structs.replace(one, **changes) if at == place else one for at, one in enumerate(some)]


@pytest.mark.parametrize(
    ("fault", "said_of_it"),
    [
        pytest.param(told(0, paid=(1, 3)), "quote 2: expected one outcome, found 0", id="a forgotten quote"),
        pytest.param(lambda some: some[:1], "quote 8: expected one outcome, found 0", id="a forgotten account"),
        pytest.param(told(1, paid=(8, 8, LATER)), "quote 8: expected one outcome, found 2", id="told twice"),
        pytest.param(told(1, free=(8,), paid=(LATER,)), "quote 8: expected Verdict", id="paid, and told as free"),
        pytest.param(told(1, paid=(LATER,), missed={7: NO_MARK, 8: "late"}), "quote 8", id="paid, and told as missed"),
        pytest.param(told(0, culprits={5: "its view reverts"}), "quote 5: expected Verdict", id="another reason"),
        pytest.param(told(1, missed={7: ""}), "quote 7: expected Verdict", id="no reason"),
        pytest.param(told(1, closed={}, missed={6: "x", 7: NO_MARK}), "quote 6", id="closed, and told as missed"),
        pytest.param(told(1, paid=(8, LATER, 99)), "quote 99 is not on the chain", id="a quote that there is not"),
        pytest.param(told(0, final=False), "is not final", id="an outcome that is never final"),
        pytest.param(
            told(1, paid=(8,), closed={6: "it is not open", LATER: "it is not open"}),
            "quote 11: expected Verdict",
            id="closed later, told as closed",
        ),
        pytest.param(told(1, free=(BEFORE,)), "quote 9: expected nothing", id="no reason for what was not open"),
    ],
)
def test_outcomes_that_are_not_so_are_complained_of(
    fault: Callable[[list[Outcome]], list[Outcome]], said_of_it: str
) -> None:
    complaints = complaints_of_outcomes(seen(), JUDGED, fault(outcomes()), WINDOW)
    assert any(said_of_it in one for one in complaints), complaints


@pytest.mark.parametrize("quote_id", [BEFORE, AFTER])
@pytest.mark.parametrize("name", ["closed", "missed", "culprits"])
def test_what_was_not_open_at_the_epoch_may_have_been_planned_if_it_has_a_reason(quote_id: int, name: str) -> None:
    former = getattr(outcomes()[1], name)
    some = told(1, **{name: former | {quote_id: "blocks left the chain"}})(outcomes())
    assert [] == complaints_of_outcomes(seen(), JUDGED, some, WINDOW)
    some = told(1, **{name: former | {quote_id: ""}})(outcomes())
    assert 1 == len(complaints_of_outcomes(seen(), JUDGED, some, WINDOW))


@pytest.mark.parametrize(
    "changes",
    [
        {"mark": str(110 * E18 + 1)},
        {"mark": str(112 * E18), "mark_tick": TickRef("recorded:AAA", 1, 0, PAYS_S * 1_000)},
        {"mark_tick": TickRef("binance-futures:AAA", 0, 0, (PAYS_S - 2) * 1_000)},
        {"rate_tick": None},
        {"long": str(-E18 // 10_000 + 1)},
        {"short": str(E18 // 10_000)},
    ],
)
def test_another_mark_tick_or_rate_is_complained_of(changes: dict[str, object]) -> None:
    assert 1 == len(complaints_of_terms(JUDGED, {1: msgspec.structs.replace(frozen(), **changes), 2: NO_MARK}))


def test_a_market_that_is_left_out_or_priced_for_no_reason_is_complained_of() -> None:
    assert 1 == len(complaints_of_terms(JUDGED, {1: NO_MARK, 2: NO_MARK}))
    assert 1 == len(complaints_of_terms(JUDGED, {1: frozen()}))
    assert 1 == len(complaints_of_terms(JUDGED, {1: frozen(), 2: frozen()}))
    assert 1 == len(complaints_of_terms(JUDGED, {1: frozen(), 2: "it is not valid"}))


MOST = FundingSettings.model_validate(
    {"max_fee_gwei": 20, "max_tip_gwei": 2, "max_gas": 1_000_000, "max_window_spend": 0.2, "max_day_spend": 0.3}
)
SENT = Paid(0, PAYS_S, E18 // 10, 20 * GWEI, 2 * GWEI, 1_000_000)
ON_RECORD = Transaction("0x01", 0, ALICE, (), "mined", 0, "0x", (), cost_wei=str(E18 // 10), final=True)


def test_what_is_at_the_ceilings_and_on_record_is_not_complained_of() -> None:
    assert [] == complaints_of_spending([SENT, SENT._replace(nonce=1)], [ON_RECORD], MOST)


@pytest.mark.parametrize(
    ("sent", "said_of_it"),
    [
        ([SENT._replace(max_fee_wei=20 * GWEI + 1)], "the fee is above"),
        ([SENT._replace(tip_wei=2 * GWEI + 1)], "the tip is above"),
        ([SENT._replace(gas=1_000_001)], "the gas is above"),
        ([SENT, SENT._replace(nonce=1, cost_wei=E18 // 10 + 1)], "the window cost 200000000000000001 wei"),
        ([SENT] * 4, "the day cost"),
        ([SENT._replace(cost_wei=E18 // 10 - 1)], "on record are 100000000000000000"),
    ],
)
def test_a_ceiling_that_is_passed_by_one_and_a_cost_that_is_another_are_complained_of(
    sent: list[Paid], said_of_it: str
) -> None:
    complaints = complaints_of_spending(sent, [ON_RECORD], MOST)
    assert any(said_of_it in one for one in complaints), complaints
