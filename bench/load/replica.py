"""Replicas of the api whose clients are a crowd: over tables in memory, and as a process of a whole stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.app import create_app
from bench.load.rows import DEPLOYMENT, bench_deployment
from streams.process.clock import SystemClock
from streams.settings import ApiLimitSettings, ApiSettings, TopicSettings
from tests.support.api import FakeInterest, api_settings, symmio_that_hears
from tests.support.broker import settings_of_a_test
from tests.support.pipeline import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings
    from tests.support.feed import FakeTables

# A crowd has one address; what bounds a stranger must not bound it.
CROWD_LIMITS = ApiLimitSettings(
    connections=100_000,
    connections_per_address=100_000,
    connection_attempts_per_s=100_000,
    requests_per_s=100_000,
    requests_burst=100_000,
)


def stack_settings(bootstrap: str, directory: Path, partitions: int) -> Settings:
    """The configuration of a worker and a replica whose clients are a crowd.

    Args:
        bootstrap: Where the broker is.
        directory: Where rows are kept.
        partitions: How many each topic has.
    """
    return settings_of_a_test(
        bootstrap,
        directory,
        deployments={DEPLOYMENT: bench_deployment()},
        topics=TopicSettings(partitions=partitions),
        api=ApiSettings(port=free_port(), admin_port=free_port(), limits=CROWD_LIMITS),
    )


def replica_over(tables: FakeTables) -> web.Application:
    """An api that serves tables in memory, SYMMIO's dialect among its dialects.

    Args:
        tables: What it serves.
    """
    return create_app(
        api_settings("main", api=ApiSettings(limits=CROWD_LIMITS)),
        tables.feeds,
        FakeInterest(),
        clock=SystemClock(),
        find_dialect=symmio_that_hears(),
    )


async def listen(app: web.Application, port: int) -> None:
    """Let it listen on loopback; whoever calls it says when it is ready."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1_000).start()
