"""One Apache Kafka node in KRaft mode as a child process, its data kept from run to run."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tidemark.broker.errors import BrokerFailed, PortTaken
from tidemark.broker.jars import ensure_jars
from tidemark.broker.java import find_java
from tidemark.broker.probe import cluster_id_at
from tidemark.broker.properties import HOST, server_properties
from tidemark.child_processes import command_line, stop_process, tied_to_us, wait_gone
from tidemark.ports import any_free_port, free_port, required_port

if TYPE_CHECKING:
    from pathlib import Path

_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)
_READY_TIMEOUT_S = 60.0
_POLL_S = 0.05
_LAST_LINES = 2_000
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
    """

    def __init__(
        self, directory: Path, jars: Path, port: int | None = 9_092, *, is_port_required: bool = False
    ) -> None:
        self._directory = directory.resolve()
        self._jars = jars.resolve()
        self._wanted_port = port
        self._is_port_required = is_port_required and bool(port)
        self._port: int | None = None
        self._controller_port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._adopted_pid: int | None = None
        self._log_start = 0

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

    def start(self) -> str:
        """Start the broker, or take over the one left behind, and wait until it serves; return ``bootstrap``.

        Raises:
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
            BrokerFailed: Java or the jars are missing, or the storage cannot be formatted.
            PortInUse: The required port is taken.
        """
        if self.pid is not None or self._take_over():
            return
        self._adopted_pid = None
        java = find_java()
        ensure_jars(self._jars)
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._port is None or self._controller_port is None:
            self._port = self._chosen_port()
            self._controller_port = any_free_port(HOST)
        properties = self._directory / "server.properties"
        properties.write_text(server_properties(self._directory / "log", self._port, self._controller_port))
        classpath = ["-cp", f"{self._jars}/*"]
        self._format([java, *_JVM, *_LOGGING, *classpath], properties)
        command = [java, *_JVM, *_LOGGING, *classpath, "kafka.Kafka", str(properties)]
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                tied_to_us(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._remember({"pid": self._process.pid, "port": self._port, "controller_port": self._controller_port})

    def wait_ready(self) -> None:
        """Wait until the broker serves its cluster.

        Raises:
            BrokerFailed: It ended, or did not come up within a minute.
        """
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while cluster_id_at(HOST, self._port or 0) != self._cluster_id():
            if self.pid is None:
                msg = f"the broker ended before it was ready; {self._last_words()}"
                raise PortTaken(msg) if _TAKEN in self._said() else BrokerFailed(msg)
            if time.monotonic() > deadline:
                msg = f"the broker is not ready after {_READY_TIMEOUT_S} s; {self._last_words()}"
                raise BrokerFailed(msg)
            time.sleep(_POLL_S)

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the broker by SIGTERM, and by SIGKILL if it is still there after ``timeout_s``."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """End the broker by SIGKILL, as a crash would; ``start`` then serves the same data on the same port."""
        self._end(signal.SIGKILL, 0.0)

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
            wait_gone(pid, _READY_TIMEOUT_S)
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
        if wanted not in (None, port) or cluster_id_at(HOST, port) != self._cluster_id():
            stop_process(pid, timeout_s=3.0)
            return False
        self._adopted_pid, self._port, self._controller_port = pid, port, controller_port
        return True

    def _format(self, java: list[str], properties: Path) -> None:
        if (self._directory / "log" / "meta.properties").is_file():
            return
        shutil.rmtree(self._directory / "log", ignore_errors=True)
        # The tool takes a value that begins with a hyphen for an option. With six zero bits first, it begins with A.
        cluster_id = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        command = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode != 0:
            msg = f"Kafka could not format {self._directory / 'log'}:\n{(done.stdout + done.stderr)[-_LAST_LINES:]}"
            raise BrokerFailed(msg)

    def _cluster_id(self) -> str:
        meta = (self._directory / "log" / "meta.properties").read_text()
        return dict(line.split("=", 1) for line in meta.splitlines() if "=" in line)["cluster.id"]

    @property
    def _state_file(self) -> Path:
        return self._directory / "broker.json"

    def _remember(self, state: dict[str, int]) -> None:
        scratch = self._state_file.with_suffix(".new")
        scratch.write_text(json.dumps(state))
        scratch.replace(self._state_file)

    def _last_words(self) -> str:
        return f"the end of {self.log_file}:\n{self._said()[-_LAST_LINES:]}"

    def _said(self) -> str:
        return self.log_file.read_bytes()[self._log_start :].decode(errors="replace")
