"""Tables of which each row is the newest that was said of its key: marks, instruments and references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from models.codec import encode_body
from models.engine.step import RowId, Stage, Step, Write, step_of
from models.engine.stored_rows import stored
from models.engine.tables import INSTRUMENTS, MARKS, REFERENCES
from models.instruments import Instrument, decode_instrument, encode_instrument, fold_fact
from models.prices import decode_mark, encode_mark, later_mark
from models.references import decode_said, encode_said, later_said

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Struct

    from models.engine.stored_rows import Stored, StoredRows
    from models.instruments import InstrumentFact
    from models.prices import Mark
    from models.references import Said

T = TypeVar("T")
N = TypeVar("N")


class Registers(Generic[T, N]):
    """Folds news into the rows of one partition of a table; a row that cannot be read is made anew of the next news.

    Args:
        table: The table.
        rows: The tables that the steps are written to.
        fold: Makes of a value, or None, and news the new value; None where the news change nothing.
        decode: Reads a row.
        encode: Makes a row's body.
    """

    def __init__(
        self,
        table: str,
        rows: StoredRows,
        *,
        fold: Callable[[T | None, N], T | None],
        decode: Callable[[bytes], T],
        encode: Callable[[T], Struct],
    ) -> None:
        self._table = table
        self._rows = rows
        self._fold = fold
        self._decode = decode
        self._encode = encode
        self._current: dict[bytes, tuple[int, T | None]] = {}
        self._changed: dict[bytes, None] = {}
        self._repeated: dict[bytes, None] = {}

    def apply(self, key: bytes, news: N) -> bool:
        """Fold news of a key; tell whether its value is another now.

        Raises:
            BadRecord: The news contradict themselves or the value.
        """
        found = self._current.get(key)
        version, before = self._current[key] = self._stored(key) if found is None else found
        after = self._fold(before, news)
        if after is None:
            self._repeated[key] = None
            return False
        self._current[key] = version + 1, after
        self._changed[key] = None
        return True

    def take(self) -> Step:
        """What the news since the last call come to; each key's row is in it once."""
        writes = []
        for key in self._changed:
            version, value = self._current[key]
            if value is not None:
                writes.append(Write(self._table, key, version, encode_body(self._encode(value))))
        rests_on = [RowId(self._table, key) for key in self._repeated]
        self._current, self._changed, self._repeated = {}, {}, {}
        return step_of((Stage(writes, rests_on),))

    def _stored(self, key: bytes) -> Stored[T]:
        return stored(self._rows, self._table, key, self._decode)


def mark_registers(rows: StoredRows) -> Registers[Mark, Mark]:
    """price-ticks → marks: the newest price of each source and symbol, by event time."""
    return Registers(MARKS, rows, fold=later_mark, decode=decode_mark, encode=encode_mark)


def instrument_registers(rows: StoredRows) -> Registers[Instrument, InstrumentFact]:
    """instrument-facts → instruments: the newest that each source said of each of its symbols."""
    return Registers(INSTRUMENTS, rows, fold=_told, decode=decode_instrument, encode=encode_instrument)


def reference_registers(rows: StoredRows) -> Registers[Said, Said]:
    """A venue's topic of references → references: the newest record of each name."""
    return Registers(REFERENCES, rows, fold=later_said, decode=decode_said, encode=encode_said)


def _told(before: Instrument | None, fact: InstrumentFact) -> Instrument | None:
    current = before or Instrument()
    after = fold_fact(current, fact)
    return None if after is current else after
