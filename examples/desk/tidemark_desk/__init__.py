"""A trading desk: a plain venue that overrides what a wallet in another currency makes otherwise.

A record is a JSON object, keyed ``<deployment>:<account>``:

    {"kind": "wallet", "time_ms": 1700000000000, "currency": "EUR", "amount": "500"}
    {"kind": "whole", "time_ms": 1700000001000, "wallets": {"USD": "1000", "EUR": "500"},
     "positions": {"BTCUSDT": ["-0.5", "60000"]}, "orders": {"7": ["BTCUSDT", "0.1", "50000"]}}
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from tidemark.venue import (
    E18,
    UNPRICED,
    VALUED,
    BadRecord,
    BadRow,
    DeploymentSettings,
    Exposure,
    Holds,
    Inputs,
    PlainAccount,
    PlainVenue,
    Position,
    Shown,
    TopicSpec,
    Valued,
    ValuedWhole,
    VenuePackage,
    distance_bps,
    divide_toward_zero,
    format_e18,
    parse_e18,
)

# The market whose mark is what a euro is worth in dollars.
_EURO = "EURUSD"
# An account can be liquidated when its equity is less than this share of what its positions cost.
_MAINTENANCE_BPS = 500
_BPS = 10_000
_FIGURES = ("upnl", "notional", "equity", "available_balance", "liquidatable", "distance_bps")


class Wallet(msgspec.Struct, tag="wallet", tag_field="kind"):
    """How much the account has of a currency."""

    time_ms: int
    currency: Literal["USD", "EUR"]
    amount: str


class Whole(msgspec.Struct, tag="whole", tag_field="kind", frozen=True):
    """All that an account has; texts are exact decimal numbers.

    ``positions`` are size and entry price by market, ``orders`` market, size and price by id; sizes are signed.
    """

    time_ms: int
    wallets: dict[Literal["USD", "EUR"], str]
    positions: dict[str, tuple[str, str]]
    orders: dict[str, tuple[str, str, str]]

    def in_e18(self, currency: Literal["USD", "EUR"]) -> int:
        """What the account has of a currency."""
        return parse_e18(self.wallets.get(currency, "0"))


class DollarsAlone(msgspec.Struct, frozen=True):
    """What schema 1 kept of an account, before there were wallets in euros."""

    time_ms: int
    dollars: str
    positions: dict[str, tuple[str, str]]


Record = Wallet | Whole
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class _Former(PlainVenue[DollarsAlone]):
    """Reads the rows of schema 1, and nothing else."""

    kind = "desk"
    schema = 1
    state = DollarsAlone


_former = _Former()


class Desk(PlainVenue[Whole]):
    """A trading desk as a venue."""

    kind = "desk"
    raw = TopicSpec("desk-records", "deployment:account")
    schema = 2
    state = Whole

    def apply(self, state: Whole | None, value: bytes) -> Whole:
        """Fold a record."""
        match _read(value):
            case Whole() as whole:
                return whole
            case Wallet(time_ms, currency, amount):
                before = state or Whole(time_ms, {}, {}, {})
                return msgspec.structs.replace(before, time_ms=time_ms, wallets={**before.wallets, currency: amount})

    def whole(self, value: bytes) -> Whole | None:
        """Only a record of that kind says all that an account has."""
        record = _read(value)
        return record if isinstance(record, Whole) else None

    def holds(self, state: Whole) -> Holds:
        """Dollars and positions; what euros are worth only a mark can say, so ``value`` adds it."""
        state.in_e18("EUR")  # What cannot be read must not wait until it is valued.
        positions = [
            Position(market, market, parse_e18(size), parse_e18(entry))
            for market, (size, entry) in sorted(state.positions.items())
        ]
        cost_e18 = sum(abs(one.quantity_e18) * one.entry_e18 for one in positions) // E18
        return Holds(state.in_e18("USD"), cost_e18 * _MAINTENANCE_BPS // _BPS, positions, state.time_ms)

    def shows(self, state: Whole) -> Mapping[str, Any]:
        """Wallets and orders, in the columns that the page of an account shows."""
        wallets = [
            {"type": "margin", "currency": currency, "balance": amount, "unsettled_interest": "0"}
            for currency, amount in sorted(state.wallets.items())
        ]
        orders = [
            {"symbol": market, "type": "LIMIT", "amount": size, "amount_orig": size, "price": price}
            for _, (market, size, price) in sorted(state.orders.items())
        ]
        return {"wallets": wallets, "orders": orders}

    def statement(self, account: PlainAccount[Whole]) -> Mapping[str, Any] | None:
        """The same, and why the account is suspect, which nobody but operators is told otherwise."""
        shown = super().statement(account)
        return shown if account.suspect is None else {**(shown or {}), "suspect": account.suspect[0]}

    def read(self, row: bytes) -> PlainAccount[Whole]:
        """Read a row, one of schema 1 too."""
        try:
            return super().read(row)
        except BadRow:
            former = _former.read(row)
        state = former.state
        now = None if state is None else Whole(state.time_ms, {"USD": state.dollars}, state.positions, {})
        return PlainAccount(former.applied, former.version, now, former.suspect)

    def exposure(self, deployment: str, held: PlainAccount[Whole], inputs: Inputs) -> Exposure:
        """That of the positions, and the euros as an amount that gains with their mark."""
        line = super().exposure(deployment, held, inputs)
        if held.suspect is not None or held.state is None:
            return line
        euro = deployment, _EURO
        signed = {**line.signed, euro: line.signed.get(euro, 0.0) + held.state.in_e18("EUR") / E18}
        return line._replace(signed=signed)

    def valuer(self, held: PlainAccount[Whole], term: int) -> ValuedWhole:
        """One that asks ``value`` each time; that of a plain venue knows no euros."""
        return ValuedWhole(self, held, term)

    def value(self, held: PlainAccount[Whole], term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        """The positions as every plain venue values them, and the euros at their mark."""
        valued = super().valuer(held, term).value(inputs, unsupported=unsupported)
        if valued.body["status"] not in (VALUED, UNPRICED) or held.state is None or not held.state.in_e18("EUR"):
            return valued
        return _with_euros(valued, held.state, self.holds(held.state), inputs)

    def view(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the euros are worth, where that is known."""
        return {"euros_in_usd": format_e18(int(body["euros_in_usd"]))} if "euros_in_usd" in body else {}


def _with_euros(valued: Valued, state: Whole, holds: Holds, inputs: Inputs) -> Valued:
    body, mark = valued.body, inputs.mark(_EURO)
    if mark is None:
        unknown = dict.fromkeys(_FIGURES)
        return Valued({**body, **unknown, "status": UNPRICED, "unpriced": body["unpriced"] + 1}, None)
    worth_e18 = divide_toward_zero(state.in_e18("EUR") * mark.mark_e18, E18)
    is_valued = any(one["mark"] is not None for one in body["positions"])
    named = {
        "stale": body["stale"] + mark.stale,
        "as_of_ms": min(body["as_of_ms"], mark.event_ms) if is_valued else mark.event_ms,
        "euros_in_usd": str(worth_e18),
        # A row says all the marks that it was made of.
        "conversions": {
            _EURO: {
                "mark": str(mark.mark_e18),
                "mark_key": mark.key,
                "mark_offset": mark.offset,
                "stale": mark.stale,
            }
        },
    }
    if body["status"] == UNPRICED:
        return Valued({**body, **named}, None)
    equity, notional = int(body["equity"]) + worth_e18, int(body["notional"])
    available = equity - holds.maintenance_e18
    figures = {
        "equity": str(equity),
        "available_balance": str(available),
        "liquidatable": available < 0,
        "distance_bps": distance_bps(available, notional),
    }
    return Valued({**body, **named, **figures}, Shown(available / E18, notional / E18))


def _read(value: bytes) -> Record:
    try:
        return _decoder.decode(value)
    except msgspec.DecodeError as error:
        msg = f"expected a record of a desk, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error


class DeskSettings(DeploymentSettings):
    """The settings of a deployment of it."""

    kind: Literal["desk"] = "desk"


PACKAGE = VenuePackage(Desk(), DeskSettings)
