"""What Binance's USD-margined futures say of their symbols over REST, read into facts that hold the texts as sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from models.errors import BadRecord
from models.instruments import FundingTermsFact, RulesFact, TickerFact
from streams.ingest.prices.binance import BadFrame, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from models.instruments import InstrumentFact

# No number, status, asset or symbol is longer; a longer text is a fault, and must not be kept in every table.
_MAX_TEXT = 64
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadFact(BadRecord):
    """One symbol of an answer is not as the venue documents it; the others stand."""


class Facts(NamedTuple):
    """What an answer says, and what of it could not be read."""

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

    Raises:
        BadFrame: The answer is no JSON object with symbols.
    """
    try:
        elements = _exchange_info.decode(body).symbols
    except _UNREADABLE as error:
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

    Raises:
        BadFrame: The answer is no array in JSON.
    """

    def fact(ticker: _Ticker) -> InstrumentFact:
        return TickerFact(source, ticker.symbol, received_ms, ticker.price_change_percent, ticker.quote_volume)

    return _collect(_array("ticker/24hr", source, body), _ticker, fact)


def read_funding_info(body: bytes, source: str, received_ms: int, symbols: Collection[str]) -> Facts:
    """Read the answer of ``/fapi/v1/fundingInfo``, an array with the symbols that differ from the default.

    Args:
        body: The answer.
        source: What the venue is called.
        received_ms: When it came.
        symbols: Every symbol there is, as far as it is known: what the answer does not list has the default terms.

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
    if not listed.refused:
        # With one that cannot be read, it is not known which symbols are not listed.
        unlisted = sorted(set(symbols) - {one.symbol for one in listed.facts})
        listed.facts.extend(FundingTermsFact(source, symbol, received_ms, None, None, None) for symbol in unlisted)
    return listed


def _array(what: str, source: str, body: bytes) -> list[msgspec.Raw]:
    try:
        return _elements.decode(body)
    except _UNREADABLE as error:
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
        except _UNREADABLE as error:
            msg = f"expected what the venue says of a symbol, found {element[:80]!r}: {error}"
            refused.append(Refused(element, BadFact(msg)))
        except BadFact as error:
            refused.append(Refused(element, error))
        else:
            facts.append(one)
    return Facts(facts, refused)


def _expect_short(fact: InstrumentFact) -> None:
    for name, value in msgspec.structs.asdict(fact).items():
        if isinstance(value, str) and len(value) > _MAX_TEXT:
            msg = f"expected {name} of at most {_MAX_TEXT} characters, found {len(value)}: {value[:80]!r}"
            raise BadFact(msg)
    if not fact.symbol:
        msg = "expected a symbol, found an empty text"
        raise BadFact(msg)
