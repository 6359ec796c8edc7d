"""Inverse contracts as a venue that implements ``models.venue.Venue`` itself."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from tidemark.venue import (
    E18,
    MOVE_MAX,
    NO_ACCOUNT,
    ORDER_BYTES,
    SUSPECT,
    UNPRICED,
    UNSUPPORTED,
    VALUED,
    BadNumber,
    BadRecord,
    BadRow,
    DeploymentSettings,
    DeploymentWatermark,
    Exposure,
    Inputs,
    LogOffset,
    Own,
    RolledBack,
    Settled,
    Shown,
    TopicSpec,
    UsedMark,
    Valued,
    ValuedWhole,
    VenuePackage,
    decode_order,
    distance_bps,
    divide_toward_zero,
    format_e18,
    parse_e18,
)
from tidemark_options.state import Contract, Whole, after, read_record

_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")
_BPS = 10_000
# The market whose mark is what a coin is worth in dollars: an index, as contracts have marks of their own.
_COIN = "XBTUSD"
_CURRENCY = "BTC"
# So much of what a position was worth in coins at its entry is kept back.
_MAINTENANCE_BPS = 100
# A sum of doubles is off by far less than this share of its terms.
_ROUNDING = 1e-12
# Each gain is truncated by up to 1e-18 coins, and what it is worth by up to 1e-18 dollars.
_TRUNCATION = 1e-18


class Account(msgspec.Struct, frozen=True):
    """An account as of the last record folded; ``state`` is the last good one where it is suspect."""

    applied: LogOffset
    version: int
    state: Whole | None
    suspect: tuple[str, LogOffset] | None = None
    venue: Literal["inverse"] = "inverse"

    @property
    def suspicion(self) -> str | None:
        """Why the record folded last made the account suspect, None where it did not."""
        return self.suspect[0] if self.suspect is not None and self.suspect[1] == self.applied else None

    @property
    def unsettled(self) -> bool:
        """Never: there are no blocks."""
        return False

    def unsettled_above(self, final: int) -> bool:  # noqa: ARG002 - there are no blocks
        """Never, either."""
        return False


class _Row(msgspec.Struct):
    venue: Literal["inverse"]
    applied: LogOffset
    state: Whole | None
    suspect: tuple[str, LogOffset] | None


_NATIVE = ("upnl_native", "equity_native", "available_balance_native", "order_margin_native")
_SUMS = ("upnl_coins", "upnl", "notional")


class _Worth(NamedTuple):
    """What a position has gained and what it is worth; None without its mark, in dollars also without the coin's."""

    upnl_coins: int | None = None
    notional_coins: int | None = None
    upnl: int | None = None
    notional: int | None = None


_decode_row = msgspec.json.Decoder(_Row).decode


class Inverse:
    """What ``models.venue.Venue`` asks of a venue."""

    kind = "inverse"
    figures_version = 1
    is_linear = False
    raw = TopicSpec("inverse-records", "deployment:account")
    routed = None
    told = None
    references = None

    def account_id(self, text: str) -> str | None:
        """The text itself, if it is base58: ids that differ in case alone are two accounts."""
        return text if _BASE58.fullmatch(text) else None

    def reference(self, name: str, value: bytes) -> None:
        """Nothing: values depend on marks alone.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def routes(self, deployments: Mapping[str, Any], read: Any) -> Any:  # noqa: ANN401
        """Nothing: records are folded directly.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def notices(self, deployments: Mapping[str, Any], read: Any) -> None:  # noqa: ANN401
        """Nothing is told to holders beside the account itself."""

    def decode(self, value: bytes, position: LogOffset) -> Own:
        """Keep the record as it is: what cannot be read makes its account suspect, which only the fold can say."""
        return Own(position, value)

    def read(self, row: bytes) -> Account:
        """Read an account out of its row.

        Raises:
            BadRow: It is another venue's, or no row.
        """
        try:
            found = _decode_row(memoryview(row)[ORDER_BYTES:])
        except msgspec.DecodeError as error:
            msg = f"expected a row of an inverse account, found {row!r:.200} ({error})"
            raise BadRow(msg) from error
        return Account(found.applied, decode_order(row)[1], found.state, found.suspect)

    def write(self, account: Account) -> bytes:
        """Encode the body of an account's row; its version stands before it."""
        return msgspec.json.encode(_Row(account.venue, account.applied, account.state, account.suspect))

    def fold(self, before: Account | None, record: Own, known: DeploymentWatermark) -> Account:
        """Fold a record; one at or below ``applied`` was folded before, and a suspect account waits for a whole."""
        del known  # There are no blocks.
        if before is not None and record.position <= before.applied:
            return before
        try:
            read = read_record(record.value)
            if before is not None and before.suspect is not None and not isinstance(read, Whole):
                return before
            state = after(None if before is None else before.state, read)
        except (BadRecord, BadNumber) as error:
            return self.doubt(before, record.position, str(error))
        return Account(record.position, 1 if before is None else before.version + 1, state)

    def doubt(self, before: Account | None, position: LogOffset, cause: str) -> Account:
        """Freeze the account at its last good state."""
        suspect = cause[:500], position
        if before is None:
            return Account(position, 1, None, suspect)
        if position <= before.applied:
            return before
        return Account(position, before.version + 1, before.state, before.suspect or suspect)

    def undo(self, before: Account, record: RolledBack) -> Account:  # noqa: ARG002 - there are no blocks
        """Nothing is taken back."""
        return before

    def settle(self, key: bytes, before: Account, final: int, position: LogOffset) -> Settled:  # noqa: ARG002
        """Nothing waits for finality."""
        return Settled(before)

    def held(self, account: Account) -> Account:
        """The whole account."""
        return account

    def read_held(self, row: bytes) -> Account:
        """The whole account."""
        return self.read(row)

    def exposure(self, deployment: str, held: Account, inputs: Inputs) -> Exposure:
        """The tangent at the marks in use, and how far below it the value may lie, in dollars.

        With F what is free in coins, m the mark of the coin, and of each position the size s, the entry e and the mark
        x, an account is worth m x (F + sum of g(x)), g(x) = s / e - s / x. The tangent at m0 and x0 gains F + sum of
        g(x0) with m, and m0 x s / x0^2 with each x. With m = m0 x (1 + c) and x = x0 x (1 + d), the value of a position
        is off it by (m0 x s / x0) x d x (c - d) / (1 + d), so by at most 2 x MOVE_MAX^2 / (1 - MOVE_MAX) of what the
        position is worth.
        """
        if held.suspect is not None or held.state is None:
            return Exposure({}, 0.0, 0.0)
        state, coin_used = held.state, inputs.mark(_COIN)
        coin = 1.0 if coin_used is None else coin_used.mark_e18 / E18
        free = _free_e18(state) / E18
        signed: dict[tuple[str, int | str], float] = {}
        gains = cost = slack = gross = 0.0
        for contract in state.positions.values():
            market, used = (deployment, contract.market), inputs.mark(contract.market)
            size, entry = contract.size_e18 / E18, contract.entry_e18 / E18
            mark = entry if used is None else used.mark_e18 / E18
            gains += size / entry - size / mark
            gross += abs(size) * (1 / mark + 1 / entry)
            signed[market] = signed.get(market, 0.0) + coin * size / mark / mark
            cost += coin * size / mark
            slack += coin * abs(size) / mark * 2 * MOVE_MAX * MOVE_MAX / (1 - MOVE_MAX)
        signed[deployment, _COIN] = signed.get((deployment, _COIN), 0.0) + free + gains
        slack += _ROUNDING * coin * (abs(free) + gross) + _TRUNCATION * (1 + 2 * coin) * (1 + len(state.positions))
        return Exposure(signed, cost, 0.0, slack)

    def statement(self, account: Account) -> Mapping[str, Any] | None:
        """Wallets and orders, which no mark values."""
        state = account.state
        return None if state is None else {"wallets": state.wallets, "orders": state.orders}

    def events(self, before: Account | None, record: Own, after: Account) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002
        """What the record says, where it could be folded."""
        return () if after.suspect is not None else (msgspec.to_builtins(read_record(record.value)),)

    def view(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The coin, and what is in coins of all that is known in coins."""
        known = {name: format_e18(int(body[name])) for name in _NATIVE if body[name] is not None}
        return {"currency": body["currency"], **known}

    def valuer(self, held: Account, term: int) -> ValuedWhole:
        """One that keeps nothing: each valuation works out everything."""
        return ValuedWhole(self, held, term)

    def value(self, held: Account, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the positions in coins at their marks and in dollars at the coin's, each truncated toward zero."""
        state = held.state or Whole(0, {}, {}, {})
        status = _unknown(held, unsupported=unsupported)
        contracts = sorted(state.positions.items())
        marks = [None if status else inputs.mark(contract.market) for _, contract in contracts]
        coin = None if status or not _needs_coin(state) else inputs.mark(_COIN)
        worths = [_worth(contract, mark, coin) for (_, contract), mark in zip(contracts, marks, strict=True)]
        is_known_in_coins = status is None and None not in marks
        lacks_coin = status is None and coin is None and _needs_coin(state)
        is_complete = is_known_in_coins and not lacks_coin
        upnl_coins, upnl, notional = (sum(getattr(worth, name) or 0 for worth in worths) for name in _SUMS)
        available_coins = _free_e18(state) + upnl_coins
        available = _dollars(_free_e18(state), coin) + upnl
        used = [mark for mark in (*marks, coin) if mark is not None]
        shown = {
            "upnl": str(upnl),
            "notional": str(notional),
            "equity": str(_dollars(_coins_e18(state), coin) + upnl),
            "available_balance": str(available),
            "liquidatable": available < 0,
            "distance_bps": distance_bps(available, notional),
        }
        body = {
            "account_order": [term, held.version],
            "position": list(held.applied),
            "status": status or (VALUED if is_complete else UNPRICED),
            "stale": sum(mark.stale for mark in used),
            "unpriced": 0 if status else lacks_coin + sum(worth.upnl is None for worth in worths),
            **(shown if is_complete else dict.fromkeys(shown)),
            "as_of_ms": min((mark.event_ms for mark in used), default=state.time_ms),
            "positions": [
                {**_body(*one), "liquidation_price": _liquidation_price(state, one[0][1], one[1], available_coins)}
                if is_complete
                else _body(*one)
                for one in zip(contracts, marks, worths, strict=True)
            ],
            "owner": None,
            "last_complete": None,
            "currency": _CURRENCY,
            "upnl_native": str(upnl_coins) if is_known_in_coins else None,
            "equity_native": str(_coins_e18(state) + upnl_coins) if is_known_in_coins else None,
            "available_balance_native": str(available_coins) if is_known_in_coins else None,
            "order_margin_native": str(_order_margin_e18(state)),
            "conversions": {} if coin is None else {_COIN: {**_named(coin), "stale": coin.stale}},
        }
        return Valued(body, Shown(available / E18, notional / E18) if is_complete else None)


def _unknown(held: Account, *, unsupported: bool) -> str | None:
    if unsupported:
        return UNSUPPORTED
    if held.suspect is not None:
        return SUSPECT
    return NO_ACCOUNT if held.state is None else None


def _coins_e18(state: Whole) -> int:
    return sum(map(parse_e18, state.wallets.values()))


def _order_margin_e18(state: Whole) -> int:
    return sum(map(parse_e18, state.orders.values()))


def _free_e18(state: Whole) -> int:
    """What is left before liquidation at a uPnL of 0."""
    worth_e18 = sum(abs(one.size_e18) * E18 // one.entry_e18 for one in state.positions.values())
    return _coins_e18(state) - _order_margin_e18(state) - worth_e18 * _MAINTENANCE_BPS // _BPS


def _needs_coin(state: Whole) -> bool:
    """Whether there is anything whose worth in dollars the coin's mark has to say."""
    return bool(state.positions or state.orders or _coins_e18(state))


def _dollars(coins_e18: int, coin: UsedMark | None) -> int:
    return 0 if coin is None else divide_toward_zero(coins_e18 * coin.mark_e18, E18)


def _worth(contract: Contract, mark: UsedMark | None, coin: UsedMark | None) -> _Worth:
    if mark is None:
        return _Worth()
    size_e18, entry_e18 = contract.size_e18, contract.entry_e18
    # 1 / entry - 1 / mark over one denominator, so that it is truncated once.
    upnl = divide_toward_zero(size_e18 * E18 * (mark.mark_e18 - entry_e18), entry_e18 * mark.mark_e18)
    notional = abs(size_e18) * E18 // mark.mark_e18
    if coin is None:
        return _Worth(upnl, notional)
    return _Worth(upnl, notional, _dollars(upnl, coin), _dollars(notional, coin))


def _liquidation_price(state: Whole, contract: Contract, mark: UsedMark | None, available_e18: int) -> str | None:
    """The mark of a position's market at which nothing is left of the account, all others as they are.

    With the net size s and what is left a at the mark m, that is m' where a + s / m - s / m' = 0.
    """
    size_e18 = sum(one.size_e18 for one in state.positions.values() if one.market == contract.market)
    if mark is None or not size_e18:
        return None
    coins_e36 = size_e18 * E18 + available_e18 * mark.mark_e18
    return str(size_e18 * E18 * mark.mark_e18 // coins_e36) if size_e18 * coins_e36 > 0 else None


def _body(named: tuple[str, Contract], mark: UsedMark | None, worth: _Worth) -> dict[str, Any]:
    name, contract = named
    return {
        "quote": name,
        "symbol": contract.market,
        "side": "long" if contract.size_e18 > 0 else "short",
        "quantity": str(abs(contract.size_e18)),
        "opened_price": str(contract.entry_e18),
        **_named(mark),
        "upnl": _text(worth.upnl),
        "notional": _text(worth.notional),
        "stale": mark is not None and mark.stale,
        "upnl_native": _text(worth.upnl_coins),
        "notional_native": _text(worth.notional_coins),
    }


def _named(mark: UsedMark | None) -> dict[str, Any]:
    """The columns that say which mark it was."""
    return {
        "mark": None if mark is None else str(mark.mark_e18),
        "mark_key": None if mark is None else mark.key,
        "mark_offset": None if mark is None else mark.offset,
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


class InverseSettings(DeploymentSettings):
    """The settings of a deployment of it."""

    kind: Literal["inverse"] = "inverse"


PACKAGE = VenuePackage(Inverse(), InverseSettings)
