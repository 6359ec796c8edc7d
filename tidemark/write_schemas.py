"""Writes the JSON schemas of rows and records: ``python -m tidemark.write_schemas docs/schemas``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from models import row_bodies
from models.account_events import AccountRecord
from models.bookings import BookingRecord
from models.chain_records import ChainRecord
from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES, ClockSaid
from models.flash.chain_accounts import AccountRecord as FlashRecord
from models.flash.flash_table import FlashTable
from models.heartbeats import Beat
from models.history_records import Answer, HistoryHour, Request
from models.instruments import InstrumentFact
from models.interest import Watch
from models.kept_inputs import KeptInput
from models.ledger.ledger_schemas import VERSION, ledger_schemas
from models.prices import PriceTick
from models.symmio import symmio_row_bodies
from models.symmio.engine_states import EngineState
from streams.kafka.deadletter import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_RECORDS: dict[str, Any] = {
    "account-events": AccountRecord,
    "bookings": BookingRecord,
    "chain-blocks": ChainRecord,
    "dead-letters": DeadLetter,
    FLASH_ACCOUNTS: FlashRecord,
    FLASH_REFERENCES: FlashRecord | ClockSaid | FlashTable,
    "heartbeats": Beat,
    "history": HistoryHour,
    "history-answers": Answer,
    "history-requests": Request,
    "instrument-facts": InstrumentFact,
    "interest": Watch,
    "position-states-in": EngineState,
    "price-ticks": PriceTick,
    # Beside rows of valuations and parts of totals.
    "served": KeptInput,
}
_FOLDERS = ("ledger", "records", "rows")


def schema_files() -> dict[Path, str]:
    """Every schema as text, by its path below the directory of all schemas."""
    return {path: json.dumps(schema, indent=2) + "\n" for path, schema in _schemas()}


def _schemas() -> Iterator[tuple[Path, dict[str, Any]]]:
    for name, schema in ledger_schemas().items():
        yield Path("ledger") / f"v{VERSION}" / f"{name}.json", schema
    for topic, record in _RECORDS.items():
        yield Path("records") / f"{topic}.json", _schema(record)
    for table, body in row_bodies.BODIES.items():
        yield Path("rows") / f"{table}.json", _schema(body)
    for table, body in symmio_row_bodies.BODIES.items():
        yield Path("rows") / "symmio" / f"{table}.json", _schema(body)


def _schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a type, or a union of types
    return {"$schema": _DIALECT, **msgspec.json.schema(kind)}


def main(directory: Path) -> None:
    """Write the files that differ, and take away those of no schema."""
    files = {directory / path: text for path, text in schema_files().items()}
    for folder in _FOLDERS:
        for stale in set((directory / folder).rglob("*.json")) - files.keys():
            stale.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
