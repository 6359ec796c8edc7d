"""From the start of an api replica to its first answer, until all its tables are read, and to an account's first frame.

Claim: with 200,000 accounts it accepts sockets after at most 2 s of processor time, and once all is read the first
frame of an account comes within 0.1 s, in the median. Valuations are written straight into their changelog, then
replicas are started one after the other. Each is asked for ``/healthz`` until it answers, then for ``/readyz`` until
that is 200, and then for accounts on one socket, one after the other. Beside each, in turn, what the least server of
aiohttp takes until it answers: the ratio of the two can be compared between machines and days, seconds cannot.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import click

from bench.growth import peak_mib
from bench.load.processes import processor_s
from bench.load.rows import DEPLOYMENT, Writer, address, bench_deployment
from models.codec import encode_row
from models.engine.tables import VALUATIONS
from models.ids import account_key
from streams.kafka.partitions import partition_of
from streams.kafka.topics import changelog_name, create_topics, registry
from streams.settings import ApiSettings, TopicSettings
from tests.support.broker import running_kafka, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.feed import valuation_body
from tests.support.pipeline import free_port
from tests.support.server import answers, api_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from streams.settings import Settings
    from tests.support.server import Process

PARTITIONS = 8
_WAIT_S = 300
_ASKED = 40
_LEAST = """
import sys
from aiohttp import web

async def healthz(request):
    return web.Response(text="alive")

app = web.Application()
app.router.add_get("/healthz", healthz)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@asynccontextmanager
async def _least_server(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _LEAST, str(port))
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def _started(process: AbstractAsyncContextManager[Process], port: int, *, has_tables: bool) -> dict[str, float]:
    """Processor time and time in s until the first answer, and where there are tables until these are read."""
    began_s = time.perf_counter()
    async with process as running, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        await eventually(lambda: answers(client, "/healthz", 200), _WAIT_S)
        found = {"answers_processor_s": processor_s(running.pid), "answers_s": time.perf_counter() - began_s}
        if has_tables:
            await eventually(lambda: answers(client, "/readyz", 200), _WAIT_S)
            found |= {"ready_processor_s": processor_s(running.pid), "ready_s": time.perf_counter() - began_s}
            found["peak_mib"] = peak_mib(running.pid)
            found["first_frame_s"] = await _first_frame_s(client)
    return found


async def _first_frame_s(client: aiohttp.ClientSession) -> float:
    """From an address to its first frame, the median of several."""
    took_s = []
    async with client.ws_connect("/ws/upnl-ws") as socket:
        for number in range(_ASKED):
            asked_s = time.perf_counter()
            await socket.send_str(address(number))
            await socket.receive_json()
            took_s.append(time.perf_counter() - asked_s)
    return statistics.median(took_s)


async def _lay_out(settings: Settings, accounts: int) -> None:
    row = encode_row(1, 1, valuation_body())
    keys = (account_key(DEPLOYMENT, address(number)) for number in range(accounts))
    async with Writer(settings) as writer:
        rows = ((partition_of(key, PARTITIONS), key, row) for key in keys)
        await writer.write(changelog_name(settings, VALUATIONS), rows)


async def measure(bootstrap: str, directory: Path, *, accounts: int, rounds: int) -> dict[str, float]:
    """Medians of all rounds."""
    settings = settings_of_a_test(
        bootstrap,
        directory,
        deployments={DEPLOYMENT: bench_deployment()},
        topics=TopicSettings(partitions=PARTITIONS),
        api=ApiSettings(port=free_port(), admin_port=free_port()),
    )
    await create_topics(settings.bootstrap, registry(settings))
    await _lay_out(settings, accounts)
    apis, least = [], []
    for _ in range(rounds):
        apis.append(await _started(api_process(settings, sys.executable), settings.api.port, has_tables=True))
        port = free_port()
        least.append(await _started(_least_server(port), port, has_tables=False))
    figures = {name: round(statistics.median(one[name] for one in apis), 3) for name in apis[0]}
    bare_s = statistics.median(one["answers_processor_s"] for one in least)
    return {
        "accounts": accounts,
        **figures,
        "least_server_processor_s": round(bare_s, 2),
        "answers_ratio": round(figures["answers_processor_s"] / bare_s, 1),
    }


@click.command()
@click.option("--accounts", default=200_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(accounts: int, rounds: int) -> None:
    """Measure and print a line of JSON."""
    with running_kafka() as bootstrap, tempfile.TemporaryDirectory() as directory:
        click.echo(json.dumps(asyncio.run(measure(bootstrap, Path(directory), accounts=accounts, rounds=rounds))))


if __name__ == "__main__":
    main()
