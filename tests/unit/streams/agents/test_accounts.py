"""Which records that come from outside are folded, and that none of them ends its worker."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from prometheus_client import REGISTRY
from tidemark_paper import PACKAGE

from models.account_events import Final
from models.engine.board import InputBoard
from models.engine.deployment import EngineDeployment, InstalledVenue, Venues
from models.engine.partition import PartitionEngine
from models.engine.tables import MemoryTables
from models.venue import TopicSpec
from streams.agents.accounts import AccountsAgent
from streams.agents.references import ReferencesAgent
from streams.process.clock import SystemClock

if TYPE_CHECKING:
    from models.engine.step import Step

RECORD = b'{"kind": "cash", "time_ms": 1, "amount": "5"}'
ADDRESS = "0x" + "aB" * 20


class FakeRows:
    """Tables of one partition that note what is refused and which accounts are written."""

    partitions = 1

    def of_partition(self, _partition: int) -> MemoryTables:
        return MemoryTables()

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.written: set[bytes] = set()

    def refuse(self, _part: object, _record: object, error: Exception) -> None:
        self.refused.append(str(error))

    async def put_step(self, _partition: int, step: Step, *_: object) -> None:
        self.written |= {write.key for stage in step.stages for write in stage.writes}


class Part(list[Any]):
    """A slice of records."""

    partition = 0


class Careless(type(PACKAGE.venue)):  # type: ignore[misc]
    """Paper trading by a package that expects every record to be what it should be, and every account to have cash."""

    references = TopicSpec("paper-tiers", "deployment:tier")

    def apply(self, state: Any, value: bytes) -> Any:  # noqa: ANN401
        if json.loads(value).get("kind") == "gift":
            return msgspec.structs.replace(state, cash=state.cash + "0")
        return super().apply(state, value)

    def reference(self, name: str, value: bytes) -> Any:  # noqa: ANN401, ARG002
        return json.loads(value)["tier"]


async def handled(key: bytes, *values: bytes, venue: Any = PACKAGE.venue) -> FakeRows:  # noqa: ANN401
    """What becomes of records with a key."""
    rows, game = FakeRows(), {"game": EngineDeployment(venue, None)}
    engine = PartitionEngine(0, MemoryTables(), Venues(game, None), board=InputBoard(lambda _: None), deadband=0.0)
    agent = AccountsAgent(
        InstalledVenue(venue, {"game": None}),
        cast("Any", rows),
        cast("Any", {0: engine}),
        cast("Any", SimpleNamespace(look=lambda: None)),
        SystemClock(),
    )
    said = enumerate(values or (RECORD,))
    await agent.handle(cast("Any", Part(SimpleNamespace(key=key, value=one, offset=at) for at, one in said)))
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


@pytest.mark.parametrize("account", ["Ann/7", "Ann:7", "", "*"])
async def test_a_dead_letter_says_of_what_an_id_is_made(account: str) -> None:
    (refused,) = (await handled(f"game:{account}".encode())).refused

    assert f"of 1 to 64 letters, digits, '.', '_' or '-', found {account!r}" in refused


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (b"[]", "'list' object has no attribute 'get'"),
        (b"null", "'NoneType' object has no attribute 'get'"),
        (b'{"kind": "gift"}', "'NoneType' object has no attribute 'cash'"),
    ],
)
async def test_a_fault_of_a_package_at_a_record_is_a_dead_letter_and_other_accounts_go_on(
    bad: bytes, cause: str
) -> None:
    rows = await handled(b"game:Ann-7", bad, RECORD, venue=Careless())

    assert [cause in text for text in rows.refused] == [True]
    assert {b"game:Ann-7"} == rows.written


async def test_a_fault_of_a_package_at_a_reference_is_a_dead_letter_and_the_next_one_holds() -> None:
    rows = FakeRows()
    agent = ReferencesAgent(InstalledVenue(Careless(), {"game": None}), cast("Any", rows))
    said = enumerate((b"[]", b"{}", b"x", b'{"tier": 1}'))
    await agent.handle(cast("Any", Part(SimpleNamespace(key=b"game:a", value=one, offset=at) for at, one in said)))

    assert 3 == len(rows.refused)
    assert {b"game:a"} == rows.written


class OfAChain(type(PACKAGE.venue)):  # type: ignore[misc]
    """Paper trading whose package says how far the chain of a deployment is known."""

    def decode(self, value: bytes, position: tuple[int, int]) -> Any:  # noqa: ANN401
        return Final(position, 5, 5, 5) if value == b"final" else super().decode(value, position)


@pytest.mark.parametrize("key", [b"", b"main", b"game:Ann-7", b"\xff"])
async def test_nothing_is_said_of_a_deployment_by_records_of_another_venue(key: bytes) -> None:
    rows = await handled(key, b"final", venue=OfAChain())

    assert set() == rows.written
    assert ["expected the name of a configured paper deployment"] == [one[:50] for one in rows.refused]


async def test_what_is_said_of_a_deployment_of_its_own_is_folded() -> None:
    rows = await handled(b"game", b"final", venue=OfAChain())

    assert ([], {b"game:0"}) == (rows.refused, rows.written)


class Silent(type(PACKAGE.venue)):  # type: ignore[misc]
    """Paper trading that tells what happens, and shows nothing that it would be told beside."""

    def shows(self, state: Any) -> None:  # noqa: ANN401, ARG002
        return None

    def happened(self, before: Any, value: bytes, after: Any) -> list[dict[str, Any]]:  # noqa: ANN401, ARG002
        return [{"kind": "one"}, {"kind": "two"}]


async def test_what_happened_to_an_account_that_shows_nothing_is_counted() -> None:
    labels = {"kind": "paper"}
    before = REGISTRY.get_sample_value("tidemark_untold_events_total", labels) or 0
    rows = await handled(b"game:Ann-7", RECORD, venue=Silent())

    assert {b"game:Ann-7"} == rows.written
    assert before + 2 == REGISTRY.get_sample_value("tidemark_untold_events_total", labels)
