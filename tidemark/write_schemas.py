"""Writes the JSON schemas of what a ledger's producers write: ``python -m tidemark.write_schemas docs/schemas``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from models.ledger.ledger_schemas import VERSION, ledger_schemas


def schema_files() -> dict[Path, str]:
    """Every schema as text, by its path below the directory of all schemas."""
    return {
        Path("ledger") / f"v{VERSION}" / f"{name}.json": json.dumps(schema, indent=2) + "\n"
        for name, schema in ledger_schemas().items()
    }


def main(directory: Path) -> None:
    """Write the files that differ, and take away those of no schema."""
    files = {directory / path: text for path, text in schema_files().items()}
    for stale in set((directory / "ledger").rglob("*.json")) - files.keys():
        stale.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
