"""The simulator and every process of a deployment, as an operator runs them, each to be stopped and woken by its id."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from streams.kafka.topics import create_topics, registry
from streams.settings.flash.flash_settings import ORACLE_SOURCE
from tests.support.broker import new_broker, settings_of_a_test
from tests.support.pipeline import free_port
from tidemark.plan import DEMO, FLASH, with_demo

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

    from streams.settings import Settings
    from tests.support.secured_broker import SecuredBroker

ROOT = Path(__file__).parents[2]


class Stack:
    """Processes by name: ``broker``, ``worker``, ``chain``, ``prices``, ``api``; with users also ``history``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pids: dict[str, int] = {}
        self._paused: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.api.port}"

    def pause(self, name: str) -> None:
        """Let a process sleep: SIGSTOP."""
        os.kill(self.pids[name], signal.SIGSTOP)
        self._paused.add(name)

    def wake(self, name: str) -> None:
        """Let it go on: SIGCONT."""
        os.kill(self.pids[name], signal.SIGCONT)
        self._paused.discard(name)

    def wake_all(self) -> None:
        """Let whatever sleeps go on, so that it can be ended."""
        for name in [*self._paused]:
            self.wake(name)


# As which user each process connects to a broker that lets in only users.
_USERS = {
    "worker": "worker", "chain": "ingest-symmio", "prices": "ingest-prices", "api": "api", "history": "history"
}  # fmt: skip


@asynccontextmanager
async def stack(directory: Path, secured: SecuredBroker | None = None, **api: object) -> AsyncIterator[Stack]:
    """Everything, started; ``api`` are settings of the api, ``secured`` a broker that runs already."""
    broker = new_broker(directory) if secured is None else secured.broker
    async with AsyncExitStack() as ending:
        ending.callback(broker.kill)
        bootstrap = await asyncio.to_thread(broker.start)
        simulator = await _started(
            ending, directory, "demo", "-m", "tidemark.demo", "--data-dir", str(directory / "demo")
        )
        assert simulator.stdout is not None
        # Tests ask more often than people do.
        limits = {"requests_per_s": 100_000, "requests_burst": 100_000}
        ports = {"port": free_port(), "admin_port": free_port(), "limits": limits}
        plain = settings_of_a_test(bootstrap, directory, api={**ports, **api}, worker={"admin_port": free_port()})
        settings = _without_flash(with_demo(plain, (await simulator.stdout.readline()).decode()))
        if secured is not None:
            await secured.allow(settings)
        await create_topics(settings.bootstrap if secured is None else secured.by_password("tools"), registry(settings))
        made = Stack(settings)
        ending.callback(made.wake_all)
        pid = broker.pid
        assert pid is not None
        made.pids["broker"] = pid
        commands = {
            "worker": ("worker",),
            "chain": ("ingest", "chain", DEMO),
            "prices": ("ingest", "prices", DEMO),
            "api": ("api",),
            **({} if secured is None else {"history": ("history",)}),
        }
        for name, command in commands.items():
            own = settings
            if secured is not None:
                way = secured.by_password(_USERS[name])
                own = settings.model_copy(update={"kafka": way.servers, "kafka_client": way.client})
            process = await _started(ending, directory, name, "-m", "tidemark.cli", *command, settings=own)
            made.pids[name] = process.pid
        yield made


def _without_flash(settings: Settings) -> Settings:
    """Leave out what needs two more ingests: tests/integration/test_flash_ingest.py has them."""
    deployments = {name: one for name, one in settings.deployments.items() if name != FLASH}
    sources = {name: one for name, one in settings.sources.items() if name != ORACLE_SOURCE}
    return settings.model_copy(update={"deployments": deployments, "sources": sources})


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that give a process these settings."""
    own = settings.model_copy(update={"ingest": settings.ingest.model_copy(update={"admin_port": 0})})
    return {
        f"TIDEMARK_{key.upper()}": json.dumps(value, default=_plain) if isinstance(value, dict) else str(value)
        for key, value in own.model_dump(exclude_none=True).items()
    }


async def _started(
    ending: AsyncExitStack, directory: Path, name: str, *arguments: str, settings: Settings | None = None
) -> Process:
    environment = {key: text for key, text in os.environ.items() if not key.startswith("TIDEMARK_")}
    if settings is not None:
        environment |= environment_of(settings)
    with (directory / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    ending.push_async_callback(_ended, process)
    return process


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def _plain(value: object) -> str:
    """What JSON has no type for. Dumped by pydantic, a secret would be stars."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
