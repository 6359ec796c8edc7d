"""How old the rows of accounts that nobody watches may grow, from what valuing one costs on this machine."""

from __future__ import annotations

from math import exp

# The share of a worker's time that goes into such rows while there is a choice.
_SHARE = 0.2
# Of what a newer measurement says of the cost; a chunk is some ten to fifty accounts.
_WEIGHT = 0.05
# Before anything was measured: an account with four positions, read, valued and written.
_COST_S = 60e-6
# And how far apart two are that wait for each other, beside prices, sums, sending and the store.
_APART_S = 150e-6
# That is measured over so long of the time in which any waited.
_MEMORY_S = 10.0
# One round takes longer than another, and one partition longer than others: with a million accounts the oldest row was
# out of date for 1.2 rounds.
_MARGIN = 1.5
# Below this the search for rows that are due would cost more than it finds.
_LEAST_AGE_S = 0.1


class Pace:
    """The greatest age of a row that is out of date and that nobody watches.

    Few accounts are shown at once whatever they cost. Many are shown as often as a fifth of the worker's time allows,
    and at least every ``max_age_s``. Where more wait than that allows, they are shown as often as they have been: a
    bound that cannot be kept would be none.

    ``cost_s`` is the processor time of one account; turns in which it was not measured leave it as it is.

    Args:
        max_age_s: The bound as long as it can be kept.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._waited_s = _MEMORY_S
        self._valued_meanwhile = _MEMORY_S / _APART_S
        self._waiting_since_s: float | None = None
        self.cost_s = _COST_S

    def valued(self, accounts: int, worked_s: float | None, now_s: float, *, do_more_wait: bool) -> None:
        """Learn from a turn what valuing an account costs, and how long accounts wait for each other.

        Args:
            accounts: How many were valued, >= 0.
            worked_s: The processor time that they took, in s; None where that was not measured.
            now_s: The instant, in s, by a clock that is always the same.
            do_more_wait: Whether any account still waits.
        """
        if accounts and worked_s is not None:
            self.cost_s += _WEIGHT * (worked_s / accounts - self.cost_s)
        if self._waiting_since_s is not None:
            took_s = now_s - self._waiting_since_s
            kept = exp(-took_s / _MEMORY_S)
            self._waited_s = kept * self._waited_s + took_s
            self._valued_meanwhile = kept * self._valued_meanwhile + accounts
        self._waiting_since_s = now_s if do_more_wait else None

    def age_s(self, accounts: int) -> float:
        """The greatest age among so many accounts."""
        round_s = accounts * self._waited_s / self._valued_meanwhile
        return max(_LEAST_AGE_S, min(self._max_age_s, accounts * self.cost_s / _SHARE), round_s * _MARGIN)
