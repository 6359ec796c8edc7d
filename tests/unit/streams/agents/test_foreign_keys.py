"""Keys that nobody of ours writes, in every topic that a worker folds: a dead letter each, and what follows goes on."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from models.account_events import Final, Transaction, encode_account_record
from models.chain_records import Join, encode_chain_record
from models.engine.board import InputBoard
from models.engine.deployment import InstalledVenue, Venues
from models.engine.partition import PartitionEngine
from models.engine.tables import MemoryTables
from models.symmio.venue import SYMMIO, engine_deployment
from streams.agents.accounts import AccountsAgent
from streams.agents.router import RouterAgent
from streams.agents.told import ToldAgent
from streams.process.clock import SystemClock
from streams.settings import SymmioSettings

if TYPE_CHECKING:
    from models.engine.step import Stage, Step, Write

ADDRESS = "0x" + "a" * 40
ACCOUNT = f"main:{ADDRESS}".encode()
NO_TEXT = b"main:\xff"
OWN = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40).own
INSTALLED = InstalledVenue(SYMMIO, {"main": OWN})


class FakeRows:
    """Tables of one partition that note the keys of what is refused, of what is written and of what is sent."""

    partitions = 1

    def __init__(self) -> None:
        self.refused: list[bytes | None] = []
        self.written: set[bytes] = set()
        self.sent: set[bytes] = set()

    def of_partition(self, _partition: int) -> MemoryTables:
        return MemoryTables()

    def refuse(self, _part: object, record: Any, error: Exception) -> None:  # noqa: ANN401
        assert "expected a key of" in str(error)
        self.refused.append(record.key)

    async def put_step(self, partition: int, step: Step, *_: object) -> None:
        for stage in step.stages:
            self.put_stage(partition, stage)

    def put_stage(self, _partition: int, stage: Stage, *_: object) -> None:
        self.written |= {write.key for write in stage.writes}

    def put(self, _partition: int, write: Write, *_: object) -> None:
        self.written.add(write.key)

    def send(self, _topic: str, _partition: int, key: bytes, *_: object) -> None:
        self.sent.add(key)


class Part(list[Any]):
    """A slice of records."""

    partition = 0


def part(value: bytes, *keys: bytes | None) -> Any:  # noqa: ANN401
    return Part(SimpleNamespace(key=key, value=value, offset=at, timestamp=1) for at, key in enumerate(keys))


def engines() -> Any:  # noqa: ANN401
    venues = Venues({"main": engine_deployment(OWN)}, SYMMIO)
    return {0: PartitionEngine(0, MemoryTables(), venues, board=InputBoard(lambda _: None), deadband=0.0)}


IDLE = cast("Any", SimpleNamespace(look=lambda: None))


@pytest.mark.parametrize("foreign", [NO_TEXT, b"\xff", b"", None, b"main", b":0xa", b"main:"])
async def test_what_was_routed_to_no_account_is_refused(foreign: bytes | None) -> None:
    rows = FakeRows()
    agent = AccountsAgent(INSTALLED, cast("Any", rows), engines(), IDLE, SystemClock())
    await agent.handle(part(encode_account_record(Transaction((1, 0), 5, 5, "0x01", ())), foreign, ACCOUNT))

    assert [foreign] == rows.refused
    assert {ACCOUNT} == rows.written


@pytest.mark.parametrize("foreign", [NO_TEXT, b"\xff", b"", None, b"main:0"])
async def test_what_was_said_of_no_deployment_is_refused(foreign: bytes | None) -> None:
    rows = FakeRows()
    agent = AccountsAgent(INSTALLED, cast("Any", rows), engines(), IDLE, SystemClock())
    await agent.handle(part(encode_account_record(Final((1, 0), 5, 5, 5)), foreign, b"main"))

    assert [foreign] == rows.refused
    assert {b"main:0"} == rows.written


@pytest.mark.parametrize("value", [encode_chain_record(Join(1, "0x01", 1, ())), b"nonsense"])
@pytest.mark.parametrize("foreign", [NO_TEXT, b"\xff", b"", None, b"main:0"])
async def test_a_block_of_no_deployment_is_refused_and_no_deployment_is_called_unsupported_for_it(
    foreign: bytes | None, value: bytes
) -> None:
    rows = FakeRows()
    await RouterAgent(INSTALLED, "routed", cast("Any", rows)).handle(part(value, foreign))

    assert ([foreign], set(), set()) == (rows.refused, rows.written, rows.sent)


@pytest.mark.parametrize("foreign", [NO_TEXT, b"\xff", b"", None, b"main"])
async def test_what_is_told_of_no_account_is_refused(foreign: bytes | None) -> None:
    now_s = int(time.time())
    said = orjson.dumps(
        {
            "id": "one",
            "counterparty_address": ADDRESS,
            "create_time": now_s,
            "modify_time": now_s,
            "last_seen_action": "SendQuote",
            "action_status": "seen",
            "state_type": "report",
            "quote_id": 1,
        }
    )
    rows = FakeRows()
    agent = ToldAgent(SYMMIO.kind, cast("Any", rows), engines(), IDLE, SystemClock())
    await agent.handle(part(said, foreign, ACCOUNT))

    assert [foreign] == rows.refused
    assert {ACCOUNT} == rows.written
