"""The state of the local stack, read from the admin ports of its processes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from streams.process.http_bodies import WITHOUT_END
from tidemark.ports import url_host

if TYPE_CHECKING:
    from streams.settings import Settings

_WITHIN_S = 0.8
_RATES = {
    "tidemark_ticks_folded_total": "ticks",
    "tidemark_account_records_total": "account records",
    "tidemark_valuations_total": "valuations",
    "tidemark_api_frames_total": "frames",
}


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the stack at one moment. None stands for what could not be read.

    ``unsupported`` are the deployments whose figures are unknown because of logs this version does not support. Rates
    are per second, since the reading before.
    """

    worker_ready: bool = False
    api_ready: bool = False
    accounts: int | None = None
    lag_records: int | None = None
    oldest_mark_age_s: float | None = None
    sockets: int | None = None
    unsupported: tuple[str, ...] = ()
    per_s: dict[str, float] = field(default_factory=dict)


Samples = dict[str, float]


class StatusReader:
    """Reads the admin ports of a worker and an api, and remembers their counters for the rates of the next reading."""

    def __init__(self, settings: Settings) -> None:
        worker, api = settings.worker, settings.api
        self._worker = f"http://{url_host(worker.admin_host)}:{worker.admin_port}"
        self._api_admin = f"http://{url_host(api.admin_host)}:{api.admin_port}"
        self._api = f"http://{url_host(api.host)}:{api.port}"
        self._counters: Samples = {}
        self._at_s = 0.0

    async def read(self, session: aiohttp.ClientSession) -> Status:
        """Read the state once; what does not answer is left unknown."""
        worker = await _worker_status(session, f"{self._worker}/status")
        api = await _samples(session, f"{self._api_admin}/metrics")
        age_ms, lag = worker.get("oldest_mark_age_ms"), worker.get("lag_records")
        sockets = api.get("tidemark_api_connections")
        return Status(
            worker_ready=bool(worker.get("ready")),
            api_ready=await _is_ok(session, f"{self._api}/readyz"),
            accounts=worker.get("accounts"),
            lag_records=None if lag is None else sum(lag.values()),
            oldest_mark_age_s=None if age_ms is None else age_ms / 1_000,
            sockets=None if sockets is None else int(sockets),
            unsupported=tuple(
                name for name, known in worker.get("deployments", {}).items() if known["unsupported_since"] is not None
            ),
            per_s=self._rates(await _samples(session, f"{self._worker}/metrics") | api),
        )

    def _rates(self, samples: Samples) -> dict[str, float]:
        now_s = time.monotonic()
        passed_s, self._at_s = now_s - self._at_s, now_s
        counters = {name: samples[name] for name in _RATES if name in samples}
        before, self._counters = self._counters, counters
        # A counter that is lower than before is that of a process that was started again.
        return {
            _RATES[name]: max(0.0, value - before[name]) / passed_s
            for name, value in counters.items()
            if name in before
        }


async def _worker_status(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Read the worker's own status; empty where it does not answer."""
    try:
        async with asyncio.timeout(_WITHIN_S), session.get(url, timeout=WITHOUT_END) as response:
            said: dict[str, Any] = await response.json()
            return said
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return {}


async def _samples(session: aiohttp.ClientSession, url: str) -> Samples:
    """Read each metric's sum over its labels; empty where the process does not answer."""
    try:
        async with asyncio.timeout(_WITHIN_S), session.get(url, timeout=WITHOUT_END) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return {}
    sums: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def _is_ok(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with asyncio.timeout(_WITHIN_S), session.get(url, timeout=WITHOUT_END) as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError):
        return False
