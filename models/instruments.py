"""Facts of a venue's markets: how finely they are quoted, their last 24 hours, their funding terms.

Each of the three is a register of its own: its newest fact is kept, whatever is missing or late of the others.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from models.body_reader import amount_of, body_reader, no_row, text_of
from models.codec import NUMBER_MAX
from models.errors import BadNumber, BadRecord
from models.money import E18, parse_e18
from models.row_bodies import FundingTermsBody, InstrumentBody, RulesBody, TickerBody

TRADING = "TRADING"
"""Status of a symbol that can be traded."""

DEFAULT_FUNDING_INTERVAL_S = 8 * 3_600
"""The funding interval of a symbol for which the venue lists no other."""

# Prices have at most 15 digits before the point and 18 after it.
_PRECISION_MAX = 18
# The venue's longest interval is 8 h; no venue has one of more than a day.
_INTERVAL_HOURS_MAX = 24


class RulesFact(msgspec.Struct, tag="rules", tag_field="kind", frozen=True):
    """One symbol of ``exchangeInfo``, its numbers as sent; None where the venue has no such filter."""

    source: str
    symbol: str
    received_ms: int
    status: str
    base_asset: str
    quote_asset: str
    price_precision: int
    quantity_precision: int
    tick_size: str | None
    step_size: str | None
    max_quantity: str | None
    min_notional: str | None


class TickerFact(msgspec.Struct, tag="ticker", tag_field="kind", frozen=True):
    """One symbol's last 24 hours, its numbers as sent; the change is in percent, the volume in the quote asset."""

    source: str
    symbol: str
    received_ms: int
    price_change_percent: str
    quote_volume: str


class FundingTermsFact(msgspec.Struct, tag="funding", tag_field="kind", frozen=True):
    """One symbol's funding terms, its numbers as sent; all None for a symbol that ``fundingInfo`` does not list."""

    source: str
    symbol: str
    received_ms: int
    interval_hours: int | None
    cap: str | None
    floor: str | None


InstrumentFact = RulesFact | TickerFact | FundingTermsFact


class Rules(msgspec.Struct, frozen=True):
    """How a symbol is quoted. Sizes are 1e18-scaled and positive, None where the venue sets none."""

    status: str
    base_asset: str
    quote_asset: str
    price_precision: int
    quantity_precision: int
    tick_e18: int | None
    step_e18: int | None
    max_quantity_e18: int | None
    min_notional_e18: int | None
    received_ms: int

    @property
    def price_decimals(self) -> int:
        """Decimals of a price that is a multiple of the tick; the venue's own precision may be finer."""
        return self.price_precision if self.tick_e18 is None else _decimals(self.tick_e18)

    @property
    def quantity_decimals(self) -> int:
        """Decimals of a quantity that is a multiple of the step."""
        return self.quantity_precision if self.step_e18 is None else _decimals(self.step_e18)


class Ticker(msgspec.Struct, frozen=True):
    """A symbol's last 24 hours: change in percent, signed, and volume in the quote asset; both 1e18-scaled."""

    price_change_percent_e18: int
    quote_volume_e18: int
    received_ms: int


class FundingTerms(msgspec.Struct, frozen=True):
    """A symbol's funding terms; ``cap_e18`` and ``floor_e18`` bound the rate, None where the venue sets no bound."""

    interval_s: int
    cap_e18: int | None
    floor_e18: int | None
    received_ms: int


class Instrument(msgspec.Struct, frozen=True):
    """The newest fact of each kind, None where there was none."""

    rules: Rules | None = None
    ticker: Ticker | None = None
    funding: FundingTerms | None = None


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[InstrumentFact] = msgspec.json.Decoder(InstrumentFact)


def encode_fact(fact: InstrumentFact) -> bytes:
    """Encode a fact as JSON with its ``kind``."""
    return _encoder.encode(fact)


def decode_fact(value: bytes) -> InstrumentFact:
    """Decode a record of ``instrument-facts``.

    Raises:
        BadRecord: ``value`` is not a fact.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a fact of an instrument, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error


def fold_fact(current: Instrument, fact: InstrumentFact) -> Instrument:
    """Take a fact in where it was received later than the current one of its kind.

    Returns:
        The instrument with the fact; ``current`` itself where the fact is not newer.

    Raises:
        BadRecord: A text is not a number, or a number is out of its range.
    """
    if not 0 < fact.received_ms <= NUMBER_MAX:
        msg = f"expected received_ms of {fact.source}:{fact.symbol} in 1 to 2^63 - 1, found {fact.received_ms}"
        raise BadRecord(msg)
    match fact:
        case RulesFact():
            rules = _rules(fact)
            return msgspec.structs.replace(current, rules=rules) if _is_newer(current.rules, rules) else current
        case TickerFact():
            ticker = _ticker(fact)
            return msgspec.structs.replace(current, ticker=ticker) if _is_newer(current.ticker, ticker) else current
        case FundingTermsFact():
            terms = _funding(fact)
            return msgspec.structs.replace(current, funding=terms) if _is_newer(current.funding, terms) else current
        case _:
            assert_never(fact)


_read_body = body_reader("instruments", InstrumentBody)


def encode_instrument(instrument: Instrument) -> InstrumentBody:
    """Body of a row of the ``instruments`` table; amounts are decimal texts."""
    rules, ticker, funding = instrument.rules, instrument.ticker, instrument.funding
    return InstrumentBody(
        rules=None if rules is None else _rules_body(rules),
        ticker=None
        if ticker is None
        else TickerBody(str(ticker.price_change_percent_e18), str(ticker.quote_volume_e18), ticker.received_ms),
        funding=None
        if funding is None
        else FundingTermsBody(
            funding.interval_s, text_of(funding.cap_e18), text_of(funding.floor_e18), funding.received_ms
        ),
    )


def decode_instrument(row: bytes) -> Instrument:
    """Read a row of the ``instruments`` table.

    Raises:
        BadRow: It is none.
    """
    body = _read_body(row)
    rules, ticker, funding = body.rules, body.ticker, body.funding
    try:
        return Instrument(
            rules=None if rules is None else _rules_of(rules),
            ticker=None
            if ticker is None
            else Ticker(int(ticker.price_change_percent_e18), int(ticker.quote_volume_e18), ticker.received_ms),
            funding=None
            if funding is None
            else FundingTerms(
                funding.interval_s, amount_of(funding.cap_e18), amount_of(funding.floor_e18), funding.received_ms
            ),
        )
    except ValueError as error:
        raise no_row(row, "instruments", error) from error


def _rules_body(rules: Rules) -> RulesBody:
    return RulesBody(
        status=rules.status,
        base_asset=rules.base_asset,
        quote_asset=rules.quote_asset,
        price_precision=rules.price_precision,
        quantity_precision=rules.quantity_precision,
        tick_e18=text_of(rules.tick_e18),
        step_e18=text_of(rules.step_e18),
        max_quantity_e18=text_of(rules.max_quantity_e18),
        min_notional_e18=text_of(rules.min_notional_e18),
        received_ms=rules.received_ms,
    )


def _rules_of(body: RulesBody) -> Rules:
    return Rules(
        status=body.status,
        base_asset=body.base_asset,
        quote_asset=body.quote_asset,
        price_precision=body.price_precision,
        quantity_precision=body.quantity_precision,
        tick_e18=amount_of(body.tick_e18),
        step_e18=amount_of(body.step_e18),
        max_quantity_e18=amount_of(body.max_quantity_e18),
        min_notional_e18=amount_of(body.min_notional_e18),
        received_ms=body.received_ms,
    )


def _is_newer(current: Rules | Ticker | FundingTerms | None, new: Rules | Ticker | FundingTerms) -> bool:
    return current is None or new.received_ms > current.received_ms


def _rules(fact: RulesFact) -> Rules:
    for name in ("price_precision", "quantity_precision"):
        if not 0 <= (digits := getattr(fact, name)) <= _PRECISION_MAX:
            msg = f"expected {name} of {fact.source}:{fact.symbol} in 0 to {_PRECISION_MAX}, found {digits}"
            raise BadRecord(msg)
    return Rules(
        status=fact.status,
        base_asset=fact.base_asset,
        quote_asset=fact.quote_asset,
        price_precision=fact.price_precision,
        quantity_precision=fact.quantity_precision,
        tick_e18=_positive(fact, "tick size", fact.tick_size),
        step_e18=_positive(fact, "step size", fact.step_size),
        max_quantity_e18=_positive(fact, "greatest quantity", fact.max_quantity),
        min_notional_e18=_positive(fact, "least notional", fact.min_notional),
        received_ms=fact.received_ms,
    )


def _ticker(fact: TickerFact) -> Ticker:
    volume_e18 = _number(fact, "quote volume", fact.quote_volume)
    if volume_e18 < 0:
        msg = f"expected a quote volume of {fact.source}:{fact.symbol} from 0 on, found {fact.quote_volume}"
        raise BadRecord(msg)
    return Ticker(_number(fact, "price change", fact.price_change_percent), volume_e18, fact.received_ms)


def _funding(fact: FundingTermsFact) -> FundingTerms:
    hours = fact.interval_hours
    if hours is not None and not 0 < hours <= _INTERVAL_HOURS_MAX:
        msg = f"expected a funding interval of {fact.source}:{fact.symbol} in 1 to 24 h, found {hours}"
        raise BadRecord(msg)
    return FundingTerms(
        interval_s=DEFAULT_FUNDING_INTERVAL_S if hours is None else hours * 3_600,
        cap_e18=None if fact.cap is None else _number(fact, "funding cap", fact.cap),
        floor_e18=None if fact.floor is None else _number(fact, "funding floor", fact.floor),
        received_ms=fact.received_ms,
    )


def _positive(fact: InstrumentFact, name: str, text: str | None) -> int | None:
    """Read a size; the venue writes 0 where it sets none."""
    if text is None:
        return None
    value_e18 = _number(fact, name, text)
    if value_e18 < 0:
        msg = f"expected a {name} of {fact.source}:{fact.symbol} from 0 on, found {text}"
        raise BadRecord(msg)
    return value_e18 or None


def _number(fact: InstrumentFact, name: str, text: str) -> int:
    try:
        return parse_e18(text)
    except BadNumber as error:
        msg = f"{name} of {fact.source}:{fact.symbol}: {error}"
        raise BadRecord(msg) from error


def _decimals(size_e18: int) -> int:
    """Count the decimals that a multiple of a size may have."""
    fraction = size_e18 % E18
    return len(f"{fraction:018d}".rstrip("0")) if fraction else 0
