"""The whole stack on one machine: a broker, topics, and a child process for each part, until it is stopped."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from rich.console import Console

from models.errors import TidemarkError
from streams.kafka.topics import create_topics, registry
from tidemark.broker import Broker, BrokerFailed
from tidemark.broker.jars import has_jars
from tidemark.child import Child, started_again
from tidemark.config_text import effective_toml
from tidemark.display import Display, LiveDisplay, PlainDisplay, live_if_terminal, urls_of
from tidemark.kafka import naming_the_broker, require_broker
from tidemark.plan import (
    RECORDED,
    child_environment,
    commands,
    demo_command,
    with_demo,
    with_local_defaults,
    with_local_ports,
    with_recording,
)
from tidemark.status import StatusReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.settings import Settings

# Together with the time that the broker needs, this stays below the 5 s in which everything must have ended.
_CHILD_STOP_S = 3.2
_BROKER_STOP_S = 1.5
_DEMO_START_S = 30.0
_LOOK_EVERY_S = 1.0
_BROKER_AGAIN_S = 1.0


class AlreadyUp(TidemarkError):
    """Another ``tidemark up`` runs in this data directory. Stop that one, or set another ``data_dir``."""


class DemoFailed(TidemarkError):
    """The simulator did not start; its log says why."""


def run(settings: Settings, recording: Path | None) -> None:
    """Run the local stack until SIGINT or SIGTERM.

    Args:
        settings: The settings.
        recording: The directory of recordings to play; None where chains and venues are followed.

    Raises:
        TidemarkError: It cannot be started; the message says what is missing and what to do.
    """
    deployment = None
    if recording is not None:
        settings, deployment = with_recording(settings, recording)
    data_dir = settings.data_dir.resolve()
    logs = data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    console = Console()
    with _alone_in(data_dir):
        settings = with_local_ports(settings)
        broker = None
        if settings.kafka is None:
            fetches = "" if has_jars(settings.broker.jars) else ", after fetching 44 MB of jars with Maven"
            console.print(f"starting the broker{fetches} …", highlight=False)
            broker = Broker(
                data_dir / "broker",
                settings.broker.jars,
                settings.broker.port,
                is_port_required="port" in settings.broker.model_fields_set,
            )
        try:
            # It is started here and not in the loop, since the kernel ends it together with the thread that started it.
            bootstrap = broker.start() if broker is not None else require_broker(settings.bootstrap)
            stack = _Stack(settings, bootstrap, broker, console)
            if recording is not None and deployment is not None:
                stack.play(recording, deployment)
            with naming_the_broker(bootstrap):
                asyncio.run(stack.run())
        finally:
            if broker is not None:
                broker.stop(_BROKER_STOP_S)


class _Stack:
    def __init__(self, settings: Settings, bootstrap: str, broker: Broker | None, console: Console) -> None:
        self._settings = with_local_defaults(settings, bootstrap)
        self._broker = broker
        self._broker_restarts = 0
        self._recording: Path | None = None
        self._recorded_deployment: str | None = None
        self._console = console
        self._children: list[Child] = []
        self._config = self._settings.data_dir / "effective.toml"
        self._logs = self._settings.data_dir / "logs"

    def play(self, recording: Path, deployment: str) -> None:
        """Play ``recording`` as ``deployment`` instead of following chains and venues."""
        self._recording, self._recorded_deployment = recording, deployment

    async def run(self) -> None:
        """Run until a signal."""
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, stopped.set)
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            stop.cancel()
            work.cancel()
            await asyncio.wait((work,))
            await asyncio.gather(*(child.stop(_CHILD_STOP_S) for child in self._children))

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            if not self._settings.deployments:
                self._settings = with_demo(self._settings, await self._start_demo(tasks))
            self._write_config()
            await create_topics(self._settings.bootstrap, registry(self._settings))
            for name, command in commands(self._settings, self._recording, self._recorded_deployment).items():
                self._start(tasks, name, command)
            if self._broker is not None:
                tasks.create_task(self._keep_broker(self._broker))
            tasks.create_task(self._watch())

    def _start(self, tasks: asyncio.TaskGroup, name: str, command: list[str]) -> Child:
        environment = child_environment(os.environ, self._config)
        log = self._logs / f"{name}.log"
        child = Child(name, command, log, environment, finishes=name == RECORDED)
        self._children.append(child)
        tasks.create_task(child.keep_running())
        return child

    async def _start_demo(self, tasks: asyncio.TaskGroup) -> str:
        """Start the simulator and return the line of JSON in which it says its addresses."""
        log = self._logs / "demo.log"
        # Only what this start printed is read, not what an earlier one did.
        log.unlink(missing_ok=True)
        self._start(tasks, "demo", demo_command(self._settings.data_dir))
        try:
            async with asyncio.timeout(_DEMO_START_S):
                while True:
                    said = log.read_text().split("\n") if log.exists() else []
                    # The last piece may be the beginning of a line.
                    if line := next((line for line in said[:-1] if line.startswith("{")), None):
                        return line
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            msg = f"expected the simulator to say its addresses within {_DEMO_START_S:.0f} s, found nothing: see {log}"
            raise DemoFailed(msg) from error

    def _write_config(self) -> None:
        # The file holds endpoints with their keys, so only this user may read it.
        self._config.touch(mode=0o600)
        self._config.write_text(effective_toml(self._settings, reveal_secrets=True))

    async def _keep_broker(self, broker: Broker) -> None:
        """Start the broker again, on the same port and data, when it is gone."""
        while True:
            await asyncio.sleep(_BROKER_AGAIN_S)
            if broker.pid is None:
                broker.spawn()
                self._broker_restarts += 1
                try:
                    await asyncio.to_thread(broker.wait_ready)
                except BrokerFailed as error:
                    self._console.print(str(error), markup=False)

    async def _watch(self) -> None:
        reader = StatusReader(self._settings)
        urls = urls_of(self._settings)
        with live_if_terminal(self._console) as live:
            display: Display = LiveDisplay(live, urls) if live is not None else PlainDisplay(self._console, urls)
            async with aiohttp.ClientSession() as session:
                while True:
                    display.show(await reader.read(session), self._children, self._broker_state())
                    await asyncio.sleep(_LOOK_EVERY_S)

    def _broker_state(self) -> str:
        if self._broker is None:
            return f"{self._settings.bootstrap} (given)"
        if self._broker.pid is None:
            return "ended, starting again"
        bootstrap = self._broker.bootstrap
        return f"{bootstrap}, {started_again(self._broker_restarts)}" if self._broker_restarts else bootstrap


@contextmanager
def _alone_in(data_dir: Path) -> Iterator[None]:
    with (data_dir / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"another `tidemark up` works in {data_dir}: stop it, or give this one a TIDEMARK_DATA_DIR of its own"
            raise AlreadyUp(msg) from error
        yield
