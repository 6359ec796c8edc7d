"""The terms of an epoch are those that a judge of its own code makes of the same log.

However late ticks come in it, and whether they name the end of the funding interval or do so now and then.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from models.engine.board import PriceSource
from models.prices import Mark
from models.symmio.epoch_prices import Chosen, SourceSaid, choose_at
from models.symmio.funding import funding_rates
from tests.evm.verdict import Said, Terms, terms_at

if TYPE_CHECKING:
    from collections.abc import Sequence

E18 = 10**18
EPOCH_S, INTERVAL_S, AT_S = 14_400, 28_800, 1_795_968_000
FIRST, SECOND = b"a:X", b"b:X"
SOURCES = [PriceSource(FIRST, 3_600_000), PriceSource(SECOND, 3_600_000)]


def log_of(draw: random.Random, partition: int) -> list[Said]:
    """One source's ticks in the order of the log: it falls silent, and some come out of order, and late."""
    silent = range(AT_S - draw.choice((0, 4, 30, 400)), AT_S + draw.choice((0, 2, 3, 6, 20, 90)))
    names_end = draw.choice((0.0, 0.5, 0.9, 1.0))
    ticks = []
    for event_s in sorted(draw.sample(range(AT_S - 340, AT_S + 60), draw.randint(0, 60))):
        if event_s in silent:
            continue
        event_ms = event_s * 1_000 + draw.choice((0, 0, 1, 999))
        received_ms = event_ms + draw.choice((10, 10, 400, 3_000, 9_000))
        ends_s = (event_s // INTERVAL_S + draw.choice((1, 1, 1, 2))) * INTERVAL_S
        mark_e18, rate_e18 = draw.randint(E18, 2 * E18), draw.randint(-(10**14), 10**14)
        ends_ms = ends_s * 1_000 if draw.random() < names_end else 0
        ticks.append(Said(partition, 0, event_ms, received_ms, mark_e18, rate_e18, ends_ms))
    ticks.sort(key=lambda one: one.received_ms)
    # What comes in the end shows that nothing is still to come.
    last_ms = (AT_S + 200) * 1_000
    ticks.append(Said(partition, 0, last_ms, last_ms, E18, 0, (AT_S + INTERVAL_S) * 1_000))
    return [one._replace(offset=offset) for offset, one in enumerate(ticks)]


def said_of(ticks: Sequence[Said]) -> SourceSaid:
    said = SourceSaid(AT_S * 1_000)
    for one in ticks:
        said.add(Mark(one.mark_e18, None, one.rate_e18, one.ends_ms or None, one.event_ms, one.received_ms, one.offset))
    return said


@pytest.mark.parametrize("seed", range(100))
def test_the_terms_of_a_log_are_the_judges(seed: int) -> None:
    draw = random.Random(seed)
    logs = log_of(draw, 0), log_of(draw, 1)
    found = choose_at(SOURCES, {FIRST: said_of(logs[0]), SECOND: said_of(logs[1])}, AT_S * 1_000)
    judged = terms_at(logs, AT_S, EPOCH_S)
    if isinstance(found, Chosen):
        assert isinstance(judged, Terms)
        number = {FIRST: 0, SECOND: 1}
        places = (number[found.mark_key], found.mark.offset), (number[found.rate_key], found.rate.offset)
        assert ((judged.mark.partition, judged.mark.offset), (judged.rate.partition, judged.rate.offset)) == places
        rates = funding_rates(
            found.rate.funding_rate_e18 or 0,
            epoch_s=EPOCH_S,
            interval_s=INTERVAL_S,
            share_e18=3 * E18 // 4,
            max_rate_e18=E18 // 100,
        )
        assert (judged.long_e18, judged.short_e18) == (rates.long_e18, rates.short_e18)
    else:
        assert str(found) == judged
