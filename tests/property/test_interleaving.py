"""However ticks and chain records are interleaved, cut and delivered again: rows and valuations come out the same."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.codec import decode_row, encode_body
from models.engine.in_memory import Engine
from models.engine.tables import ALERTS, MARKS, QUOTE_HISTORY, VALUATIONS
from models.prices import MarkTick
from streams.settings.venues import engine_deployments
from tests.support.golden import CHAIN_TABLES, FORKS, FORKS_SYMBOL, forked_chain, forked_deployment

if TYPE_CHECKING:
    from models.chain_records import ChainRecord

_TICKS = 60
_NOW_MS = 10**6


@cache
def _chain() -> tuple[ChainRecord, ...]:
    return tuple(forked_chain())


@cache
def _ticks() -> tuple[MarkTick, ...]:
    return tuple(
        MarkTick("binance-futures", FORKS_SYMBOL, at, at, f"{80 + at % 37}.{at:03d}", None, None, None)
        for at in range(1, _TICKS + 1)
    )


class _Fed:
    """An engine that is fed record by record, valued on the way, and restarted on its tables."""

    def __init__(self) -> None:
        self._deployments = engine_deployments(forked_deployment())
        self.engine = Engine(self._deployments)
        self._records = 0
        self._ticks = 0

    def feed(self, records: int, ticks: int, *, again_records: int = 0, again_ticks: int = 0) -> None:
        """Fold all up to the given counts, the last ``again`` of those already folded once more."""
        since = max(0, self._records - again_records)
        for offset, record in enumerate(_chain()[since:records], start=since):
            self.engine.raw(FORKS, record, offset)
        self._records = max(self._records, records)
        since = max(0, self._ticks - again_ticks)
        for offset, tick in enumerate(_ticks()[since:ticks], start=since):
            self.engine.tick(tick, offset)
        self._ticks = max(self._ticks, ticks)

    def value(self) -> None:
        self.engine.value(_NOW_MS)

    def restart(self) -> None:
        """Recover another engine from the tables."""
        self.engine = Engine(self._deployments, tables=self.engine.tables)

    def shown(self) -> dict[str, dict[bytes, bytes]]:
        """Every table that follows from the records; of valuations, what does not depend on when they were made."""
        tables = self.engine.tables
        valued = {key: _without_past(row) for key, row in tables.items(VALUATIONS)}
        return {table: dict(tables.items(table)) for table in (*CHAIN_TABLES, MARKS)} | {VALUATIONS: valued}


def _without_past(row: bytes) -> bytes:
    # Versions count recomputations, and the last complete figures are those that some recomputation found.
    return encode_body({**decode_row(row).body, "last_complete": None})


@cache
def _undisturbed() -> dict[str, dict[bytes, bytes]]:
    fed = _Fed()
    fed.feed(len(_chain()), _TICKS)
    fed.value()
    return fed.shown()


_step = st.tuples(st.integers(0, 60), st.integers(0, 12), st.integers(0, 30), st.integers(0, 12), st.integers(0, 3))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_step, max_size=10))
def test_any_interleaving_with_forks_a_join_redelivery_cuts_and_restarts_ends_in_the_same_rows_and_valuations(
    steps: list[tuple[int, int, int, int, int]],
) -> None:
    fed, records, ticks = _Fed(), 0, 0
    for more_records, more_ticks, again_records, again_ticks, then in steps:
        records, ticks = min(len(_chain()), records + more_records), min(_TICKS, ticks + more_ticks)
        fed.feed(records, ticks, again_records=again_records, again_ticks=again_ticks)
        if then == 1:
            fed.value()
        if then == 2:
            fed.restart()
    fed.feed(len(_chain()), _TICKS, again_records=5, again_ticks=5)
    fed.value()

    assert _undisturbed() == fed.shown()


def test_what_is_compared_is_not_empty() -> None:
    """Forks, a gap and a join have left their traces: suspect accounts, finished quotes, alarms, and values."""
    fed = _Fed()
    fed.feed(len(_chain()), _TICKS)
    fed.value()
    tables = fed.engine.tables

    assert fed.engine.refused
    assert any(b'"mark":"' in row for _, row in tables.items(VALUATIONS))
    assert all(any(tables.items(table)) for table in (*CHAIN_TABLES, QUOTE_HISTORY, ALERTS))
