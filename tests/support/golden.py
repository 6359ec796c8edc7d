"""The recorded deployment run through Kafka, and what must stand in the tables afterwards."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from models.chain_records import decode_chain_record
from models.codec import decode_row, encode_row
from models.engine.board import InputBoard
from models.engine.in_memory import Engine
from models.engine.tables import (
    ACCOUNTS,
    DEPLOYMENTS,
    MARKETS,
    MARKS,
    POSITION_STATES,
    QUOTE_HISTORY,
    QUOTES,
    VALUATIONS,
    WATERMARKS,
)
from models.ids import split_key
from models.prices import MarkTick, decode_mark
from models.provenance import MADE_FROM
from models.symmio.account import decode_account
from models.symmio.topics import CHAIN_BLOCKS
from models.symmio.valuation import value_account
from streams.kafka.deadletter import decode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, topic_name
from streams.process.clock import SystemClock
from streams.process.unreadable_rows import note_unreadable
from streams.settings import SymmioSettings, symmio_deployments
from streams.settings.venues import engine_deployments
from tests.support.pipeline import changelog, feed_rows, records_of
from tests.support.recording import GOLDEN_LOGS, read_json, recorded_chain
from tests.support.scripted import read_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from models.chain_records import ChainRecord
    from models.codec import Row
    from streams.settings import DeploymentSettings, Settings

# What follows from the chain alone.
CHAIN_TABLES = (QUOTES, MARKETS, DEPLOYMENTS, ACCOUNTS, WATERMARKS, QUOTE_HISTORY, POSITION_STATES)
FORKS = "forks"
FORKS_SYMBOL = "S1USDT"
DEPLOYMENT = "golden"
SYMBOL = "BTCUSDT"
_FOREVER_MS = 10**15


def golden_deployment() -> dict[str, SymmioSettings]:
    """The recorded Diamond; its marks never grow stale."""
    return {
        DEPLOYMENT: SymmioSettings(
            chain_id=31337,
            diamond=read_json(GOLDEN_LOGS)["diamond"],
            default_sources=("binance-futures",),
            default_max_age_ms=_FOREVER_MS,
        )
    }


def golden_chain() -> list[ChainRecord]:
    """The recording as ingest would write it."""
    return list(recorded_chain(read_json(GOLDEN_LOGS)))


def forked_deployment() -> dict[str, SymmioSettings]:
    """The deployment of the script with forks; its marks never grow stale, its position states stand at once."""
    one = symmio_deployments(read_script(FORKS).settings)[FORKS]
    kept = {"default_sources": ("binance-futures",), "default_max_age_ms": _FOREVER_MS, "position_states": "on"}
    return {FORKS: one.model_copy(update=kept)}


def forked_chain() -> list[ChainRecord]:
    """Blocks that leave the chain again, some not supported; a gap, a join, checkpoints; what is final on the way."""
    return [decode_chain_record(step.value) for step in read_script(FORKS).steps if step.topic == CHAIN_BLOCKS]


class Oracle:
    """What the engine alone makes of a deployment's chain, without Kafka: every table that follows from the chain.

    Rows are given and compared as version and body by key. Whether a position state is pushed depends on when it was
    folded, so that is left out.
    """

    def __init__(self, deployments: Mapping[str, DeploymentSettings], chain: Iterable[ChainRecord]) -> None:
        (self._name,) = deployments
        self.engine = Engine(engine_deployments(deployments))
        now_ms = SystemClock().now_ms()
        for offset, record in enumerate(chain):
            self.engine.raw(self._name, record, offset, now_ms)

    @property
    def refused(self) -> set[str]:
        """Why records were refused; a record that is delivered again is refused again."""
        return set(self.engine.refused)

    def rows(self, table: str, partitions: int) -> dict[bytes, tuple[int, dict[str, Any]]]:
        """What a table holds that has so many partitions."""
        rows = {key: decode_row(value) for key, value in self.engine.tables.items(table)}
        if table == WATERMARKS:
            # Every partition is told the same of the chain; the engine has but one.
            ((_, row),) = rows.items()
            rows = {f"{self._name}:{partition}".encode(): row for partition in range(partitions)}
        return comparable(table, rows)

    def differences(self, table: str, partitions: int, found: Mapping[bytes, Row]) -> list[bytes]:
        """Keys of a table whose row is another than the engine's, is missing, or should not be."""
        expected, rows = self.rows(table, partitions), comparable(table, found)
        return [key for key in expected.keys() | rows.keys() if expected.get(key) != rows.get(key)]


def comparable(table: str, rows: Mapping[bytes, Row]) -> dict[bytes, tuple[int, dict[str, Any]]]:
    """Rows without their terms, which tell only who wrote them, and without what depends on when they were folded.

    A row of position-states is written once a slice, and its version counts that.
    """
    if table != POSITION_STATES:
        return {key: (row.version, row.body) for key, row in rows.items()}
    return {
        key: (0, {**row.body, "states": [{**state, "push": None, MADE_FROM: None} for state in row.body["states"]]})
        for key, row in rows.items()
    }


async def refused_reasons(settings: Settings) -> set[str]:
    """Why records are on dead-letters."""
    letters = await records_of(settings, topic_name(settings, DEAD_LETTERS))
    return {decode_dead_letter(value).reason for _, value in letters}


def ticks(symbol: str, count: int, *, start: int = 0) -> list[MarkTick]:
    """A price path of ``symbol``, one tick a ms; each tick's price tells its place."""
    return [
        MarkTick("binance-futures", symbol, at, at, f"{90 + at % 50}.{at % 97:02d}", None, None, None)
        for at in range(start + 1, start + count + 1)
    ]


def versioned(rows: dict[bytes, Row]) -> dict[bytes, tuple[int, dict[str, Any]]]:
    """Rows without their terms, which tell only who wrote them."""
    return {key: (row.version, row.body) for key, row in rows.items()}


async def valuation_differences(settings: Settings, valuations: dict[bytes, Row]) -> list[bytes]:
    """Accounts whose valuation is not the models' valuation of its row and the final marks, under these settings."""
    accounts = await feed_rows(settings, ACCOUNTS)
    marks = {key: decode_mark(encode_row(*row)) for key, row in (await feed_rows(settings, MARKS)).items()}
    markets = await feed_rows(settings, MARKETS)

    board = InputBoard(marks.get)
    for key, row in markets.items():
        board.put_row(key, encode_row(row.term, row.version, row.body), settings.deployments, note_unreadable)
    board.choose_all(SystemClock().now_ms())

    def expected(key: bytes) -> dict[str, Any]:
        row, deployment = accounts[key], split_key(key)[0]
        holding = decode_account(encode_row(*row)).holding
        return value_account(holding, row.term, partial(board.used, deployment), unsupported=False).body

    names = {name: one.settings for name, one in engine_deployments(settings.deployments).items()}

    def is_as_expected(key: bytes) -> bool:
        body = {**valuations[key].body, "last_complete": None}
        made = body.pop(MADE_FROM)
        maker = "symmio/2", names[split_key(key)[0]]
        return maker == (made["venue"], made["settings"]) and _lists(expected(key)) == body

    return [key for key in accounts.keys() | valuations.keys() if key not in valuations or not is_as_expected(key)]


async def versions_that_went_back(settings: Settings) -> list[bytes]:
    """Keys of valuations whose readers would have seen a version fall."""
    standing: dict[bytes, tuple[int, int]] = {}
    fell = []
    for key, row in await changelog(settings, VALUATIONS):
        order = standing.get(key, (-1, -1))
        if (row.term, row.version) < order:
            continue
        if row.version < order[1]:
            fell.append(key)
        standing[key] = (row.term, row.version)
    return fell


def _lists(body: Any) -> Any:  # noqa: ANN401 - JSON
    match body:
        case dict():
            return {name: _lists(part) for name, part in body.items()}
        case list() | tuple():
            return [_lists(part) for part in body]
        case _:
            return body
