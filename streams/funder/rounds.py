"""An epoch as the executor has it: the terms that were frozen, the plans, and what has become of each account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.symmio.epoch_prices import PENDING
from models.symmio.funding_records import Frozen, FrozenMarket, Plan
from streams.funder.account_charges import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from models.symmio.funding_plan import Window
    from models.symmio.funding_records import Epoch, Outcome
    from models.symmio.holding import OpenPosition


class Round:
    """One epoch: its terms, its accounts, and what became of each."""

    def __init__(self, frozen: Frozen) -> None:
        self.frozen = frozen
        self.plans: dict[str, Plan] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.progress: dict[str, Progress] = {}
        self.clipped: dict[int, tuple[str, str]] = {}
        # Accounts that are charged but for quotes whose markets have no terms yet.
        self.waiting: set[str] = set()
        self.is_over = False
        # Markets of which it was told that their quotes are missed for want of terms.
        self.told_unpriced: set[int] = set()

    @property
    def to_charge(self) -> set[str]:
        """The accounts of which something may be done now."""
        return self.plans.keys() - self.outcomes.keys() - self.waiting

    def unpriced(self, party_a: str) -> set[int]:
        """The markets of an account's quotes that have no terms."""
        return {symbol_id for _, symbol_id in self.plans[party_a].quotes if symbol_id in self.frozen.left_out}

    def is_waiting(self, party_a: str) -> bool:
        """Whether a market of an account's quotes that has no terms may still come to some."""
        return not self.is_over and any(self.frozen.left_out[one] in PENDING for one in self.unpriced(party_a))

    def progress_of(self, party_a: str) -> Progress:
        """Find an account's progress, which begins with the clipped rates that are on record."""
        if party_a not in self.progress:
            progress = self.progress[party_a] = Progress()
            for quote_id, _ in self.plans[party_a].quotes:
                if quote_id in self.clipped:
                    progress.clipped[quote_id] = self.clipped[quote_id]
        return self.progress[party_a]


def freeze(
    epoch: Epoch,
    window: Window,
    *,
    symbols: Collection[int],
    positions: dict[str, list[OpenPosition]],
    terms_of: Callable[[int, Window], FrozenMarket | str],
    at_s: int,
    tables_s: int,
    party_b: str = "",
) -> tuple[Frozen, list[Plan]]:
    """Fix the terms of an epoch, and list the quotes that have it; those of markets without terms are among them.

    Args:
        epoch: The epoch.
        window: When it is charged.
        symbols: Ids of the markets that have this epoch.
        positions: Every account's open positions, by its address.
        terms_of: Finds a market's terms, or why it has none.
        at_s: The chain's time, Unix s.
        tables_s: The chain's time up to which positions are known, Unix s.
        party_b: Address of the hedger whose positions they are.

    Returns:
        The terms, and a plan for each account that has quotes of these markets.
    """
    used = {one.symbol_id for held in positions.values() for one in held if one.symbol_id in symbols}
    terms = {symbol_id: terms_of(symbol_id, window) for symbol_id in sorted(used)}
    markets = {symbol_id: one for symbol_id, one in terms.items() if isinstance(one, FrozenMarket)}
    left_out = {symbol_id: one for symbol_id, one in terms.items() if isinstance(one, str)}
    plans = []
    for party_a, held in sorted(positions.items()):
        quotes = tuple((one.quote_id, one.symbol_id) for one in held if one.symbol_id in symbols)
        if quotes:
            plans.append(Plan(epoch, party_a, quotes, party_b))
    frozen = Frozen(
        epoch, window.opens_s, window.closes_s, at_s, tables_s, markets, left_out, len(plans), party_b=party_b
    )
    return frozen, plans
