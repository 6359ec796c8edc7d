"""Ingest of a chain behind hostile nodes, in one process on a virtual clock, by a seeded script."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from models.chain_records import Block, Watermark, decode_chain_record
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS
from models.symmio.account import decode_account
from models.symmio.deployment import SymmioDeployment
from models.symmio.venue import engine_deployment
from streams.ingest.symmio.chain_journal import Journal
from streams.ingest.symmio.doubts import Doubts
from streams.ingest.symmio.head import Follower
from streams.ingest.symmio.tail import Tail
from streams.node.blocks import read_logs
from streams.node.endpoints import Node
from streams.node.rpc import HttpEndpoint
from streams.settings import Settings, SymmioSettings
from tests.support.chain import ChainBlock
from tests.support.hostile_node import CHAIN_ID, HostileNode, HostileSession, Traits, View, one_liar_a_block
from tests.support.records import surviving_blocks
from tests.support.symmio import DIAMOND, NAME, allocate, fee_in
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from models.chain_records import ChainRecord, RawLog
    from streams.kafka.fenced_writer import Written
    from streams.node.rpc import Endpoint

FINALITY = 8
BLOCKS = 32
_CHAINS = 5
_BEGAN_S = 1_700_000_000
_LEAST_STEP_S = 1e-6
# Long enough for every back-off and for a witness that is away to be gone on without.
PATIENCE_S = 900.0
_E18 = 10**18


@dataclass(frozen=True)
class Script:
    """What happens in a run: at a chain of ``blocks``, of which ``history`` are there at the start.

    ``forks`` is the chance of a branch before each block. Where ``is_measured``, the chain grows only when its history
    has been read, so that calls can be counted apart.
    """

    seed: int
    endpoints: tuple[Traits, ...]
    history: int
    forks: float
    witness: Literal["off", "share", "all"] = "all"
    blocks: int = BLOCKS
    finality: int = FINALITY
    is_measured: bool = False

    @property
    def chain(self) -> tuple[ChainBlock, ...]:
        return chain_blocks(self.seed % _CHAINS, self.blocks)


def draw_script(seed: int) -> Script:
    """Draw a script: one endpoint that is a nuisance and lags, or several of which one at a time lies."""
    chance = random.Random(seed)
    count = chance.choice((1, 2, 2, 3))
    endpoints = []
    for _ in range(count):
        traits = _nuisances(chance)
        if count == 1:
            lag_s = chance.uniform(0.5, FINALITY / 2 - 1)
            traits = replace(traits, lags=_one_of(chance, 0.0, 0.3, 0.6), lag_s=lag_s)
        else:
            traits = replace(
                traits,
                lags=_one_of(chance, 0.0, 0.5, 1.0),
                lag_s=chance.choice((2.0, 20.0, 10_000.0)),
                cuts=_one_of(chance, 0.0, 0.4),
                drops=_one_of(chance, 0.0, 0.4),
                counts_anew=_one_of(chance, 0.0, 0.0, 0.4),
            )
        endpoints.append(traits)
    # What nobody tells any more cannot be read.
    keeper = chance.randrange(count)
    endpoints[keeper] = replace(endpoints[keeper], forgets=Traits().forgets, counts_anew=0.0)
    return Script(
        seed=seed,
        endpoints=tuple(endpoints),
        history=chance.choice((1, 8, 17, 26)),
        forks=_one_of(chance, 0.0, 0.1, 0.3),
        # One endpoint's lags and backends are to be seen through without a second reading as well.
        witness="all" if count > 1 else chance.choice(("off", "share", "all")),
    )


def _one_of(chance: random.Random, *shares: float) -> float:
    return chance.choice(shares)


def _nuisances(chance: random.Random) -> Traits:
    return Traits(
        behind=_one_of(chance, 0.0, 0.0, 0.3),
        behind_blocks=chance.randint(1, FINALITY + 4),
        repeats=_one_of(chance, 0.0, 0.3),
        reorders=_one_of(chance, 0.0, 1.0),
        nulls=_one_of(chance, 0.0, 0.0, 0.05),
        refuses=_one_of(chance, 0.0, 0.0, 0.25),
        hangs=_one_of(chance, 0.0, 0.0, 0.03),
        spells=_one_of(chance, 0.0, 0.0, 1.0),
        batch_max=chance.choice((1_000, 1_000, 3, 1)),
        range_max=chance.choice((1_000_000, 1_000_000, 7, 1)),
        forgets=chance.choice((1_000_000, 1_000_000, 20)) if chance.random() < 0.5 else 1_000_000,
        parts=_one_of(chance, 0.0, 0.0, 0.0, 0.2),
        batch_answers=chance.choice((1_000, 1_000, 1_000, 3, 1)),
        hang_up=chance.random() < 0.2,
        leaps=_one_of(chance, 0.0, 0.0, 0.0, 0.1),
        misplaces=_one_of(chance, 0.0, 0.0, 0.0, 0.1),
    )


@lru_cache(maxsize=_CHAINS)
def chain_blocks(number: int, count: int = BLOCKS) -> tuple[ChainBlock, ...]:
    """An undisturbed chain: deposits of a few accounts, such that every log changes a figure; long ones are quiet."""
    transactions_of = (0,) * (40 if count > BLOCKS else 0) + (0, 0, 1, 1, 2, 3)
    chance = random.Random(number)
    blocks: list[ChainBlock] = []
    parent = _hash(f"genesis {number}")
    for height in range(count):
        transactions = [_transaction(chance) for _ in range(chance.choice(transactions_of) if height else 0)]
        block_hash = _hash(f"{parent} {number}")
        blocks.append(_block(height, block_hash, parent, transactions))
        parent = block_hash
    return tuple(blocks)


def _transaction(chance: random.Random) -> list[RawLog]:
    account = f"0x{chance.randint(1, 5):040x}"
    deposit = allocate(chance.randint(1, 10**6) * _E18, account)
    if chance.random() < 0.5:
        return [deposit]
    if chance.random() < 0.3:
        return [deposit, fee_in(chance.randint(1, 1_000), account)]
    return [deposit, allocate(chance.randint(1, 10**6), account)]


def _block(height: int, block_hash: str, parent: str, transactions: Sequence[Sequence[RawLog]]) -> ChainBlock:
    logs: list[dict[str, Any]] = []
    for tx_index, raw in enumerate(transactions):
        for one in raw:
            logs.append(
                {
                    "removed": False,
                    "logIndex": hex(len(logs)),
                    "transactionIndex": hex(tx_index),
                    "transactionHash": _hash(f"{block_hash} {tx_index}"),
                    "blockHash": block_hash,
                    "blockNumber": hex(height),
                    "address": one.address,
                    "data": one.data,
                    "topics": list(one.topics),
                }
            )
    return ChainBlock(height, block_hash, parent, _BEGAN_S + height, tuple(logs))


def _hash(text: str) -> str:
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


class World:
    """A chain that comes into being a block a second, with branches that it leaves again for the undisturbed one."""

    def __init__(self, script: Script) -> None:
        self._main = script.chain
        self._chance = random.Random(script.seed + 1)
        self._forks = script.forks
        self._blocks: list[ChainBlock] = list(self._main[: script.history])
        # What is there at the start has been there for long.
        self._came_s = {block.hash: float("-inf") for block in self._blocks}

    def view(self) -> View:
        return View(self._blocks, self._came_s, asyncio.get_running_loop().time())

    async def grow(self) -> None:
        while self._blocks[-1] is not self._main[-1]:
            await asyncio.sleep(1.0)
            height = len(self._blocks)
            if height < len(self._main) - 1 and self._chance.random() < self._forks:
                await self._fork(height)
            self._show(self._main[: len(self._blocks) + 1])

    async def _fork(self, height: int) -> None:
        depth = min(height - 1, self._chance.randint(1, FINALITY - 2))
        branch = list(self._blocks[: height - depth])
        salt = self._chance.random()
        for number in range(height - depth, height + 1):
            block_hash = _hash(f"{branch[-1].hash} {salt}")
            # Its transactions are other ones, with some of the same logs.
            kept = [
                [found.log] for found in read_logs(list(self._main[number].logs)).logs if self._chance.random() < 0.5
            ]
            branch.append(_block(number, block_hash, branch[-1].hash, kept))
        self._show(branch)
        await asyncio.sleep(self._chance.choice((0.5, 1.0, 3.0)))
        self._show(self._main[: height + 1])

    def _show(self, blocks: Sequence[ChainBlock]) -> None:
        now_s = asyncio.get_running_loop().time()
        for block in blocks[-FINALITY - 2 :]:
            self._came_s.setdefault(block.hash, now_s)
        self._blocks = list(blocks)


class HeardDoubts(Doubts):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.blocks: set[int] = set()
        self.mended_blocks = 0

    def mended(self, numbers: Sequence[int]) -> None:
        super().mended(numbers)
        self.mended_blocks += len(numbers)

    def undecided(self, number: int, reason: str) -> None:
        super().undecided(number, reason)
        self.blocks.add(number)

    def unwitnessed(self, first: int, last: int, reason: str) -> None:
        super().unwitnessed(first, last, reason)
        self.blocks.update(range(first, last + 1))


class MemoryWriter:
    """Keeps the records that are written."""

    def __init__(self) -> None:
        self.records: list[ChainRecord] = []

    async def write(self, records: Iterable[Written]) -> None:
        self.records += [decode_chain_record(record.value) for record in records]


@dataclass
class Outcome:
    """What a run came to: its records, what was doubted, why it ended if it did, and how long it took, in s."""

    script: Script
    records: list[ChainRecord] = field(default_factory=list)
    doubted: set[int] = field(default_factory=set)
    mended: int = 0
    history_calls: int = 0
    calls: int = 0
    failure: BaseException | None = None
    is_settled: bool = False
    took_s: float = 0.0


def play(script: Script) -> Outcome:
    """Play a script until the topic is that of the undisturbed chain, or for ``PATIENCE_S`` after the last block."""
    random.seed(script.seed)
    with _silent():
        return run_in_no_time(_play(script), _LEAST_STEP_S)


async def _play(script: Script) -> Outcome:
    world = World(script)
    count = len(script.endpoints)
    nodes = {
        f"#{number}": HostileNode(
            world.view,
            traits,
            script.seed * 10 + number,
            (lambda _: True) if count == 1 else one_liar_a_block(script.seed, number, count),
        )
        for number, traits in enumerate(script.endpoints)
    }
    session: Any = HostileSession(nodes)
    endpoints: list[Endpoint] = [HttpEndpoint(session, label, label) for label in nodes]
    deployment = SymmioSettings(
        chain_id=CHAIN_ID,
        diamond=DIAMOND,
        start_block=1,
        finality_depth=script.finality,
        witness=script.witness,
    )
    writer, doubts = MemoryWriter(), HeardDoubts()
    tail = Tail()
    tail.begin_at(1)
    journal = Journal(Settings(), NAME, writer, tail)
    follower = Follower(Node(NAME, endpoints, CHAIN_ID), journal, deployment, doubts)
    outcome = Outcome(script, writer.records, doubts.blocks)

    is_read = asyncio.Event()

    async def wait_for_head() -> None:
        if tail.covered >= script.history - 1:
            is_read.set()
        await asyncio.sleep(1.0)

    async def grow() -> None:
        if script.is_measured:
            await is_read.wait()
        outcome.history_calls = sum(node.calls for node in nodes.values())
        await world.grow()

    growing = asyncio.create_task(grow())
    following = asyncio.create_task(follower.follow(wait_for_head))
    try:
        await asyncio.wait([growing, following], return_when=asyncio.FIRST_COMPLETED)
        began_s = asyncio.get_running_loop().time()
        while not following.done() and not outcome.is_settled and outcome.took_s < PATIENCE_S:
            await asyncio.sleep(1.0)
            outcome.is_settled = is_settled(script, writer.records)
            outcome.took_s = asyncio.get_running_loop().time() - began_s
        if following.done():
            outcome.failure = following.exception()
    finally:
        for task in (growing, following):
            task.cancel()
        await asyncio.wait([growing, following])
    outcome.mended = doubts.mended_blocks
    outcome.calls = sum(node.calls for node in nodes.values())
    return outcome


@contextmanager
def _silent() -> Iterator[None]:
    # Thousands of runs say thousands of lines; what they say is heard by HeardDoubts.
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def is_settled(script: Script, records: Sequence[ChainRecord]) -> bool:
    """Whether the topic holds the undisturbed chain up to its head, with every log, and says what is final."""
    mark = next((record for record in reversed(records) if isinstance(record, Watermark)), None)
    last = script.blocks - 1
    if mark is None or (mark.head, mark.final) != (last, last - script.finality) or records[-1] is not mark:
        return False
    return not differing(script.chain, records)


def differing(main: Sequence[ChainBlock], records: Sequence[ChainRecord]) -> set[int]:
    """The numbers of the blocks of which the topic does not hold just the logs that the undisturbed chain has."""
    blocks = surviving_blocks(records)
    return {block.number for block in main[1:] if _logs_of(block) != _written(blocks.get(block.number))}


def _logs_of(block: ChainBlock) -> list[tuple[str, str, str]]:
    return [(block.hash, one["transactionHash"], one["logIndex"]) for one in block.logs]


def _written(block: Block | None) -> list[tuple[str, str, str]]:
    return [] if block is None else [(block.hash, one.tx, hex(one.log_index)) for one in block.logs]


def rows_of(records: Sequence[ChainRecord]) -> dict[str, object]:
    """Every account's state, folded from records."""
    engine = Engine({NAME: engine_deployment(SymmioDeployment(DIAMOND, frozenset()))})
    for offset, record in enumerate(records):
        engine.raw(NAME, record, offset)
    assert not engine.refused
    rows: dict[str, object] = {}
    for key, value in engine.tables.items(ACCOUNTS):
        account = decode_account(value)
        assert account.suspect is None
        rows[key.decode()] = account.state
    return rows


@lru_cache(maxsize=_CHAINS)
def undisturbed_rows(chain: tuple[ChainBlock, ...]) -> dict[str, object]:
    """Every account's state after the undisturbed chain."""
    records: list[ChainRecord] = []
    for block in chain:
        logs = tuple(found.log for found in read_logs(list(block.logs)).logs)
        records.append(Block(block.number, block.hash, block.parent, block.time_s, logs))
        records.append(Watermark(block.number, block.time_s, block.number - FINALITY))
    return rows_of(records)
