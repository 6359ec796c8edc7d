"""An account of the example's package, as a worker's engine folds and values it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tidemark_paper import PACKAGE

from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.plain_venue import Own
from models.prices import MarkTick

if TYPE_CHECKING:
    from models.engine.tables import MemoryTables

ANN = "game:Ann-7"


def paper_engine(tables: MemoryTables | None = None, *, is_installed: bool = True) -> Engine:
    """An engine of the deployment ``game``.

    Args:
        tables: What an engine before made; by default nothing.
        is_installed: Whether the package is there.
    """
    venue = PACKAGE.venue if is_installed else None
    game = EngineDeployment(venue, None, lambda name: (PriceSource(f"venue:{name}".encode(), 9),))
    return Engine({"game": game}, tables)


def played(now_ms: int) -> Engine:
    """Ann has 1,000 and is short half a BTC from 60,000, which is at 57,000 at an instant, Unix ms."""
    engine = paper_engine()
    records: list[dict[str, Any]] = [
        {"kind": "cash", "time_ms": now_ms, "amount": "1000"},
        {"kind": "position", "time_ms": now_ms, "market": "BTCUSDT", "size": "-0.5", "entry": "60000"},
    ]
    for offset, record in enumerate(records):
        engine.account_record(ANN.encode(), Own((offset, -1), json.dumps(record).encode()))
    engine.fold("paper")
    engine.tick(MarkTick("venue", "BTCUSDT", now_ms, now_ms, "57000", None, None, None), 0)
    engine.value(now_ms)
    return engine
