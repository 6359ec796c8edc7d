"""What a replica of the api calculates of a basket of Flash, and the log with what is kept of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.dialects.flash.flash_dialect import FLASH as DIALECT
from models.codec import decode_order
from models.engine.board import DeploymentInputs
from models.engine.tables import STATEMENTS
from models.kept_inputs import CalculationsMade, KeptMark, encode_kept, kept_key
from streams.kafka.topics import served_name
from streams.replay.bounded_log import Held, LogRecord, Place
from tests.support.flash import OWNER
from tests.support.listed_log import ListedLog
from tests.support.told_flash import PARTITIONS

if TYPE_CHECKING:
    from models.prices import UsedMark
    from models.references import UsedReference
    from tests.support.told_flash import ToldFlash

KEY = f"flash:{OWNER}".encode()


class Noted:
    """The inputs of an engine now, as a replica is given them, and which of them were asked for."""

    def __init__(self, world: ToldFlash) -> None:
        world.engine.choose(world.now_ms)
        self._inputs = DeploymentInputs(world.engine.board, "flash")
        self.marks: dict[str, KeptMark | None] = {}
        self.references: dict[str, tuple[int, int] | None] = {}

    def mark(self, market: int | str, /) -> UsedMark | None:
        used = self._inputs.mark(market)
        self.marks[str(market)] = None if used is None else KeptMark(used.key, used.offset, used.stale)
        return used

    def reference(self, name: str, /) -> UsedReference | None:
        used = self._inputs.reference(name)
        self.references[name] = None if used is None else (used.partition, used.offset)
        return used


def calculate(world: ToldFlash, asked: str) -> tuple[object, bytes]:
    """What a replica would send, and the record that it would keep."""
    row = world.engine.tables.read(STATEMENTS, KEY)
    assert row is not None
    assert DIALECT.again is not None
    noted = Noted(world)
    frame = DIALECT.again(row, asked, noted)
    made = CalculationsMade(world.now_ms, [(KEY.decode(), *decode_order(row), asked)], noted.marks, noted.references)
    return frame, encode_kept(made)


def with_served(world: ToldFlash, *kept: bytes, late_ms: int = 0) -> ListedLog:
    """The log, and what is kept, each written so long after its moment."""
    log = world.log()
    topic = served_name(world.settings)
    (place,) = {world.place(topic, kept_key("calc", "flash"))}
    records = [
        LogRecord(decode_order(value)[1] + late_ms, *place, offset, kept_key("calc", "flash"), value)
        for offset, value in enumerate(kept)
    ]
    held = {Place(topic, number): Held(0, 0, None) for number in range(PARTITIONS)}
    held[place] = Held(0, len(records), None)
    return ListedLog([*log.all_records(), *records], {**log._held, **held})
