"""An epoch as the executor has it: the terms that were frozen, the plans, and what has become of each account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.symmio.epoch_prices import PENDING
from models.symmio.funding_records import Frozen, FrozenMarket, Plan
from streams.funder.account_charges import Progress
from streams.funder.flights import State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from models.symmio.funding_plan import Window
    from models.symmio.funding_records import Epoch, Outcome, Transaction
    from models.symmio.holding import OpenPosition
    from models.symmio.position_moves import Ended


# So often the tables are asked in a window which quotes there are.
_LOOKS = 8


class Round:
    """One epoch: its terms, its accounts, and what became of each."""

    def __init__(self, frozen: Frozen) -> None:
        self.frozen = frozen
        self.plans: dict[str, Plan] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.progress: dict[str, Progress] = {}
        self.clipped: dict[int, tuple[str, str]] = {}
        # Markets that have other epochs by now: the contract would take a charge for one of these, at our terms.
        self.changed: set[int] = set()
        # Accounts that are charged but for quotes whose markets have no terms yet.
        self.waiting: set[str] = set()
        self.is_over = False
        # When the tables were asked last which quotes there are, in the chain's time.
        self.looked_s = 0
        # When the window was first seen as deep as is final, in the chain's time; None before that.
        self.deep_s: int | None = None
        # Whether the tables were asked since they have reached that time: no block that may leave the chain opened or
        # closed anything before the epoch's instant.
        self.is_settled = False
        # When an account's outcome was first seen, in the chain's time: the log tells of closings of up to then once
        # the tables have reached it.
        self.told_s: dict[str, int] = {}
        # Markets of which it was told that their quotes are missed for want of terms.
        self.told_unpriced: set[int] = set()
        # Why quotes are missed, where that is not the reason of their account.
        self.reasons: dict[int, str] = {}
        # What was found of accounts' quotes before these were begun again with: nothing to pay, or why it was refused.
        self._free: dict[str, set[int]] = {}
        self._refused: dict[str, dict[int, str]] = {}

    @property
    def to_charge(self) -> set[str]:
        """The accounts of which something may be done now."""
        return self.plans.keys() - self.outcomes.keys() - self.waiting

    @property
    def is_whole(self) -> bool:
        """Whether every quote is planned that was open when the window opened: the tables were known up to then."""
        return self.frozen.tables_s >= self.frozen.opens_s

    @property
    def is_told(self) -> bool:
        """Whether the outcome of every plan is final."""
        return self.plans.keys() == self.outcomes.keys() and all(one.final for one in self.outcomes.values())

    def is_to_be_looked_at(self, now_s: int, tables_s: int) -> bool:
        """Whether it is time to ask the tables again which quotes there are; the last time is when they are final.

        Args:
            now_s: The chain's time, Unix s.
            tables_s: The chain's time up to which positions are known, Unix s.
        """
        if tables_s < self.frozen.opens_s or self.is_settled:
            return False
        if not self.is_whole or self.is_known_to_be_deep(tables_s):
            return True
        if now_s > self.frozen.closes_s:
            return self.looked_s <= self.frozen.closes_s
        return now_s - self.looked_s >= (self.frozen.closes_s - self.frozen.opens_s) // _LOOKS

    def is_known_to_be_deep(self, tables_s: int) -> bool:
        """Whether the tables have reached the time at which the window was as deep as is final."""
        return self.deep_s is not None and tables_s >= self.deep_s

    def note_changed(self, symbols: Collection[int]) -> None:
        """Note which markets still have this epoch.

        Args:
            symbols: Ids of the markets that have it now.
        """
        self.changed = self.frozen.markets.keys() - symbols

    def may_be_due(self, symbol_id: int) -> bool:
        """Whether quotes of a market are to be charged, or are to be asked for once the window has closed."""
        return symbol_id in self.frozen.markets and (self.is_over or symbol_id not in self.changed)

    def look_again(self, party_a: str, doubted: Collection[int]) -> None:
        """Begin again with an account of which nothing is final, also where its window has closed since.

        What was found of its other quotes while the window was open nobody could find out any more then.

        Args:
            party_a: The account.
            doubted: Ids of quotes of which nothing that was found holds any more.
        """
        outcome, progress = self.outcomes.pop(party_a, None), self.progress.pop(party_a, None)
        self.waiting.discard(party_a)
        for found in (outcome, progress):
            if found is not None:
                self._free.setdefault(party_a, set()).update(found.free)
                self._refused.setdefault(party_a, {}).update(found.culprits)
        for quote_id in doubted:
            self._free.get(party_a, set()).discard(quote_id)
            self._refused.get(party_a, {}).pop(quote_id, None)

    def recall(self, party_a: str) -> None:
        """Let stand what was found of quotes in the window, where an account was begun again with after it."""
        progress = self.progress_of(party_a)
        progress.free |= self._free.get(party_a, set()) & progress.late
        refused = self._refused.get(party_a, {})
        progress.culprits |= {quote_id: refused[quote_id] for quote_id in progress.late & refused.keys()}

    def begin_again(self, plan: Plan) -> None:
        """Forget what has become of quotes that have another market in a new plan: they are other quotes."""
        former = self.plans.get(plan.party_a)
        if former is None or plan.party_a not in self.progress:
            return
        known = dict(former.quotes)
        for quote_id, symbol_id in plan.quotes:
            if known.get(quote_id, symbol_id) != symbol_id:
                self.progress[plan.party_a].forget(quote_id)

    def take_back_closed(self, ended: Collection[int]) -> None:
        """Begin again with quotes that were told as closed and are not by the log: blocks have left the chain.

        Args:
            ended: Which quotes have ended since the window opened, by the log. Where it is behind, it is told again.
        """
        for party_a, outcome in list(self.outcomes.items()):
            back = outcome.closed.keys() - ended
            if not back or outcome.final:
                continue
            del self.outcomes[party_a]
            for quote_id in back:
                self.progress_of(party_a).closed.pop(quote_id, None)

    def extend(self, found: Frozen, plans: Sequence[Plan], ended: Mapping[int, Ended]) -> tuple[Frozen, list[Plan]]:
        """Find what is to be on record once more quotes are known; what was fixed before stays as it is.

        Args:
            found: The terms that an epoch would have which was frozen now.
            plans: The plans that it would have.
            ended: Those of its quotes that have ended since the epoch's instant.

        Returns:
            The terms, and the plans that are new or have new quotes.
        """
        closes_s = self.frozen.closes_s
        extended = []
        for plan in plans:
            former = self.plans.get(plan.party_a)
            known, late = ((), ()) if former is None else (former.quotes, former.late)
            # A quote is there once. Where a fork gave its id to one of another market, that is the one there is.
            quotes = tuple(sorted((dict(known) | dict(plan.quotes)).items()))
            if quotes == tuple(sorted(known)):
                continue
            if found.at_s > closes_s:
                new = {quote_id for quote_id, _ in {*quotes} - {*known}}
                kept = {one for one in new if one not in ended or ended[one].time_s > closes_s}
                late = tuple(sorted({*late, *kept}))
            # Records of before there could be several hedgers go on under their keys.
            extended.append(msgspec.structs.replace(plan, quotes=quotes, late=late, party_b=self.frozen.party_b))
        # What had no terms when the window closed has none for good.
        left_out = self.frozen.left_out if found.at_s > closes_s else {}
        found_markets = {symbol_id: one for symbol_id, one in found.markets.items() if symbol_id not in left_out}
        frozen = msgspec.structs.replace(
            self.frozen,
            tables_s=found.tables_s,
            markets=found_markets | self.frozen.markets,
            left_out={
                symbol_id: said
                for symbol_id, said in (found.left_out | self.frozen.left_out).items()
                if symbol_id not in self.frozen.markets and symbol_id not in found_markets
            },
            accounts=len(self.plans.keys() | {plan.party_a for plan in extended}),
        )
        return frozen, extended

    def doubt(self, sent: Iterable[Transaction]) -> None:
        """Take back outcomes on record that the executor before would have told anew, had it not ended.

        Their plans have more quotes by now, what they say is paid is in no transaction that is in the chain, or a quote
        that they blame for a revert has none of its own there any more.

        Args:
            sent: The newest record of each transaction.
        """
        mined: set[int] = set()
        reverted: set[int] = set()
        reverted_alone: set[int] = set()
        others: set[int] = set()
        for one in sent:
            charged = {cells.quote_id for cells in one.charges if cells.epoch == self.frozen.epoch}
            match one.state:
                case State.MINED:
                    mined |= charged
                case State.REVERTED:
                    reverted |= charged
                    if len(one.charges) == 1:
                        reverted_alone |= charged
                case _:
                    others |= charged
        unpaid = (reverted | others) - mined
        unblamed = mined | (others - reverted_alone)
        for party_a, plan in self.plans.items():
            former = self.outcomes.get(party_a)
            if former is None or former.final:
                continue
            is_whole = former.quotes == sorted(quote_id for quote_id, _ in plan.quotes)
            if is_whole and unpaid.isdisjoint(former.paid) and unblamed.isdisjoint(former.culprits):
                continue
            self.look_again(party_a, unblamed)
            self.reasons |= former.missed | former.culprits

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
    ticks_topic: str = "",
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
        ticks_topic: The topic whose ticks the terms name.

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
        epoch,
        window.opens_s,
        window.closes_s,
        at_s,
        tables_s,
        markets,
        left_out,
        len(plans),
        party_b=party_b,
        ticks_topic=ticks_topic,
    )
    return frozen, plans
