"""One Apache Kafka node in KRaft mode as a child process, its data kept from run to run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tidemark.broker.errors import BrokerFailed, DiskFull, PortTaken
from tidemark.broker.jars import ensure_jars
from tidemark.broker.java import find_java
from tidemark.broker.probe import cluster_id_at
from tidemark.broker.progress import Progress
from tidemark.broker.properties import HOST, NO_DOORS, Doors, server_properties
from tidemark.broker.storage import cluster_id_in, format_storage
from tidemark.child_processes import command_line, stop_process, tied_to_us, wait_gone
from tidemark.full_disk import is_full, says_full
from tidemark.ports import any_free_port, free_port, required_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    # These two say how far a recovery of logs has come.
    "-Dorg.slf4j.simpleLogger.log.kafka.log.LogManager=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log.LogLoader=info",
)
# A broker that is not ready may recover its logs for hours. It is given up when it does nothing for this long.
_IDLE_TIMEOUT_S = 60.0
_GONE_TIMEOUT_S = 60.0
_SAY_EVERY_S = 3.0
_POLL_S = 0.05
_LAST_CHARACTERS = 2_000
_LINE_CHARACTERS = 160
_SAID_BYTES = 64 * 1024
_TAKEN = "Address already in use"


class Broker:
    """A broker that lives in a directory.

    Started from the main thread, the broker dies with this process. Where a killed run left one behind nevertheless,
    that one is taken over.

    Args:
        directory: Where its data and its log are; made where it is missing.
        jars: Where Kafka's jars are; the first start of all fetches them into it.
        port: Where clients are served; another free port where this one is in use, any free port where it is None.
        is_port_required: Whether a port that is in use is an error instead.
        say: Hears every few seconds what is done, while formatting or starting take long.
        doors: Listeners beside the one in clear.
    """

    def __init__(
        self,
        directory: Path,
        jars: Path,
        port: int | None = 9_092,
        *,
        is_port_required: bool = False,
        say: Callable[[str], None] | None = None,
        doors: Doors = NO_DOORS,
    ) -> None:
        self._doors = doors
        self._directory = directory.resolve()
        self._jars = jars.resolve()
        self._wanted_port = port
        self._is_port_required = is_port_required and bool(port)
        self._port: int | None = None
        self._controller_port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._adopted_pid: int | None = None
        self._progress: Progress | None = None
        self._java: str | None = None
        self._log_start = 0
        self._say = say
        self._said_s = 0.0

    @property
    def bootstrap(self) -> str:
        """Where clients connect, such as ``127.0.0.1:9092``. It is known from the first ``spawn`` on."""
        if self._port is None:
            msg = "expected a broker that was started, found one that was not"
            raise BrokerFailed(msg)
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The id of the broker's process, None while it does not run."""
        if self._adopted_pid is not None:
            return self._adopted_pid if command_line(self._adopted_pid) else None
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_file(self) -> Path:
        """The file to which the broker's output goes."""
        return self._directory / "broker.log"

    @property
    def doing(self) -> str:
        """The last line that the broker wrote since it was started, ``""`` where it wrote none."""
        lines = self._said().split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        # Before the hyphen are the time, the thread and the class.
        return last.rpartition(" - ")[2][:_LINE_CHARACTERS]

    def start(self) -> str:
        """Start the broker, or take over the one left behind, and wait until it serves; return ``bootstrap``.

        Raises:
            DiskFull: There is no room for its data.
            BrokerFailed: Java or the jars are missing, or the broker did not come up.
            PortInUse: The required port is taken.
        """
        while True:
            chooses_port = self._port is None and not self._is_port_required
            self.spawn()
            try:
                self.wait_ready()
            except PortTaken:
                self.kill()
                if not chooses_port:
                    raise
                self._port = self._controller_port = self._wanted_port = None
            except BrokerFailed:
                self.kill()
                raise
            else:
                return self.bootstrap

    def spawn(self) -> None:
        """Start the process without waiting for it to serve.

        Raises:
            DiskFull: There is no room for its data.
            BrokerFailed: Java or the jars are missing, or the storage cannot be formatted.
            PortInUse: The required port is taken.
        """
        try:
            self._spawn()
        except OSError as error:
            if not is_full(error):
                raise
            self.kill()
            msg = f"{self._no_room()}: {error}"
            raise DiskFull(msg) from error

    def wait_ready(self) -> None:
        """Wait until the broker serves its cluster, for as long as it makes progress.

        Raises:
            DiskFull: It ended, since there is no room.
            BrokerFailed: It ended, or did nothing for a minute.
        """
        while not self.is_ready():
            self._tell(f"starting: {self.doing}" if self.doing else "starting")
            time.sleep(_POLL_S)

    def is_ready(self) -> bool:
        """Whether the broker serves its cluster; False while it makes progress towards that.

        Raises:
            DiskFull: It ended, since there is no room.
            BrokerFailed: It ended, or did nothing for a minute.
        """
        if cluster_id_at(HOST, self._port or 0) == cluster_id_in(self._log_dir):
            return True
        if self.pid is None:
            said = self._said()
            if says_full(said):
                msg = f"{self._no_room()}: the broker ended; {self._last_words()}"
                raise DiskFull(msg)
            msg = f"the broker ended before it was ready; {self._last_words()}"
            raise PortTaken(msg) if _TAKEN in said else BrokerFailed(msg)
        if self._progress is not None and (idle_s := self._progress.idle_s()) > _IDLE_TIMEOUT_S:
            msg = f"the broker is not ready and has done nothing for {idle_s:.0f} s; {self._last_words()}"
            raise BrokerFailed(msg)
        return False

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the broker by SIGTERM, and by SIGKILL if it is still there after ``timeout_s``."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """End the broker by SIGKILL, as a crash would; ``start`` then serves the same data on the same port."""
        self._end(signal.SIGKILL, 0.0)

    def _spawn(self) -> None:
        if self.pid is not None or self._take_over():
            return
        self._adopted_pid = None
        self._java = self._java or find_java()
        ensure_jars(self._jars)
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._port is None or self._controller_port is None:
            self._port = self._chosen_port()
            self._controller_port = any_free_port(HOST)
        properties = self._directory / "server.properties"
        properties.write_text(server_properties(self._log_dir, self._port, self._controller_port, self._doors))
        java = [self._java, *_JVM, *_LOGGING, "-cp", f"{self._jars}/*"]
        format_storage(self._log_dir, java, properties, say=self._tell, given_up_after_s=_IDLE_TIMEOUT_S)
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                tied_to_us([*java, "kafka.Kafka", str(properties)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._progress = Progress(self._process.pid, self.log_file)
        self._said_s = time.monotonic()
        self._remember({"pid": self._process.pid, "port": self._port, "controller_port": self._controller_port})

    def _end(self, sign: signal.Signals, timeout_s: float) -> None:
        pid = self.pid
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, sign)
        if self._process is not None:
            try:
                self._process.wait(timeout_s or None)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        elif not wait_gone(pid, timeout_s):
            stop_process(pid, 0)
            wait_gone(pid, _GONE_TIMEOUT_S)
        self._process = self._adopted_pid = None
        self._state_file.unlink(missing_ok=True)

    def _chosen_port(self) -> int:
        if self._is_port_required and self._wanted_port is not None:
            return required_port(HOST, self._wanted_port, "broker.port")
        return free_port(HOST, self._wanted_port)

    def _take_over(self) -> bool:
        try:
            state: dict[str, Any] = json.loads(self._state_file.read_text())
            pid, port, controller_port = int(state["pid"]), int(state["port"]), int(state["controller_port"])
        except (OSError, ValueError, KeyError):
            return False
        # The kernel gives a process id to others in time: only a process whose arguments name our file is the broker.
        if str(self._directory / "server.properties") not in command_line(pid):
            return False
        wanted = self._wanted_port if self._is_port_required else self._port
        if wanted not in (None, port) or cluster_id_at(HOST, port) != cluster_id_in(self._log_dir):
            stop_process(pid, timeout_s=3.0)
            return False
        self._adopted_pid, self._port, self._controller_port = pid, port, controller_port
        return True

    @property
    def _log_dir(self) -> Path:
        return self._directory / "log"

    @property
    def _state_file(self) -> Path:
        return self._directory / "broker.json"

    def _remember(self, state: dict[str, int]) -> None:
        scratch = self._state_file.with_suffix(".new")
        scratch.write_text(json.dumps(state))
        scratch.replace(self._state_file)

    def _no_room(self) -> str:
        return f"expected room for the broker's data in {self._directory}, found a full disk"

    def _last_words(self) -> str:
        return f"the end of {self.log_file}:\n{self._said()[-_LAST_CHARACTERS:]}"

    def _said(self) -> str:
        try:
            with self.log_file.open("rb") as log:
                # A long recovery says more than anybody reads.
                log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - _SAID_BYTES))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _tell(self, doing: str) -> None:
        if self._say is not None and time.monotonic() - self._said_s >= _SAY_EVERY_S:
            self._said_s = time.monotonic()
            self._say(doing)
