"""What would become of all accounts if marks or funding were others: a scenario put to an engine that has them valued.

A scenario is nothing but other records: a tick of another price for each source of a market, and what a charge of
funding leaves of an account. So the book finds the accounts that it concerns, and they are valued as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from models.codec import decode_row
from models.engine.missed_records import read_account
from models.engine.step import Write
from models.engine.tables import ACCOUNTS, MARKS, VALUATIONS
from models.errors import TidemarkError
from models.ids import split_key
from models.money import E18, format_e18
from models.prices import MarkTick, decode_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from models.engine.in_memory import Engine
    from models.prices import Mark
    from models.venue import Venue

# What the name of a market ends in that is given by what it is of alone: BTC is BTCUSDT, too.
_QUOTED_IN = ("", "USD", "USDT", "USDC", "USDT0")


class BadScenario(TidemarkError):
    """A scenario names no market that has a mark, or says of one what cannot be. The message says which there are."""


class Change(NamedTuple):
    """What a mark becomes: ``price_e18``, or where that is None ``factor_e18`` of what it is; both are positive."""

    factor_e18: int
    price_e18: int | None = None


class Scenario(NamedTuple):
    """Other marks by market, such as BTC, BTCUSDT, BTC* or *, in the order in which they count; and a funding rate.

    ``funding_e18`` is a fraction of positions' opened prices, which longs pay to shorts; None for no charge.
    """

    changes: Mapping[str, Change]
    funding_e18: int | None = None


class Figures(NamedTuple):
    """Figures of a valuation; ``available_e18`` below zero: it can be liquidated."""

    upnl_e18: int | None
    equity_e18: int | None
    notional_e18: int | None
    available_e18: int | None


class Outcome(NamedTuple):
    """An account that is another: 1e18-scaled figures before and after, None where they are unknown."""

    key: bytes
    before: Figures
    after: Figures


@runtime_checkable
class ChargesFunding(Protocol):
    """A venue of which an account can be told as a charge of funding would leave it."""

    def charged(self, account: Any, rate_e18: int) -> Any:  # noqa: ANN401 - it is the venue's own
        """The account after a charge on all its positions; itself where it has none.

        Args:
            account: The account.
            rate_e18: A fraction of positions' opened prices, signed; longs pay where it is positive.

        Raises:
            BadRecord: The account cannot be charged so.
        """


def put_scenario(
    engine: Engine, deployment: tuple[str, Venue[Any, Any, Any]], scenario: Scenario, at_ms: int
) -> Mapping[str, tuple[int, int]]:
    """Put a scenario to an engine whose accounts are valued, and value those that it concerns.

    Args:
        engine: It is changed.
        deployment: The deployment's name and its venue.
        scenario: The scenario.
        at_ms: The instant, Unix ms, at which accounts are valued.

    Returns:
        Of each mark that became another, by ``source:symbol``, what it was and what it is, 1e18-scaled.

    Raises:
        BadScenario: It names no market that has a mark, or cannot be.
    """
    marks = _marks(engine)
    moved = dict(_other_marks(marks, scenario.changes))
    for source_symbol, (_, new_e18) in moved.items():
        source, _, symbol = source_symbol.partition(":")
        standing = marks[source_symbol]
        times = standing.event_ms + 1, max(standing.received_ms, standing.event_ms + 1)
        lateness = standing.clock_ahead_ms, standing.max_late_ms
        tick = MarkTick(source, symbol, *times, format_e18(new_e18), None, None, None, *lateness)
        engine.tick(tick, standing.offset)
    if scenario.funding_e18 is not None:
        _charge(engine, *deployment, scenario.funding_e18)
    engine.value(at_ms)
    return moved


def figures_of(engine: Engine) -> dict[bytes, Figures]:
    """The figures of every account as its row has them."""
    return {key: _figures(decode_row(row).body) for key, row in engine.tables.items(VALUATIONS)}


def outcomes(before: Mapping[bytes, Figures], after: Mapping[bytes, Figures]) -> Sequence[Outcome]:
    """The accounts that are others after a scenario, first those that lack most before they could be liquidated.

    Args:
        before: The figures before it.
        after: The figures after it.
    """
    changed = [Outcome(key, before[key], after[key]) for key in before if before[key] != after[key]]
    return sorted(changed, key=lambda one: (one.after.available_e18 is None, one.after.available_e18 or 0, one.key))


def is_liquidatable(figures: Figures) -> bool:
    """Whether an account of these figures can be liquidated."""
    return figures.available_e18 is not None and figures.available_e18 < 0


def _other_marks(marks: Mapping[str, Mark], changes: Mapping[str, Change]) -> Iterator[tuple[str, tuple[int, int]]]:
    used: set[str] = set()
    for key, mark in marks.items():
        mark_e18 = mark.mark_e18
        symbol = key.partition(":")[2].upper()
        matching = [pattern for pattern in changes if _matches(pattern.upper(), symbol)]
        used.update(matching)
        for change in (changes[pattern] for pattern in matching[:1]):
            new_e18 = mark_e18 * change.factor_e18 // E18 if change.price_e18 is None else change.price_e18
            if new_e18 <= 0:
                msg = f"expected a mark above 0 of {key}, found {format_e18(new_e18)}: shocks are above -100%"
                raise BadScenario(msg)
            yield key, (mark_e18, new_e18)
    if unknown := [pattern for pattern in changes if pattern not in used]:
        known = ", ".join(sorted({key.partition(":")[2] for key in marks})) or "(none)"
        msg = f"expected markets that accounts hold and that have a mark, {known}, found {', '.join(unknown)}"
        raise BadScenario(msg)


def _matches(pattern: str, symbol: str) -> bool:
    if pattern.endswith("*"):
        return symbol.startswith(pattern[:-1])
    return any(symbol == pattern + quoted for quoted in _QUOTED_IN)


def _charge(engine: Engine, name: str, venue: Venue[Any, Any, Any], rate_e18: int) -> None:
    if not isinstance(venue, ChargesFunding):
        msg = f"expected a deployment whose venue charges funding, found {name}, a {venue.kind} deployment"
        raise BadScenario(msg)
    for key, row in list(engine.tables.items(ACCOUNTS)):
        if split_key(key)[0] != name:
            continue
        before = read_account(venue, row)
        after = venue.charged(before, rate_e18)
        if after is not before:
            engine.tables.put(Write(ACCOUNTS, key, after.version, venue.write(after)))
            engine.valuing.put(key, venue.held(after))


def _marks(engine: Engine) -> dict[str, Mark]:
    return {key.decode(): decode_mark(row) for key, row in engine.tables.items(MARKS)}


def _figures(body: Mapping[str, Any]) -> Figures:
    names = ("upnl", "equity", "notional", "available_balance")
    return Figures(*(None if body[name] is None else int(body[name]) for name in names))
