"""The whole stack on one machine: a broker, topics, and a child process for each part, until it is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

import aiohttp
from aiokafka.errors import KafkaError
from rich.console import Console

from models.errors import TidemarkError
from streams.kafka.topics import create_topics, registry
from streams.process.faults import cause_of
from streams.settings import BadSettings, Bootstrap
from streams.settings.ledger.ledger_deployment import ledger_deployments
from tidemark.broker import Broker, DiskFull
from tidemark.broker.jars import has_jars
from tidemark.broker_keeper import BrokerKeeper
from tidemark.child import Child
from tidemark.config_text import effective_toml
from tidemark.demo.demo_keys import invitation, producer_invitation
from tidemark.display import Display, LiveDisplay, PlainDisplay, live_if_terminal, urls_of
from tidemark.full_disk import is_full
from tidemark.kafka import naming_the_broker, require_broker
from tidemark.local_stack import alone_in, config_of
from tidemark.plan import (
    DESK,
    RECORDED,
    child_environment,
    commands,
    demo_command,
    desk_command,
    flash_invitation,
    with_demo,
    with_demo_clients,
    with_local_defaults,
    with_local_ports,
    with_recording,
)
from tidemark.ports import url_host
from tidemark.presence import Presence
from tidemark.status import StatusReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from streams.settings import Settings

T = TypeVar("T")

# Together with the time that the broker needs, this stays below the 5 s in which everything must have ended.
_CHILD_STOP_S = 3.2
_BROKER_STOP_S = 1.5
_DEMO_START_S = 30.0
_LOOK_EVERY_S = 1.0
_ROOM_AGAIN_S = 3.0
_TOPICS_AGAIN_S = 1.0


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
    with alone_in(data_dir), _ended_by_signals():
        settings = with_local_ports(settings)
        broker = None
        if settings.kafka is None:
            if settings.kafka_client.protocol != "PLAINTEXT":
                msg = (
                    "kafka: expected bootstrap servers, since kafka_client has TLS or SASL, found nothing; set "
                    "TIDEMARK_KAFKA, or leave these out for the broker that is started here"
                )
                raise BadSettings(msg)
            fetches = "" if has_jars(settings.broker.jars) else ", after fetching 44 MB of jars with Maven"
            console.print(f"starting the broker{fetches} …", highlight=False)
            broker = Broker(
                data_dir / "broker",
                settings.broker.jars,
                settings.broker.port,
                is_port_required="port" in settings.broker.model_fields_set,
                say=partial(_say, console, "broker: "),
            )
        try:
            # It is started here and not in the loop, since the kernel ends it together with the thread that started it.
            bootstrap = require_broker(settings.bootstrap) if broker is None else _started(broker, console)
            stack = _Stack(settings, bootstrap, broker, console)
            if recording is not None and deployment is not None:
                stack.play(recording, deployment)
            with naming_the_broker(bootstrap):
                asyncio.run(stack.run())
        finally:
            if broker is not None:
                broker.stop(_BROKER_STOP_S)


def _started(broker: Broker, console: Console) -> Bootstrap:
    """Start the broker when there is room for it, and return where it is."""
    said = ""
    while True:
        try:
            return Bootstrap(broker.start())
        except DiskFull as error:
            headline = str(error).partition("\n")[0]
            if headline != said:
                said = headline
                _say(console, "broker: ", f"{error}\nThe broker is started when there is room.")
            time.sleep(_ROOM_AGAIN_S)


def _say(console: Console, prefix: str, text: str) -> None:
    """Print a line of our own."""
    with _dropped_where_full():
        console.print(f"{prefix}{text}", soft_wrap=True, markup=False, highlight=False)


class _Stack:
    def __init__(self, settings: Settings, bootstrap: Bootstrap, broker: Broker | None, console: Console) -> None:
        self._settings = with_local_defaults(settings, bootstrap.servers)
        self._presence = Presence(is_here=True)
        self._is_local = broker is not None
        self._keeper = BrokerKeeper(broker, bootstrap, self._presence, partial(_say, console, ""))
        self._recording: Path | None = None
        self._recorded_deployment: str | None = None
        self._console = console
        self._children: list[Child] = []
        self._config = config_of(self._settings.data_dir)
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
            try:
                await asyncio.wait((work,))
            finally:
                await asyncio.gather(*(child.stop(_CHILD_STOP_S) for child in self._children))

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.keep())
            is_demo = not self._settings.deployments
            if is_demo:
                await self._follow_demo(await self._start_demo(tasks))
            await self._write_config()
            await self._create_topics()
            for name, command in commands(self._settings, self._recording, self._recorded_deployment).items():
                self._start(tasks, name, command, self._presence)
            if is_demo:
                self._start(tasks, DESK, desk_command(), self._presence)
            tasks.create_task(self._watch())

    def _start(self, tasks: asyncio.TaskGroup, name: str, command: list[str], broker: Presence | None) -> None:
        environment = child_environment(os.environ, self._config)
        log = self._logs / f"{name}.log"
        child = Child(name, command, log, environment, finishes=name == RECORDED, broker=broker)
        self._children.append(child)
        tasks.create_task(child.keep_running())

    async def _start_demo(self, tasks: asyncio.TaskGroup) -> str:
        """Start the simulator and return the line of JSON in which it says its addresses."""
        log = self._logs / "demo.log"
        # Only what this start printed is read, not what an earlier one did.
        log.unlink(missing_ok=True)
        self._start(tasks, "demo", demo_command(self._settings.data_dir), None)
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

    async def _follow_demo(self, said: str) -> None:
        """Follow the simulator that said this, and tell how clients watch its accounts."""
        following = with_demo(self._settings, said)
        self._settings, keys = await _with_room(self._console, "API keys", lambda: with_demo_clients(following, said))
        at = f"{url_host(self._settings.api.host)}:{self._settings.api.port}"
        _say(self._console, "", invitation(keys, f"ws://{at}/ws/2"))
        ingest_key = ledger_deployments(self._settings)[DESK].ingest_key
        if ingest_key is not None:
            _say(self._console, "", producer_invitation(ingest_key.get_secret_value(), f"http://{at}", self._config))
        _say(self._console, "", flash_invitation(said, f"http://{at}"))

    async def _write_config(self) -> None:
        text = effective_toml(self._settings, reveal_secrets=True)
        new = self._config.with_suffix(".new")

        def write() -> None:
            # The file holds endpoints with their keys, so only this user may read it. Readers see it whole.
            new.touch(mode=0o600)
            new.write_text(text)
            new.replace(self._config)

        await _with_room(self._console, str(self._config), write)

    async def _create_topics(self) -> None:
        while True:
            await self._presence.wait()
            try:
                await create_topics(self._settings.bootstrap, registry(self._settings))
            except KafkaError as error:
                # A local broker that went away is started again; a cluster that refuses does so again.
                if not self._is_local:
                    raise
                _say(self._console, "", f"topics are not created yet: {cause_of(error)}")
                await asyncio.sleep(_TOPICS_AGAIN_S)
            else:
                return

    async def _watch(self) -> None:
        reader = StatusReader(self._settings)
        urls = urls_of(self._settings)
        with live_if_terminal(self._console) as live:
            display: Display = LiveDisplay(live, urls) if live is not None else PlainDisplay(self._console, urls)
            async with aiohttp.ClientSession() as session:
                while True:
                    status = await reader.read(session)
                    with _dropped_where_full():
                        display.show(status, self._children, self._keeper.state)
                    await asyncio.sleep(_LOOK_EVERY_S)


async def _with_room(console: Console, what: str, write: Callable[[], T]) -> T:
    """Write something, as soon as there is room for it.

    Args:
        console: Is told of the wait, once.
        what: What is written, for people.
        write: Writes it; called again and again while the disk is full.

    Returns:
        What ``write`` returns.
    """
    is_told = False
    while True:
        try:
            return write()
        except (OSError, TidemarkError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError) or not is_full(cause):
                raise
            if not is_told:
                _say(console, "", f"waiting for room to write {what}: {cause.strerror}")
                is_told = True
        await asyncio.sleep(_ROOM_AGAIN_S)


@contextmanager
def _dropped_where_full() -> Iterator[None]:
    """Drop what is written to an output that is on a full disk: that must not end what is running."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGINT end what is done before the loop runs, such as a broker's long start."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
