"""The executor as a process of its own, so that it can be killed: ``Funder``.

As a program it is ``tidemark funder`` with an executor's place free again sooner after it was killed.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from typing import TYPE_CHECKING

from streams.funder.funder_process import run
from streams.process.clock import SystemClock
from streams.process.logs import log_to_stderr
from streams.settings import load_settings, symmio_deployments
from tests.evm.mutants import apply_named
from tests.support.forked_programs import Program, start_awaited
from tidemark.running import run_until_stopped

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings
    from tests.support.forked_programs import AwaitedProcess

_FUNDER = Program("tests.evm.funder", ["tests.evm.funder"])
# A machine that is busy with others holds a process up for a second: one that loses its place for that gets nowhere.
LEASE_TTL_MS = 4_000


class Funder:
    """The process, as its parent sees it."""

    def __init__(self, process: AwaitedProcess, log: Path) -> None:
        self._process = process
        self.log = log

    @property
    def is_ready(self) -> bool:
        """Whether it has become the one executor."""
        return "funder ready" in self.log.read_text()

    @property
    def code(self) -> int | None:
        return self._process.returncode

    def signal(self, sign: int) -> None:
        self._process.send_signal(sign)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of a process that has these settings, their secrets included."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TIDEMARK_")}
    plain = settings.model_dump(mode="json", exclude_none=True)
    for deployment, secrets in symmio_deployments(settings).items():
        cells = plain["deployments"][deployment]
        cells["rpc"] = [one.get_secret_value() for one in secrets.rpc]
        told = {hedger: cells["funding"]["hedgers"][hedger] for hedger in secrets.funding.hedgers}
        for section, plain_section in (
            (secrets.funding, cells["funding"]),
            *((secrets.funding.hedgers[hedger], own) for hedger, own in told.items()),
        ):
            for field in ("key", "muon", "remote_signer"):
                secret = getattr(section, field, None)
                if secret is not None:
                    plain_section[field] = secret.get_secret_value()
    environment |= {
        f"TIDEMARK_{field.upper()}": value if isinstance(value, str) else json.dumps(value)
        for field, value in plain.items()
    }
    return environment


def start_funder(settings: Settings, name: str, directory: Path) -> Funder:
    environment = environment_of(settings)
    log = directory / f"funder-{uuid.uuid4().hex[:8]}.log"
    with log.open("wb") as output:
        return Funder(start_awaited(_FUNDER, [name], environment, output.fileno(), output.fileno()), log)


if __name__ == "__main__":
    loaded = load_settings()
    log_to_stderr(loaded, "funder")
    apply_named()
    run_until_stopped(run(loaded, sys.argv[1], SystemClock(), lease_ttl_ms=LEASE_TTL_MS))
