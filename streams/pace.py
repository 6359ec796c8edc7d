"""How old the rows of accounts that nobody watches may grow, from what valuing one costs on this machine."""

from __future__ import annotations

# The share of a worker's time that goes into such rows while there is a choice.
_SHARE = 0.2
# The share that can go into valuing at all: the rest goes into prices, sums, sending and the store.
_SHARE_MAX = 0.4
# Of what a newer measurement says of the cost; a chunk is some ten to fifty accounts.
_WEIGHT = 0.05
# Before anything was measured: an account with four positions, read, valued and written.
_COST_S = 60e-6
# Below this the search for rows that are due would cost more than it finds.
_LEAST_AGE_S = 0.1


class Pace:
    """The greatest age of a row that is out of date and that nobody watches.

    Few accounts are shown at once whatever they cost. Many are shown as often as a fifth of the worker's time allows,
    and at least every ``max_age_s``. More than can be valued within that are shown as often as can be: a bound that
    cannot be kept would be none.

    Args:
        max_age_s: The bound as long as it can be kept.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self.cost_s = _COST_S

    def valued(self, accounts: int, seconds: float) -> None:
        """So many accounts took so much processor time."""
        if accounts:
            self.cost_s += _WEIGHT * (seconds / accounts - self.cost_s)

    def age_s(self, accounts: int) -> float:
        """The greatest age among so many accounts."""
        all_s = accounts * self.cost_s
        return max(_LEAST_AGE_S, min(self._max_age_s, all_s / _SHARE), all_s / _SHARE_MAX)
