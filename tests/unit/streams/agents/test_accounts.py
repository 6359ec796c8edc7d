"""Which keys of records that come from outside are folded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tidemark_paper import PACKAGE

from models.engine.board import InputBoard
from models.engine.deployment import EngineDeployment, InstalledVenue, Venues
from models.engine.partition import PartitionEngine
from models.engine.tables import MemoryTables
from streams.agents.accounts import AccountsAgent
from streams.process.clock import SystemClock

if TYPE_CHECKING:
    from models.engine.step import Step

RECORD = b'{"kind": "cash", "time_ms": 1, "amount": "5"}'
ADDRESS = "0x" + "aB" * 20


class FakeRows:
    """Tables of one partition that note what is refused and which accounts are written."""

    partitions = 1

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.written: set[bytes] = set()

    def refuse(self, _part: object, _record: object, error: Exception) -> None:
        self.refused.append(str(error))

    async def put_step(self, _partition: int, step: Step, *_: object) -> None:
        self.written |= {write.key for stage in step.stages for write in stage.writes}


async def handled(key: bytes) -> FakeRows:
    """What becomes of a record with a key."""
    rows, game = FakeRows(), {"game": EngineDeployment(PACKAGE.venue, None)}
    engine = PartitionEngine(0, MemoryTables().read, Venues(game, None), board=InputBoard(lambda _: None), deadband=0.0)
    agent = AccountsAgent(
        InstalledVenue(PACKAGE.venue, {"game": None}),
        cast("Any", rows),
        cast("Any", {0: engine}),
        cast("Any", SimpleNamespace(look=lambda: None)),
        SystemClock(),
    )
    record = SimpleNamespace(key=key, value=RECORD, offset=0)

    class Part(list[Any]):
        partition = 0

    await agent.handle(cast("Any", Part([record])))
    return rows


@pytest.mark.parametrize("key", [b"game:Ann-7", b"game:" + ADDRESS.lower().encode(), b"game:0x1F"])
async def test_a_record_of_an_account_in_its_one_spelling_is_folded(key: bytes) -> None:
    rows = await handled(key)

    assert ([], {key}) == (rows.refused, rows.written)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"game",
        b"game:",
        b"main:Ann-7",
        b"game:Ann:7",
        b"game:Ann/7",
        b"game:\xff",
        b"game:*",
        b"game:" + b"a" * 65,
        b"game:" + ADDRESS.encode(),
    ],
)
async def test_a_record_of_an_account_that_nobody_could_ask_for_is_refused(key: bytes) -> None:
    rows = await handled(key)

    assert (1, set()) == (len(rows.refused), rows.written)
