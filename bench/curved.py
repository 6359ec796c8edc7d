"""What accounts of a package cost: those not linear in a mark beside linear ones, guarded ones beside bare ones.

Both hold the same inverse contract in one market, which has ten ticks a second on a random walk. The ones are told to
the book with their tangent and its slack, the others as if it were the value; all that is due is valued exactly, in
turns, so the bound on a row's age is the same. A third set is as the first, of a venue that is guarded, as a worker has
those of packages (``models.guarded_venue``). What is timed is the processor time of the engine, apart from Kafka;
rounds of the three take turns. Prints a line for each ratio.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from models.codec import join_row
from models.engine.board import InputBoard, PriceSource
from models.engine.deployment import EngineDeployment, Venues
from models.engine.tables import ACCOUNTS, ALERTS
from models.engine.valuing import Valuing
from models.guarded_venue import GuardedVenue
from models.money import E18
from models.plain_venue import Own
from models.prices import Mark
from models.watermarks import DeploymentWatermark
from tests.support.dict_rows import DictRows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.book_figures import Exposure
    from models.venue import Inputs

ROOT = Path(__file__).parents[1]
DEADBAND = 0.0005
TICK_MS = 100
# A tick of BTCUSD moves its price by some 2 bps in a busy hour.
MOVE = 0.0002
RECORDS = (
    {"kind": "paid", "time_ms": 1, "wallet": "main", "amount": "1"},
    {"kind": "position", "time_ms": 2, "id": "9", "market": "BTCUSD", "size": "60000", "entry": "60000"},
)
CURVED, LINEAR, GUARDED = "curved", "linear", "guarded"
SOURCE = PriceSource(b"venue:BTCUSD", 10**12)


def _venue(kind: str) -> Any:  # noqa: ANN401 - the package is not installed, only found
    sys.path.insert(0, str(ROOT / "examples" / "options"))
    from tidemark_options import PACKAGE  # noqa: PLC0415

    class Told(type(PACKAGE.venue)):  # type: ignore[misc]
        def exposure(self, deployment: str, held: Any, inputs: Inputs) -> Exposure:  # noqa: ANN401
            line: Exposure = super().exposure(deployment, held, inputs)
            return line._replace(slack=None) if kind == LINEAR else line

    return GuardedVenue(Told(), _expect_sound) if kind == GUARDED else Told()


def _expect_sound(kind: str, hook: str, error: BaseException) -> None:
    msg = f"expected that the venue {kind} is sound, found a fault of {hook}"
    raise AssertionError(msg) from error


class World:
    """So many accounts, valued once."""

    def __init__(self, accounts: int, kind: str) -> None:
        self._rows: dict[tuple[str, bytes], bytes] = {}
        self._marks: dict[bytes, Mark] = {}
        self._board = InputBoard(self._marks.get)
        self._now_ms, self._price, self._walk = 0, 60_000.0, random.Random(1)
        venue = _venue(kind)
        self._valuing = Valuing(
            0,
            DictRows(self._rows),
            venues=Venues({"bench": EngineDeployment(venue, None, lambda _: (SOURCE,))}, None),
            board=self._board,
            watermark_of=lambda _: DeploymentWatermark(),
            deadband=DEADBAND,
        )
        self.tick()
        account: Any = None
        for offset, record in enumerate(RECORDS):
            account = venue.fold(account, Own((offset, -1), json.dumps(record).encode()), DeploymentWatermark())
        row = join_row(1, account.version, venue.write(account))
        for number in range(accounts):
            key = b"bench:%044d" % number
            self._rows[ACCOUNTS, key] = row
            self._valuing.put(key, venue.held(account))
        self.value()

    def tick(self) -> None:
        """Move the price."""
        self._now_ms += TICK_MS
        self._price *= 1 + self._walk.gauss(0, MOVE)
        mark = Mark(int(self._price * E18), None, None, None, self._now_ms, self._now_ms, 0)
        self._marks[SOURCE.key] = mark
        self._valuing.move(self._board.choose_all(self._now_ms))

    def value(self) -> int:
        """Value what is due; return how many accounts that were."""
        keys = [*self._valuing.take_urgent(self._now_ms / 1_000), *self._valuing.deferred]
        self._valuing.deferred.clear()
        for key in keys:
            write = self._valuing.value(key, self._now_ms, is_urgent=False)
            if write is not None:
                self._rows[write.table, key] = join_row(1, write.version, write.body)
                if write.table == ALERTS:
                    self._valuing.acknowledged(key, is_urgent=False)
        return len(keys)


def _measure(world: World, ticks: int) -> tuple[float, int]:
    """Processor time of some ticks in s, and how many accounts were valued."""
    gc.collect()
    began_s, valued = time.process_time(), 0
    for _ in range(ticks):
        world.tick()
        valued += world.value()
    return time.process_time() - began_s, valued


def _line(size: str, of: str, by: str, found: Mapping[str, Sequence[tuple[float, int]]]) -> str:
    ratios = [one[0] / other[0] for one, other in zip(found[of], found[by], strict=True)]
    valued = sum(one[1] for one in found[of]) / sum(one[1] for one in found[by])
    return (
        f"curved: {size}, {len(ratios)} rounds: processor time of {of} ones {median(ratios):.2f} x that of {by} ones "
        f"(from {min(ratios):.2f} to {max(ratios):.2f}), valued {valued:.3f} x as often"
    )


@click.command()
@click.option("--accounts", default=100_000, show_default=True)
@click.option("--ticks", default=50, show_default=True, help="A round's; there are ten a second.")
@click.option("--rounds", default=5, show_default=True)
def main(accounts: int, ticks: int, rounds: int) -> None:
    """Print what accounts cost that are not linear in a mark, and what a guard around their venue costs."""
    worlds = {kind: World(accounts, kind) for kind in (CURVED, LINEAR, GUARDED)}
    found: dict[str, list[tuple[float, int]]] = {kind: [] for kind in worlds}
    for _ in range(rounds):
        for kind, world in worlds.items():
            found[kind].append(_measure(world, ticks))
    for of, by in ((CURVED, LINEAR), (GUARDED, CURVED)):
        click.echo(_line(f"{accounts} accounts, {ticks} ticks a round", of, by, found))


if __name__ == "__main__":
    main()
