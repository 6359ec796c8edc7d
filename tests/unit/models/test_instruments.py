from __future__ import annotations

import msgspec
import pytest

from models.codec import encode_row
from models.errors import BadRecord
from models.instruments import (
    DEFAULT_FUNDING_INTERVAL_S,
    FundingTermsFact,
    Instrument,
    InstrumentFact,
    RulesFact,
    TickerFact,
    decode_fact,
    decode_instrument,
    encode_fact,
    encode_instrument,
    fold_fact,
)
from models.money import E18

RULES = RulesFact("v", "BTCUSDT", 5, "TRADING", "BTC", "USDT", 2, 3, "0.10", "0.001", "1000", "100")
TICKER = TickerFact("v", "BTCUSDT", 5, "-1.230", "123456789.12")
FUNDING = FundingTermsFact("v", "BTCUSDT", 5, 4, "0.02000000", "-0.02000000")


def folded(*facts: InstrumentFact) -> Instrument:
    instrument = Instrument()
    for fact in facts:
        instrument = fold_fact(instrument, fact)
    return instrument


def test_each_kind_stands_beside_the_others_in_whatever_order_they_come() -> None:
    instrument = folded(FUNDING, TICKER, RULES)

    assert instrument == folded(RULES, FUNDING, TICKER)
    assert instrument.rules is not None
    assert instrument.ticker is not None
    assert instrument.funding is not None
    assert (E18 // 10, E18 // 1000, 1000 * E18, 100 * E18) == (
        instrument.rules.tick_e18,
        instrument.rules.step_e18,
        instrument.rules.max_quantity_e18,
        instrument.rules.min_notional_e18,
    )
    assert (-123 * E18 // 100, 12345678912 * E18 // 100) == (
        instrument.ticker.price_change_percent_e18,
        instrument.ticker.quote_volume_e18,
    )
    assert (4 * 3600, E18 // 50, -E18 // 50) == (
        instrument.funding.interval_s,
        instrument.funding.cap_e18,
        instrument.funding.floor_e18,
    )


@pytest.mark.parametrize("fact", [RULES, TICKER, FUNDING])
@pytest.mark.parametrize("received_ms", [4, 5])
def test_what_is_not_newer_than_what_stands_changes_nothing(fact: InstrumentFact, received_ms: int) -> None:
    standing = folded(RULES, TICKER, FUNDING)

    assert standing is fold_fact(standing, msgspec.structs.replace(fact, received_ms=received_ms))


def test_the_newest_of_a_kind_takes_the_place_of_the_one_before() -> None:
    halted = folded(RULES, msgspec.structs.replace(RULES, received_ms=6, status="SETTLING")).rules

    assert halted is not None
    assert ("SETTLING", 6) == (halted.status, halted.received_ms)


@pytest.mark.parametrize(
    ("tick", "step", "decimals"), [("0.10", "0.001", (1, 3)), ("1", "10", (0, 0)), (None, "0", (2, 3))]
)
def test_decimals_are_those_of_the_tick_and_of_the_step(tick: str | None, step: str, decimals: tuple[int, int]) -> None:
    rules = folded(msgspec.structs.replace(RULES, tick_size=tick, step_size=step)).rules

    assert rules is not None
    assert decimals == (rules.price_decimals, rules.quantity_decimals)


def test_a_symbol_that_funding_info_does_not_list_is_charged_every_eight_hours() -> None:
    terms = folded(FundingTermsFact("v", "BTCUSDT", 5, None, None, None)).funding

    assert terms is not None
    assert (DEFAULT_FUNDING_INTERVAL_S, None, None) == (terms.interval_s, terms.cap_e18, terms.floor_e18)


@pytest.mark.parametrize("instrument", [Instrument(), folded(TICKER), folded(RULES, TICKER, FUNDING)])
def test_a_row_is_read_as_it_was_written(instrument: Instrument) -> None:
    assert instrument == decode_instrument(encode_row(1, 1, encode_instrument(instrument)))


@pytest.mark.parametrize("fact", [RULES, TICKER, FUNDING])
def test_a_record_is_read_as_it_was_written(fact: InstrumentFact) -> None:
    assert fact == decode_fact(encode_fact(fact))


@pytest.mark.parametrize("value", [b"", b"{}", b'{"kind":"rules"}', b'{"kind":"mark"}', b"\xff", b"[]"])
def test_what_is_no_fact_is_refused(value: bytes) -> None:
    with pytest.raises(BadRecord, match="expected a fact"):
        decode_fact(value)


@pytest.mark.parametrize(
    ("fact", "changes"),
    [
        (RULES, {"received_ms": 0}),
        (RULES, {"price_precision": 19}),
        (RULES, {"quantity_precision": -1}),
        (RULES, {"tick_size": "-0.1"}),
        (RULES, {"step_size": "1e-3"}),
        (TICKER, {"price_change_percent": "NaN"}),
        (TICKER, {"quote_volume": "-1"}),
        (FUNDING, {"interval_hours": 0}),
        (FUNDING, {"interval_hours": 25}),
        (FUNDING, {"cap": "two"}),
    ],
)
def test_a_number_out_of_its_range_is_refused_and_named(fact: InstrumentFact, changes: dict[str, object]) -> None:
    with pytest.raises(BadRecord, match="v:BTCUSDT"):
        folded(msgspec.structs.replace(fact, **changes))
