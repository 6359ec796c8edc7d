"""Markets of a solver as chain, venue and prices say them, put into the tables the api reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.instruments import FundingTerms, Instrument, Rules, Ticker, encode_instrument
from models.money import E18, parse_e18
from models.prices import Mark, encode_mark
from models.symmio.markets import Market, encode_market
from streams.settings import ApiSettings, Settings, SymmioSettings
from tests.support.feed import valuation_body

if TYPE_CHECKING:
    from tests.support.feed import FakeTables

NOW_MS = 1_745_970_800_000
HEDGER, OTHER_HEDGER = "0x" + "b" * 40, "0x" + "c" * 40
MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT = "0x" + "a1" * 20, "0x" + "a2" * 20
SOURCE = "binance-futures"


HERE = {"hosts": ["127.0.0.1"]}
"""Says of a deployment that the root which a test's client asks is its own, also where there are others."""
ELSEWHERE = {"Host": "localhost"}
"""Headers of a request at a host that is no deployment's."""


def solver_settings(**deployments: dict[str, Any]) -> Settings:
    """Deployments by name; what is not said of one is as in ``deployment``."""
    return Settings(
        deployments={name.replace("_", "-"): deployment(**changes) for name, changes in deployments.items()},
        api=ApiSettings(drain_s=0.05),
    )


def deployment(**changes: Any) -> SymmioSettings:  # noqa: ANN401 - what pydantic takes
    fields = {
        "chain_id": 1,
        "diamond": "0x" + "d" * 40,
        "multi_accounts": [MULTI_ACCOUNT],
        "hedgers": [HEDGER],
        **changes,
    }
    return SymmioSettings.model_validate(fields)


def put_market(tables: FakeTables, symbol_id: int, name: str, *, of: str = "main", **changes: Any) -> None:  # noqa: ANN401
    """A market as the chain has it."""
    fields = {
        "is_valid": True,
        "min_acceptable_quote_value": 120 * E18,
        "min_acceptable_portion_lf": 3 * E18 // 1_000,
        "trading_fee": 6 * E18 // 10_000,
        "max_leverage": 60 * E18,
        "funding_rate_epoch_duration_s": 14_400,
        "funding_rate_window_s": 420,
        **changes,
    }
    tables.markets.put(f"{of}:{symbol_id}", 1, encode_market(Market(symbol_id, name, **fields)))


def put_mark(
    tables: FakeTables, symbol: str, mark: str, *, source: str = SOURCE, rate: str | None = None, age_ms: int = 0
) -> None:
    """A price, received and of an event so long ago, and the venue's funding rate."""
    at_ms = NOW_MS - age_ms
    body = Mark(parse_e18(mark), None, None if rate is None else parse_e18(rate), at_ms, at_ms, at_ms, 7)
    tables.marks.put(f"{source}:{symbol}", 1, encode_mark(body))


def put_instrument(
    tables: FakeTables,
    symbol: str,
    *,
    tick: str | None = "0.1",
    change: str | None = "-1.23",
    hours: int | None = 8,
    status: str = "TRADING",
    listed_ms: int = 1,
) -> None:
    """What the venue says of a symbol; ``listed_ms`` is when the list was received that named it last."""
    rules = Rules(
        status=status,
        base_asset=symbol.removesuffix("USDT"),
        quote_asset="USDT",
        price_precision=2,
        quantity_precision=3,
        tick_e18=None if tick is None else parse_e18(tick),
        step_e18=E18 // 1_000,
        max_quantity_e18=1_000 * E18,
        min_notional_e18=100 * E18,
        received_ms=listed_ms,
    )
    instrument = Instrument(
        rules=rules,
        ticker=None if change is None else Ticker(parse_e18(change), parse_e18("123456.7"), 1),
        funding=None if hours is None else FundingTerms(hours * 3_600, None, None, 1),
    )
    tables.instruments.put(f"{SOURCE}:{symbol}", 1, encode_instrument(instrument))


def position(quantity: str, opened: str, mark: str | None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A position in an account's row: long, of symbol 1, with ``HEDGER``."""
    quantity_e18, opened_e18 = parse_e18(quantity), parse_e18(opened)
    mark_e18 = None if mark is None else parse_e18(mark)
    return {
        "quote": 1,
        "symbol": 1,
        "side": "long",
        "party_b": HEDGER,
        "quantity": str(quantity_e18),
        "opened_price": str(opened_e18),
        "mark": mark and str(mark_e18),
        "mark_key": mark and f"{SOURCE}:BTCUSDT",
        "mark_offset": mark and 5,
        "upnl": None if mark_e18 is None else str((mark_e18 - opened_e18) * quantity_e18 // E18),
        "notional": None if mark_e18 is None else str(mark_e18 * quantity_e18 // E18),
        "stale": False,
        **changes,
    }


def pending(quantity: str, price: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A quote that nobody has locked yet, of symbol 1, for any hedger."""
    return {
        "quote": 2,
        "symbol": 1,
        "side": "long",
        "party_b": None,
        "whitelist": [],
        "quantity": str(parse_e18(quantity)),
        "price": str(parse_e18(price)),
        **changes,
    }


def put_account(
    tables: FakeTables,
    address: str,
    *positions: dict[str, Any],
    of: str = "main",
    version: int = 1,
    **changes: Any,  # noqa: ANN401
) -> None:
    """An account with these positions, as the ``version`` of its own row."""
    body = valuation_body(account_order=[1, version], positions=positions, **changes)
    tables.valuations.put(f"{of}:{address.lower()}", version, body)
