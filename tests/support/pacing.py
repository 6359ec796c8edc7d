"""A pacing that does not follow what a machine has to do."""

from __future__ import annotations

from typing import NamedTuple


class Even(NamedTuple):
    """Rounds are always so far apart, in s."""

    interval_s: float
