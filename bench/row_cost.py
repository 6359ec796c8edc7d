"""What one exact valuation row costs a worker apart from Kafka, in units of the same run.

Every account is watched. A tick moves one market, and each account that holds it is valued, its row encoded, put into a
dict and counted in the subtotals: all that a worker does between a tick and its publisher. The unit is the time that
orjson takes to encode the body of such a row. Rows and units take turns, so that a machine that is slow or busy is slow
or busy for both. Prints one line for each number of positions.
"""

from __future__ import annotations

import gc
import random
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import orjson

from bench.load.rows import DEPLOYMENT, account_row, address, symbol
from models.codec import decode_row, join_row
from models.engine.board import InputBoard, PriceSource
from models.engine.deployment import Venues
from models.engine.step import Write
from models.engine.tables import ACCOUNTS, ALERTS, VALUATIONS
from models.engine.valuing import Valuing
from models.ids import account_key
from models.money import E18
from models.prices import Mark
from models.symmio.venue import SYMMIO, engine_deployment
from models.watermarks import DeploymentWatermark
from tests.support.dict_rows import DictRows

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKETS = 100
"""Of each account, every position is in another of so many markets."""

_ACCOUNTS = 1_000
# A mark moves by some 2 bps a tick, so that no account nears liquidation.
_MOVE = 0.0002
_UNITS = 500
_WATERMARK = DeploymentWatermark()
_TICK_MS = 2
_SUMS_EVERY_MS = 1_000


class World:
    """So many watched accounts, valued once.

    Args:
        accounts: How many.
        positions: How many each has, all in different markets.
    """

    def __init__(self, accounts: int, positions: int) -> None:
        self._rows: dict[tuple[str, bytes], bytes] = {}
        self._marks: dict[bytes, Mark] = {}
        self._walk = random.Random(1)
        self._at_ms = 1_000
        self._sums_due_ms = 0
        self._board = InputBoard(self._marks.get)
        deployment = engine_deployment(None, lambda name: (PriceSource(name.encode(), 10**12),))  # type: ignore[arg-type]
        self._valuing = Valuing(
            0,
            DictRows(self._rows),
            venues=Venues({DEPLOYMENT: deployment}, None),
            board=self._board,
            watermark_of=lambda _: _WATERMARK,
            deadband=0.0,
        )
        for market in range(1, MARKETS + 1):
            self._board.put_market((DEPLOYMENT, market), (PriceSource(symbol(market).encode(), 10**12),))
            self._tick(market)
        for number in range(1, accounts + 1):
            key = account_key(DEPLOYMENT, address(number))
            account = account_row(number, positions, MARKETS)
            self._rows[ACCOUNTS, key] = join_row(1, account.version, SYMMIO.write(account))
            self._valuing.put(key, SYMMIO.held(account))
            self._valuing.watch(key)
        self.value()
        self.value()

    def tick_and_value(self, market: int) -> int:
        """Move a market; return how many rows came of it."""
        self._tick(market)
        return self.value()

    def value(self) -> int:
        """Value what is due and count it; return how many rows were written."""
        written = 0
        for key in self._valuing.take_urgent(self._at_ms / 1_000):
            write = self._valuing.value(key, self._at_ms, is_urgent=True)
            if write is None:
                continue
            self._rows[write.table, key] = join_row(1, write.version, write.body)
            if write.table == ALERTS:
                self._valuing.acknowledged(key, is_urgent=True)
            written += write.table == VALUATIONS
        is_due = self._at_ms >= self._sums_due_ms
        if is_due:
            self._sums_due_ms = self._at_ms + _SUMS_EVERY_MS
        for sum_ in self._valuing.totals.round(self._at_ms, is_due=is_due):
            if isinstance(sum_, Write):
                self._rows[sum_.table, sum_.key] = join_row(1, sum_.version, sum_.body)
        return written

    def a_body(self) -> Mapping[str, Any]:
        """The body of a row that stands in the table."""
        key = account_key(DEPLOYMENT, address(1))
        return decode_row(self._rows[VALUATIONS, key]).body

    def _tick(self, market: int) -> None:
        self._at_ms += _TICK_MS
        price = 100 * (1 + self._walk.gauss(0, _MOVE))
        key = symbol(market).encode()
        self._marks[key] = Mark(int(price * E18), None, None, None, self._at_ms, self._at_ms, self._at_ms)
        self._valuing.move(self._board.choose(((DEPLOYMENT, market),), self._at_ms))


def measured(world: World, rounds: int) -> tuple[list[float], list[float]]:
    """Processor time of rows, and of units, in µs, round by round; a round moves every market once."""
    body = world.a_body()
    rows_us, units_us = [], []
    for _ in range(rounds):
        gc.collect()
        began_s, rows = time.process_time(), 0
        for market in range(1, MARKETS + 1):
            rows += world.tick_and_value(market)
        rows_us.append((time.process_time() - began_s) * 1e6 / rows)
        began_s = time.process_time()
        for _ in range(_UNITS):
            orjson.dumps(body)
        units_us.append((time.process_time() - began_s) * 1e6 / _UNITS)
    return rows_us, units_us


@click.command()
@click.option("--accounts", default=_ACCOUNTS, show_default=True)
@click.option("--rounds", default=7, show_default=True)
def main(accounts: int, rounds: int) -> None:
    """Print what a row costs, with one and with four positions."""
    for positions in (1, 4):
        rows_us, units_us = measured(World(accounts, positions), rounds)
        units = median(row / unit for row, unit in zip(rows_us, units_us, strict=True))
        click.echo(
            f"row cost: {positions} positions: {units:.1f} encodings of its body "
            f"({median(rows_us):.1f} µs a row, {median(units_us):.2f} µs an encoding, medians of {rounds} rounds)"
        )


if __name__ == "__main__":
    main()
