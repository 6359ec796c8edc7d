"""An ingest of the chain and a worker, which make the tables that the executor reads: processes that can be killed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from models.engine.tables import ACCOUNTS
from models.ids import mark_key
from models.instruments import FundingTermsFact, encode_fact
from models.money import format_e18
from models.prices import MarkTick
from models.symmio.account import decode_account
from streams.kafka.feed import Feed
from streams.kafka.topics import INSTRUMENT_FACTS, topic_name
from streams.process.clock import SystemClock
from streams.settings import FundingSettings, symmio_deployments
from tests.evm.funder import environment_of
from tests.evm.market import MARKS_E18, NAME, SYMBOLS, VENUE_RATES_E18
from tests.support.eventually import eventually
from tests.support.forked_programs import Program, start
from tests.support.pipeline import WorkerProcess, producer, write_ticks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.settings import Settings
    from tests.evm.market import Scene
    from tests.support.forked_programs import ForkedProcess

_INGEST = Program("tidemark.cli", ["tidemark.cli", "tidemark.commands.ingest", "streams.ingest.symmio.recording"])
# Anvil says that what is 64 blocks old is final.
_UNTIL_FINAL = 70


class Pipeline:
    """Ingest and worker, and the table of accounts as a reader of its changelog has it.

    Args:
        one: The scene.
        feed: Reads the changelog of the accounts.
        joined: The block at which the ingest joins.
    """

    def __init__(self, one: Scene, feed: Feed, joined: int) -> None:
        self._feed = feed
        self._joined = joined
        self._worker_settings = _of_deployment(one.settings, rpc=())
        self._ingest_settings = _of_deployment(one.settings, rpc=(one.chain.url,))
        self._log = one.settings.data_dir / "ingest.log"
        self.worker: WorkerProcess | None = None
        self._ingest: ForkedProcess | None = None

    @property
    def prices(self) -> dict[int, int]:
        """The opened price of every quote."""
        found: dict[int, int] = {}
        for row in self._feed.rows.values():
            account = decode_account(row)
            assert account.suspect is None
            found |= {quote_id: quote.opened_price for quote_id, quote in account.state.quotes.items()}
        return found

    def start_worker(self) -> None:
        """Start the worker, if it is down."""
        if self.worker is None:
            self.worker = WorkerProcess(self._worker_settings, fault="none")

    def kill_worker(self) -> None:
        """Kill the worker, if it is up."""
        if self.worker is not None:
            self.worker.kill()
            self.worker = None

    def start_ingest(self) -> None:
        """Start the ingest, if it is down."""
        if self._ingest is None:
            with self._log.open("ab") as log:
                arguments = ["ingest", "chain", NAME, "--from-state", str(self._joined)]
                environment = environment_of(self._ingest_settings)
                self._ingest = start(_INGEST, arguments, environment, log.fileno(), log.fileno())

    def kill_ingest(self) -> None:
        """Kill the ingest, if it is up."""
        if self._ingest is not None:
            self._ingest.kill()
            self._ingest.wait(60)
            self._ingest = None


@asynccontextmanager
async def pipeline(one: Scene) -> AsyncIterator[Pipeline]:
    """Join the chain at its newest block, and follow it; the tables have every quote when this begins."""
    joined = int(await one.chain.ask("eth_blockNumber"), 16)
    await one.chain.ask("anvil_mine", hex(_UNTIL_FINAL))
    await _say_prices(one)
    feed = Feed.of(one.settings, ACCOUNTS, SystemClock())
    found = Pipeline(one, feed, joined)
    try:
        found.start_worker()
        found.start_ingest()
        assert found.worker is not None
        await found.worker.ready(60)
        await feed.start()
        await eventually(lambda: len(found.prices) == len(one.quotes), timeout_s=60)
        yield found
    finally:
        found.kill_ingest()
        await feed.stop()
        found.kill_worker()


def _of_deployment(settings: Settings, *, rpc: tuple[str, ...]) -> Settings:
    """The settings without the executor's secrets; nobody else is to need them."""
    own = settings.deployments[NAME].model_dump() | {"rpc": rpc, "funding": FundingSettings()}
    deployment = type(settings.deployments[NAME]).model_validate(own)
    return settings.model_copy(
        update={
            "deployments": {NAME: deployment},
            "ingest": settings.ingest.model_copy(update={"admin_port": 0}),
        }
    )


async def _say_prices(one: Scene) -> None:
    at_ms = SystemClock().now_ms()
    sources = symmio_deployments(one.settings)[NAME].default_sources
    await write_ticks(
        one.settings,
        [
            MarkTick(
                source,
                symbol,
                at_ms,
                at_ms,
                format_e18(MARKS_E18[symbol_id]),
                None,
                format_e18(VENUE_RATES_E18[symbol_id]),
                None,
            )
            for source in sources
            for symbol_id, symbol in SYMBOLS.items()
        ],
    )
    async with producer(one.settings) as sender:
        for key in (mark_key(source, symbol) for source in sources for symbol in SYMBOLS.values()):
            source, _, symbol = key.decode().partition(":")
            fact = FundingTermsFact(source, symbol, at_ms, None, None, None)
            await sender.send(topic_name(one.settings, INSTRUMENT_FACTS), encode_fact(fact), key=key)
