"""However ticks and chain records are interleaved, cut and delivered again: rows and valuations come out the same."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.engine.board import choose_mark
from models.prices import Mark, MarkTick, later_mark, mark_of
from models.symmio.account import encode_account
from models.symmio.valuation import value_account
from tests.support.recording import GOLDEN_LOGS, read_json, recorded_blocks
from tests.support.symmio import Chain, Partition

if TYPE_CHECKING:
    from models.account_events import Final, RolledBack, Transaction

_TICKS = 60
_KEY = "binance-futures:BTCUSDT"
_MAX_AGE_MS = 10**15


@cache
def _records() -> tuple[tuple[str | None, Transaction | Final | RolledBack], ...]:
    recording = read_json(GOLDEN_LOGS)
    chain = Chain(diamond=recording["diamond"], depth=8)
    for block in list(recorded_blocks(recording))[:400]:
        chain.add(block)
    return tuple(chain.records)


@cache
def _ticks() -> tuple[MarkTick, ...]:
    return tuple(
        MarkTick("binance-futures", "BTCUSDT", at, at, f"{80 + at % 37}.{at:03d}", None, None, None)
        for at in range(1, _TICKS + 1)
    )


class _Tables:
    """Accounts and the mark of one partition, fed record by record as agents feed them."""

    def __init__(self) -> None:
        self.partition = Partition(8)
        self.mark: Mark | None = None

    def feed(self, records: int, ticks: int, *, again_records: int = 0, again_ticks: int = 0) -> None:
        """Fold all up to the given counts, the last ``again`` of those already folded once more."""
        self.partition.apply(_records()[max(0, self._records - again_records) : records])
        self._records = max(self._records, records)
        for offset, tick in enumerate(_ticks()[max(0, self._ticks - again_ticks) : ticks]):
            self.mark = later_mark(self.mark, mark_of(tick, offset)) or self.mark
        self._ticks = max(self._ticks, ticks)

    _records = 0
    _ticks = 0

    def shown(self) -> dict[str, tuple[Any, Any]]:
        """Every account's row and valuation, as bytes; offsets of ticks apart, which tell only where a tick was."""

        def mark_at(_: int) -> Any:  # noqa: ANN401
            mark = None if self.mark is None else Mark(**{**_fields(self.mark), "offset": 0})
            return choose_mark([(_KEY, mark, _MAX_AGE_MS)], 0)

        return {
            account: (
                orjson.dumps([row.version, encode_account(row)]),
                orjson.dumps(value_account(row.holding, 1, mark_at, unsupported=False).body()),
            )
            for account, row in self.partition.rows.items()
        }


def _fields(mark: Mark) -> dict[str, Any]:
    return {name: getattr(mark, name) for name in mark.__struct_fields__}


@cache
def _undisturbed() -> dict[str, tuple[Any, Any]]:
    tables = _Tables()
    tables.feed(len(_records()), _TICKS)
    return tables.shown()


_step = st.tuples(st.integers(0, 60), st.integers(0, 12), st.integers(0, 30), st.integers(0, 12))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_step, max_size=14))
def test_any_interleaving_with_redelivery_and_cuts_ends_in_the_same_rows_and_valuations(
    steps: list[tuple[int, int, int, int]],
) -> None:
    tables, records, ticks = _Tables(), 0, 0
    for more_records, more_ticks, again_records, again_ticks in steps:
        records, ticks = min(len(_records()), records + more_records), min(_TICKS, ticks + more_ticks)
        tables.feed(records, ticks, again_records=again_records, again_ticks=again_ticks)
    tables.feed(len(_records()), _TICKS, again_records=5, again_ticks=5)

    assert _undisturbed() == tables.shown()
    assert any(b'"mark":"' in valuation for _, valuation in tables.shown().values())
