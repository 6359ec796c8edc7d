"""A worker for crash tests: the product's own app, with one fault put into it.

``python -m tests.support.faulty_worker FAULT``, where FAULT is one of ``FAULTS``. The admin port also serves
``/rows/TABLE``: the rows as the worker's own table holds them, and ``/slices``: what is held of slices that were handed
out.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import signal
import sys
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from models.alerts import all_transitions
from models.codec import encode_body
from models.engine.step import Write
from models.engine.tables import ACCOUNTS, ALERTS
from streams.agents.accounts import AccountsAgent
from streams.settings import load_settings
from streams.transport.slice_consumer import SliceConsumer
from streams.transport.tables import UNCHARGED, Rows
from streams.worker.faust_app import create_app
from streams.worker.run import run_app

if TYPE_CHECKING:
    from models.engine.partition import PartitionEngine
    from streams.transport.publisher import Charge
    from streams.transport.slices import Slice
    from streams.worker.faust_app import TidemarkApp

FAULTS = ("none", "slow", "exception", "too-large", "hang", "spin", "left-undone", "alert-unsent", "alert-unshown")
FAULT_MARK = "now comes the fault"
# Slices before the fault, so that something is committed and something is not.
_AFTER_SLICES = 5
_SLOW_S = 0.02
# Between a seek and the flow of what was sought, where a fetch of before might take it.
_SLOW_SEEK_S = 0.2
_OF_LIQUIDATION = ("liquidatable", "recovered")


def serve_rows(app: TidemarkApp) -> None:
    """Add ``/rows/TABLE`` to the admin port."""

    async def rows(request: web.Request) -> web.Response:
        return web.json_response(
            {
                key.decode(): base64.b64encode(row).decode()
                for partition in app.terms.partitions
                for key, row in app.rows.items(request.match_info["table"], partition)
            }
        )

    app.admin.server.router.add_get("/rows/{table}", rows)


def serve_slices(app: TidemarkApp) -> None:
    """Add ``/slices`` to the admin port: how many were begun since the start, and how many offsets Faust keeps."""
    begin = SliceConsumer.begin
    begun = 0

    def counted(self: SliceConsumer, part: Slice) -> bool:
        nonlocal begun
        begun += 1
        return begin(self, part)

    async def slices(_: web.Request) -> web.Response:
        return web.json_response({"begun": begun, "kept": sum(map(len, app.consumer._acked.values()))})

    SliceConsumer.begin = counted  # type: ignore[method-assign]
    app.admin.server.router.add_get("/slices", slices)


def put_in(fault: str) -> None:
    """Make every accounts slice misbehave as ``fault`` says."""
    write = AccountsAgent.write
    slices = 0

    async def faulty_write(self: AccountsAgent, engine: PartitionEngine, part: Slice) -> None:
        nonlocal slices
        slices += 1
        if fault != "none":
            await asyncio.sleep(_SLOW_S)
        if slices > _AFTER_SLICES:
            sys.stderr.write(f"{FAULT_MARK}\n")
            sys.stderr.flush()
            match fault:
                case "exception":
                    await asyncio.shield(write(self, engine, part))
                    msg = "a fault in the middle of a slice"
                    raise ValueError(msg)
                case "too-large":
                    row = Write(ACCOUNTS, b"too-large", 1, encode_body({"pad": "x" * 1_100_000}))
                    self._rows.put(part.partition, row, part)
                case "hang":
                    await asyncio.Event().wait()
                case "spin":
                    while True:
                        pass
                case _:
                    pass
        await write(self, engine, part)

    AccountsAgent.write = faulty_write  # type: ignore[method-assign]
    if fault == "slow":
        seek = SliceConsumer.perform_seek

        async def slow_seek(self: SliceConsumer) -> None:
            await seek(self)
            await asyncio.sleep(random.uniform(0, _SLOW_SEEK_S))

        SliceConsumer.perform_seek = slow_seek  # type: ignore[method-assign]
    if fault == "left-undone":
        done = AccountsAgent.handle

        async def undone(self: AccountsAgent, part: Slice) -> None:
            await done(self, part)
            if slices > _AFTER_SLICES:
                part.done = lambda: None  # type: ignore[method-assign]

        AccountsAgent.handle = undone  # type: ignore[method-assign]


class Fatal:
    """A charge that kills the process when it is acknowledged."""

    def opened(self) -> None:
        """It is on its way."""

    def acked(self, count: int) -> None:  # noqa: ARG002 - the first one is the last
        os.kill(os.getpid(), signal.SIGKILL)


def die_of_alerts(fault: str) -> None:
    """Kill the process, as the kernel would, beside the first alert of a liquidation: before or after it is durable."""
    put = Rows.put

    def fatal_put(self: Rows, partition: int, write: Write, charge: Charge = UNCHARGED) -> None:
        if write.table == ALERTS and not _newest_kinds(write.body).isdisjoint(_OF_LIQUIDATION):
            if fault == "alert-unsent":
                os.kill(os.getpid(), signal.SIGKILL)
            charge = Fatal()
        put(self, partition, write, charge)

    Rows.put = fatal_put  # type: ignore[method-assign]


def _newest_kinds(body: bytes) -> set[str]:
    """What the valuation turned on or off that an alerts row is written for: the account's alarms, and its hedgers'."""
    newest, *before = all_transitions(orjson.loads(body))
    return {one["kind"] for one in (newest, *before) if one["as_of_ms"] == newest["as_of_ms"]}


if __name__ == "__main__":
    if sys.argv[1].startswith("alert-"):
        die_of_alerts(sys.argv[1])
    else:
        put_in(sys.argv[1])
    tidemark_app = create_app(load_settings())
    serve_rows(tidemark_app)
    serve_slices(tidemark_app)
    run_app(tidemark_app)
