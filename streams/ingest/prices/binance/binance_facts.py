"""REST answers of Binance's USD-margined futures about symbols, read into facts that keep texts as they were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from models.errors import BadRecord
from models.instruments import FundingTermsFact, RulesFact, TickerFact
from streams.ingest.prices.binance.binance_frames import symbol_of
from streams.ingest.prices.price_frames import MAX_TEXT, UNREADABLE, BadFrame, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from models.instruments import InstrumentFact


class BadFact(BadRecord):
    """One symbol of an answer is not as the venue documents it; the other symbols are used."""


class Facts(NamedTuple):
    """The facts in an answer, and the elements that could not be read."""

    facts: list[InstrumentFact]
    refused: list[Refused]


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str = ""
    tick_size: str | None = None
    step_size: str | None = None
    max_qty: str | None = None
    notional: str | None = None


class _Symbol(msgspec.Struct, rename="camel"):
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    price_precision: int
    quantity_precision: int
    filters: list[_Filter] = []


class _ExchangeInfo(msgspec.Struct):
    symbols: list[msgspec.Raw]


class _Ticker(msgspec.Struct, rename="camel"):
    symbol: str
    price_change_percent: str
    quote_volume: str


class _FundingInfo(msgspec.Struct, rename="camel"):
    symbol: str
    funding_interval_hours: int
    adjusted_funding_rate_cap: str | None = None
    adjusted_funding_rate_floor: str | None = None


_Element = TypeVar("_Element", bound=msgspec.Struct)

_exchange_info = msgspec.json.Decoder(_ExchangeInfo)
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_symbol = msgspec.json.Decoder(_Symbol)
_ticker = msgspec.json.Decoder(_Ticker)
_funding_info = msgspec.json.Decoder(_FundingInfo)


def read_exchange_info(body: bytes, source: str, received_ms: int) -> Facts:
    """Read the answer of ``/fapi/v1/exchangeInfo``.

    Args:
        body: The answer as it was sent.
        source: The source's name.
        received_ms: When the answer came, in Unix ms.

    Raises:
        BadFrame: The answer is no JSON object with symbols.
    """
    try:
        elements = _exchange_info.decode(body).symbols
    except UNREADABLE as error:
        msg = f"expected exchangeInfo of {source} as JSON with its symbols, found {body[:80]!r}: {error}"
        raise BadFrame(msg) from error

    def fact(symbol: _Symbol) -> InstrumentFact:
        filters = {one.filter_type: one for one in symbol.filters}
        lot = filters.get("LOT_SIZE", _Filter())
        return RulesFact(
            source=source,
            symbol=symbol.symbol,
            received_ms=received_ms,
            status=symbol.status,
            base_asset=symbol.base_asset,
            quote_asset=symbol.quote_asset,
            price_precision=symbol.price_precision,
            quantity_precision=symbol.quantity_precision,
            tick_size=filters.get("PRICE_FILTER", _Filter()).tick_size,
            step_size=lot.step_size,
            max_quantity=lot.max_qty,
            min_notional=filters.get("MIN_NOTIONAL", _Filter()).notional,
        )

    return _collect(elements, _symbol, fact)


def read_tickers(body: bytes, source: str, received_ms: int) -> Facts:
    """Read the answer of ``/fapi/v1/ticker/24hr``, an array with every symbol.

    Args:
        body: The answer as it was sent.
        source: The source's name.
        received_ms: When the answer came, in Unix ms.

    Raises:
        BadFrame: The answer is no array in JSON.
    """

    def fact(ticker: _Ticker) -> InstrumentFact:
        return TickerFact(source, ticker.symbol, received_ms, ticker.price_change_percent, ticker.quote_volume)

    return _collect(_array("ticker/24hr", source, body), _ticker, fact)


def read_funding_info(
    body: bytes, source: str, received_ms: int, symbols: Collection[str], with_own_terms: Collection[str] = ()
) -> Facts:
    """Read the answer of ``/fapi/v1/fundingInfo``, an array with the symbols that differ from the default.

    A symbol that the answer does not list has the default terms. One whose element cannot be read keeps the terms that
    were known of it. Where an element does not even say its symbol, it may be of any symbol that had terms of its own,
    so nothing is said of those.

    Args:
        body: The answer as it was sent.
        source: The source's name.
        received_ms: When the answer came, in Unix ms.
        symbols: Every symbol that is known.
        with_own_terms: The symbols that an earlier answer listed.

    Raises:
        BadFrame: The answer is no array in JSON.
    """

    def fact(info: _FundingInfo) -> InstrumentFact:
        return FundingTermsFact(
            source,
            info.symbol,
            received_ms,
            info.funding_interval_hours,
            info.adjusted_funding_rate_cap,
            info.adjusted_funding_rate_floor,
        )

    listed = _collect(_array("fundingInfo", source, body), _funding_info, fact)
    named = {one.symbol for one in (*listed.facts, *listed.refused)}
    if "" in named:
        named.update(with_own_terms)
    unlisted = sorted(set(symbols) - named)
    listed.facts.extend(FundingTermsFact(source, symbol, received_ms, None, None, None) for symbol in unlisted)
    return listed


def _array(what: str, source: str, body: bytes) -> list[msgspec.Raw]:
    try:
        return _elements.decode(body)
    except UNREADABLE as error:
        msg = f"expected {what} of {source} as a JSON array, found {body[:80]!r}: {error}"
        raise BadFrame(msg) from error


def _collect(
    elements: list[msgspec.Raw],
    decoder: msgspec.json.Decoder[_Element],
    fact: Callable[[_Element], InstrumentFact],
) -> Facts:
    facts: list[InstrumentFact] = []
    refused: list[Refused] = []
    for element in map(bytes, elements):
        try:
            one = fact(decoder.decode(element))
            _expect_short(one)
        except UNREADABLE as error:
            error_of_symbol = BadFact(f"expected what the venue says of a symbol, found: {error}")
            refused.append(Refused(element, error_of_symbol, symbol_of(element)))
        except BadFact as error:
            refused.append(Refused(element, error, symbol_of(element)))
        else:
            facts.append(one)
    return Facts(facts, refused)


def _expect_short(fact: InstrumentFact) -> None:
    for name, value in msgspec.structs.asdict(fact).items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            msg = f"expected {name} of at most {MAX_TEXT} characters, found {len(value)}: {value[:80]!r}"
            raise BadFact(msg)
    if not fact.symbol:
        msg = "expected a symbol, found an empty text"
        raise BadFact(msg)
