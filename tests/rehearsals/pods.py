"""A pod as a process of this machine: started, probed, restarted and ended as a kubelet does it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp

from streams.process.http_bodies import WITHOUT_END
from tests.rehearsals.rendered import ROOT, Mounts, entrypoint, image_environment, variables
from tidemark.child_processes import tied_to_us

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.rehearsals.rendered import Namespace, Workload

# A kubelet starts what ended at once for the first time, then after ten seconds, twenty, and so on.
_BACK_OFF_S = (0, 10, 20, 40, 80, 160)
_KIND_OF_PROBE = ("startupProbe", "livenessProbe", "readinessProbe")


class Pod:
    """One pod of a workload, with an address of its own on loopback.

    Args:
        name: Its name, which a StatefulSet's pod keeps.
        workload: What it is made of.
        host: Its address.
        directory: Where its volumes and its log are.
        namespace: What ConfigMaps and secrets hold.
        settings: Variables beside those of the manifest.
        code: The checkout that its image is made of.
    """

    def __init__(
        self,
        name: str,
        workload: Workload,
        host: str,
        directory: Path,
        *,
        namespace: Namespace,
        settings: Mapping[str, str],
        code: Path = ROOT,
    ) -> None:
        self.name = name
        self.workload = workload
        self.host = host
        self.mounts = Mounts(directory, workload)
        self.log = directory / "log"
        self.is_ready = False
        self._sleeps = False
        self.restarts = 0
        self._quick_ends = 0
        self.exit_codes: list[int] = []
        self._ports = {one["name"]: int(one["containerPort"]) for one in workload.container["ports"]}
        self._namespace = namespace
        self._settings = settings
        self._code = code
        self._process: subprocess.Popen[bytes] | None = None
        self._kubelet: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text() if self.log.exists() else ""

    def url(self, port: str) -> str:
        """Where it serves a port of the manifest, by the port's name."""
        return f"http://{self.host}:{self._ports[port]}"

    def start(self) -> None:
        """Run it until it is told to end."""
        self._kubelet = asyncio.create_task(self._run())

    async def end(self) -> float:
        """End it as a kubelet does: preStop, SIGTERM, and SIGKILL after its grace period, which begins with preStop.

        Returns:
            How long that took, in s.
        """
        began_s = time.monotonic()
        self.is_ready = False
        await self._leave()
        process = self._process
        if process is not None and process.poll() is None:
            hook = self.workload.container.get("lifecycle", {}).get("preStop", {})
            await asyncio.sleep(hook.get("sleep", {}).get("seconds", 0))
            process.send_signal(signal.SIGTERM)
            left_s = self.workload.pod["terminationGracePeriodSeconds"] - (time.monotonic() - began_s)
            try:
                await asyncio.to_thread(process.wait, max(left_s, 0))
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
            self.exit_codes.append(process.returncode)
        return time.monotonic() - began_s

    async def destroy(self) -> None:
        """End it at once, and leave nothing of it running."""
        await self._leave()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal, such as SIGKILL as a crash."""
        os.kill(self.pid, number)

    def sleep(self) -> None:
        """Pause it with its node, as a virtual machine is paused that moves: the kubelet sleeps, too."""
        self._sleeps, self.is_ready = True, False
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it and its kubelet go on."""
        self.signal(signal.SIGCONT)
        self._sleeps = False

    def forgive(self) -> None:
        """Restart it at once when it ends next: a kubelet forgets ends after ten minutes, and each day begins so."""
        self._quick_ends = 0

    def lose_volume(self, name: str) -> None:
        """Lose what a volume holds."""
        shutil.rmtree(self.mounts.place(name))

    async def _leave(self) -> None:
        if self._kubelet is not None:
            self._kubelet.cancel()
            with suppress(asyncio.CancelledError):
                await self._kubelet

    async def _run(self) -> None:
        while True:
            self._process = self._spawned()
            probes = asyncio.create_task(self._probe())
            try:
                # A thread would wait for it too; a look costs less, and tells the same.
                while self._process.poll() is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            finally:
                probes.cancel()
                self.is_ready = False
            self.exit_codes.append(self._process.returncode)
            await asyncio.sleep(_BACK_OFF_S[min(self._quick_ends, len(_BACK_OFF_S) - 1)])
            self._quick_ends += 1
            self.restarts += 1

    def _spawned(self) -> subprocess.Popen[bytes]:
        self.mounts.fill(self._namespace.config, self._namespace.secrets)
        container = self.workload.container
        named = image_environment() | variables(container, self.name, self._namespace.secrets)
        environment = {name: self.mounts.here(value) for name, value in named.items()}
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
        program = [sys.executable, "-m", "tidemark.cli", *entrypoint(self.workload.target)[1:]]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                tied_to_us([*program, *container.get("args", [])]),
                # Python looks for modules there first.
                cwd=self._code,
                env={**kept, **environment, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # As in a container: the scheduler gives each pod its share, and what is typed here ends none.
                start_new_session=True,
            )

    async def _probe(self) -> None:
        """Ask as the manifest says: until it has started, then whether it lives and whether it is ready."""
        startup, liveness, readiness = (self.workload.container.get(kind) for kind in _KIND_OF_PROBE)
        async with aiohttp.ClientSession() as session:
            if startup is not None and not await self._succeeds(session, startup):
                self._kill_unhealthy()
                return
            if readiness is None:
                self.is_ready = True
            await asyncio.gather(self._stay_alive(session, liveness), self._stay_ready(session, readiness))

    async def _succeeds(self, session: aiohttp.ClientSession, probe: dict[str, Any]) -> bool:
        for _ in range(probe["failureThreshold"]):
            if await self._asked(session, probe):
                return True
            await asyncio.sleep(probe["periodSeconds"])
        return False

    async def _stay_alive(self, session: aiohttp.ClientSession, probe: dict[str, Any] | None) -> None:
        failed = 0
        while probe is not None:
            failed = 0 if await self._asked(session, probe) or self._sleeps else failed + 1
            if failed >= probe["failureThreshold"]:
                self._kill_unhealthy()
                return
            await asyncio.sleep(probe["periodSeconds"])

    async def _stay_ready(self, session: aiohttp.ClientSession, probe: dict[str, Any] | None) -> None:
        failed = 0
        while probe is not None:
            if await self._asked(session, probe) and not self._sleeps:
                failed, self.is_ready = 0, True
            else:
                failed += 1
                self.is_ready = self.is_ready and failed < probe["failureThreshold"]
            await asyncio.sleep(probe["periodSeconds"])

    async def _asked(self, session: aiohttp.ClientSession, probe: dict[str, Any]) -> bool:
        asked = probe["httpGet"]
        url = self.url(asked["port"]) + asked["path"]
        try:
            async with (
                asyncio.timeout(probe.get("timeoutSeconds", 1)),
                session.get(url, timeout=WITHOUT_END) as answer,
            ):
                return answer.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _kill_unhealthy(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
