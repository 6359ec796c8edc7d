"""Vectors of a position's figures: what they are calculated from, as JSON, and the figures in the same form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from models.errors import BadRecord
from models.flash.flash_prices import OraclePrice, Uncomputable
from models.flash.position_metrics import BorrowTerms, MarketTerms, PositionMetrics, PositionTerms, position_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPONENT = -8

_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Decimals = Annotated[int, msgspec.Meta(ge=0, le=255)]


class MetricVector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A position and what its figures depend on: prices at 1e8, USD at 1e6, times in seconds of Unix time."""

    side: Literal["long", "short"]
    mark: _Natural
    entry: _Natural
    size_amount: _Natural
    size_decimals: _Decimals
    size_usd: _Natural
    locked_usd: _Natural
    collateral_usd: _Natural
    spread_min: _Natural
    spread_max: _Natural
    max_position_size_usd: _Natural
    max_leverage: _Natural
    close_fee_rate: _Natural
    borrow_rate: _Natural
    cumulative_lock_fee: _Natural
    lock_fee_snapshot: _Natural
    borrow_last_update: int
    now: int
    unsettled_fees_usd: _Natural
    delay_seconds: int
    update_time: int
    reference_price: _Natural

    def metrics(self) -> PositionMetrics:
        """Calculate its figures.

        Raises:
            Uncomputable: Something is divided by 0.
        """
        return position_metrics(
            PositionTerms(
                long=self.side == "long",
                entry=OraclePrice(self.entry, _EXPONENT),
                reference_price=self.reference_price,
                size_amount=self.size_amount,
                size_decimals=self.size_decimals,
                size_usd_e6=self.size_usd,
                collateral_usd_e6=self.collateral_usd,
                fee_snapshot_e9=self.lock_fee_snapshot,
                unsettled_fees_usd_e6=self.unsettled_fees_usd,
                update_time_s=self.update_time,
            ),
            MarketTerms(
                spread_min_e6=self.spread_min,
                spread_max_e6=self.spread_max,
                max_position_usd_e6=self.max_position_size_usd,
                max_leverage_bps=self.max_leverage,
                close_fee_e9=self.close_fee_rate,
                delay_s=self.delay_seconds,
            ),
            BorrowTerms(self.borrow_rate, self.cumulative_lock_fee, self.borrow_last_update),
            mark=OraclePrice(self.mark, _EXPONENT),
            locked_usd_e6=self.locked_usd,
            now_s=self.now,
        )


def read_vectors(text: str) -> Iterator[MetricVector]:
    """Read a JSON list of ``{"in": {…}}``; what else stands in an object of it, such as ``"out"``, is passed over.

    Raises:
        BadRecord: It is no such list, or one of them lacks a field, has one that is not known, or a wrong value.
    """
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"expected vectors as JSON, found something else: {error}"
        raise BadRecord(msg) from error
    if not isinstance(rows, list):
        msg = f"expected a JSON list of vectors, found {type(rows).__name__}"
        raise BadRecord(msg)
    for number, row in enumerate(rows):
        yield _read_vector(number, row)


def _read_vector(number: int, row: Any) -> MetricVector:  # noqa: ANN401 - JSON of any form
    if not isinstance(row, dict) or "in" not in row:
        msg = f'expected vector {number} to be an object with "in", found {str(row)[:80]}'
        raise BadRecord(msg)
    try:
        return msgspec.convert(row["in"], MetricVector)
    except msgspec.ValidationError as error:
        msg = f'expected "in" of vector {number} to have every field of a vector, in its range: {error}'
        raise BadRecord(msg) from error


def vector_line(vector: MetricVector) -> dict[str, str]:
    """A vector's figures in the form of ``"out"``, or ``{"err": why}`` where it has none."""
    try:
        metrics = vector.metrics()
    except Uncomputable as error:
        return {"err": str(error)}
    return {
        "profit_usd": str(metrics.profit_usd_e6),
        "loss_usd": str(metrics.loss_usd_e6),
        "leverage": str(metrics.leverage_bps),
        "liquidation_price": str(metrics.liquidation.price),
        "liquidation_exponent": str(metrics.liquidation.exponent),
        "exit_fee_usd": str(metrics.exit_fee_usd_e6),
        "borrow_fee_usd": str(metrics.borrow_fee_usd_e6),
    }
