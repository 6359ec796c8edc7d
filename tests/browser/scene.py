"""A small market that the tests move: tables whose rows agree with each other, exact to the last digit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from models.money import E18, parse_e18
from models.subtotals import Counted, Subtotals
from models.symmio.funding_records import ChargeCells, Epoch, Frozen, FrozenMarket, Outcome, Plan, Transaction
from models.symmio.markets import Market, encode_market
from streams.settings import ApiSettings, PriceRef, Settings, SymmioSettings
from tests.support.feed import HEAD_TIME_S, FakeTables, valuation_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.symmio.funding_records import Record

DEPLOYMENT = "main"
SOURCE = "binance-futures"
HEDGERS = tuple(f"0x{digit * 40}" for digit in "be")
# Symbol and the price it begins with; prices have digits enough to be told from rounded ones.
MARKETS = (
    ("BTCUSDT", "97412.300000000000000001"),
    ("ETHUSDT", "3391.270000000000000002"),
    ("SOLUSDT", "188.414500000000000003"),
    ("DOGEUSDT", "0.178123456789012345"),
    ("XRPUSDT", "2.31475"),
)
_PARTITION = 0


def now_ms() -> int:
    """Wall-clock, for ages on the page are those of a person who looks."""
    return time.time_ns() // 1_000_000


def scene_settings() -> Settings:
    """One deployment whose markets have the prices of one source."""
    markets: dict[str, tuple[PriceRef, ...]] = {
        symbol: (PriceRef(source=SOURCE, symbol=symbol, max_age_ms=60_000),) for symbol, _ in MARKETS
    }
    deployment = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40, markets=markets)
    return Settings(deployments={DEPLOYMENT: deployment}, api=ApiSettings(drain_s=0.1))


def address_of(number: int) -> str:
    """An account's address, which tells its number."""
    return f"0x{number * 2_654_435_761 % 2**32:08x}{number:032x}"


def funding_records(account: str) -> list[Record]:
    """An epoch that began a moment ago: one quote of an account is paid, one is missed for want of a price."""
    epoch = Epoch(14_400, 420, now_ms() // 1_000 // 14_400 * 14_400)
    rate = str(E18 // 10_000)
    terms = FrozenMarket(str(97_412 * E18), f"{SOURCE}:BTCUSDT", rate, f"-{rate}", str(E18 * 3 // 40_000))
    opens_s = epoch.pays_s
    return [
        Frozen(epoch, opens_s, opens_s + 420, opens_s, opens_s, {0: terms}, {1: "its feed was silent"}, 1),
        Plan(epoch, account, ((10, 0), (11, 1))),
        Transaction(
            HEDGERS[0], 7, account, (ChargeCells(10, epoch, rate, rate),), "mined", opens_s + 420, "0x02", ("0x01",),
            block=9, cost_wei=str(E18 // 1_000), moved_e18=str(10 * E18), coin_e18=str(3_000 * E18), final=True,
        ),
        Outcome(epoch, account, (10,), (), {}, {}, {11: "its feed was silent"}, final=True),
    ]  # fmt: skip


class _Held(NamedTuple):
    market: int
    side: str
    quantity_e18: int
    opened_e18: int


class Scene:
    """Tables of one deployment. Whatever changes, all rows it concerns change with it."""

    def __init__(self) -> None:
        self.tables = FakeTables(DEPLOYMENT)
        self.prices_e18 = [parse_e18(price) for _, price in MARKETS]
        self._positions: dict[int, list[_Held]] = {}
        self._changes: dict[int, dict[str, object]] = {}
        self._counted: dict[int, Counted] = {}
        self._sums = Subtotals()
        self._version = 0
        for number, (symbol, _) in enumerate(MARKETS):
            market = Market(number, name=symbol, is_valid=True, trading_fee=E18 // 2_000, max_leverage=60 * E18)
            self.tables.markets.put(f"{DEPLOYMENT}:{number}", 1, encode_market(market))
            self._put_mark(number)

    def key(self, number: int) -> str:
        """How users name an account."""
        return f"{DEPLOYMENT}:{address_of(number)}"

    def fill(self, accounts: int) -> None:
        """Add so many accounts with up to five positions each."""
        for number in range(len(self._positions), len(self._positions) + accounts):
            self._positions[number] = [self._held(number, nth) for nth in range(number % 6)]
        self._value(range(len(self._positions) - accounts, len(self._positions)))

    def _held(self, number: int, nth: int) -> _Held:
        market = (number + nth) % len(MARKETS)
        price_e18 = self.prices_e18[market]
        return _Held(
            market=market,
            side="long" if (number * 7 + nth) % 5 < 3 else "short",
            quantity_e18=(1 + number * 37 % 89) * 1_000 * E18 * E18 // price_e18,
            opened_e18=price_e18 * (970 + number * 13 % 61) // 1_000,
        )

    def change(self, number: int, **changes: object) -> None:
        """Let an account's row say something else."""
        self._changes[number] = changes
        self._value([number])

    def tick(self, market: int, price: str) -> None:
        """A price moves, and all accounts with it."""
        self.prices_e18[market] = parse_e18(price)
        self._put_mark(market)
        self._value([number for number, held in self._positions.items() if any(one.market == market for one in held)])

    def silence(self, market: int, for_ms: int) -> None:
        """Let a market's newest price be so old already."""
        self._put_mark(market, now_ms() - for_ms)

    def _put_mark(self, market: int, received_ms: int | None = None) -> None:
        self._version += 1
        at_ms = now_ms() if received_ms is None else received_ms
        self.tables.marks.put(
            f"{SOURCE}:{MARKETS[market][0]}",
            self._version,
            {
                "mark": str(self.prices_e18[market]),
                "index": str(self.prices_e18[market]),
                "funding_rate": str(E18 // 10_000 * (market - 1)),
                "next_funding_ms": 0,
                "event_ms": at_ms,
                "received_ms": at_ms,
                "offset": self._version,
            },
        )

    def _value(self, numbers: Sequence[int]) -> None:
        self._version += 1
        at_ms = now_ms()
        for number in numbers:
            body = self._body(number, at_ms)
            self._counted[number] = self._sums.put(DEPLOYMENT, self._counted.get(number), body)
            self.tables.valuations.put(self.key(number), self._version, body)
        for key, sums in self._sums.take_changed(_PARTITION, set()):
            self.tables.subtotals.put(key.decode(), self._version, sums)

    def _body(self, number: int, at_ms: int) -> dict[str, Any]:
        positions = [
            self._position(number * 10 + nth, number, held) for nth, held in enumerate(self._positions[number])
        ]
        upnl = sum(int(position["upnl"]) for position in positions)
        notional = sum(int(position["notional"]) for position in positions)
        allocated = max(E18 * 500, notional * (3 + number % 40) // 100)
        locked = [allocated // 40, allocated // 50, allocated // 3, allocated // 4]
        available = allocated + upnl - locked[0] - locked[1]
        body = valuation_body(
            block=120,
            time_s=HEAD_TIME_S,
            upnl=str(upnl),
            upnl_capped=str(upnl),
            notional=str(notional),
            notional_opened=str(notional - upnl),
            equity=str(allocated + upnl),
            available_balance=str(available),
            available_for_quote=str(available // 3),
            allocated=str(allocated),
            locked=[str(amount) for amount in locked],
            pending=["0"] * 4,
            liquidatable=available < 0,
            distance_bps=available * 10_000 // notional if notional else None,
            as_of_ms=at_ms,
            positions=positions,
            owner="0x" + f"{number % 100:040x}",
        )
        return {**body, **self._changes.get(number, {})}

    def _position(self, quote: int, number: int, held: _Held) -> dict[str, Any]:
        mark = self.prices_e18[held.market]
        gain = held.quantity_e18 * (mark - held.opened_e18) // E18
        return {
            "quote": quote,
            "symbol": held.market,
            "side": held.side,
            "party_b": HEDGERS[number % 3 == 0],
            "quantity": str(held.quantity_e18),
            "opened_price": str(held.opened_e18),
            "mark": str(mark),
            "mark_key": f"{SOURCE}:{MARKETS[held.market][0]}",
            "mark_offset": self._version,
            "upnl": str(gain if held.side == "long" else -gain),
            "notional": str(held.quantity_e18 * mark // E18),
            "stale": False,
        }
