"""A worker for crash tests: the product's own app, with one fault put into it.

``python -m tests.support.faulty_worker FAULT``, where FAULT is one of ``FAULTS``. The admin port also serves
``/rows/TABLE``: the rows as the worker's own table holds them.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from streams.agents import accounts
from streams.app import create_app
from streams.settings import load_settings
from streams.topics import ACCOUNTS
from streams.worker import run_app

if TYPE_CHECKING:
    from streams.app import TidemarkApp
    from streams.transport.slices import Slice

FAULTS = ("none", "slow", "exception", "too-large", "hang", "spin", "left-undone")
FAULT_MARK = "now comes the fault"
# Slices before the fault, so that something is committed and something is not.
_AFTER_SLICES = 5
_SLOW_S = 0.02


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


def put_in(fault: str) -> None:
    """Make every accounts slice misbehave as ``fault`` says."""
    fold = accounts._SliceFold
    write = fold.write
    slices = 0

    async def faulty_write(self: accounts._SliceFold) -> None:
        nonlocal slices
        slices += 1
        if fault != "none":
            await asyncio.sleep(_SLOW_S)
        if slices > _AFTER_SLICES:
            sys.stderr.write(f"{FAULT_MARK}\n")
            sys.stderr.flush()
            match fault:
                case "exception":
                    await asyncio.shield(write(self))
                    msg = "a fault in the middle of a slice"
                    raise ValueError(msg)
                case "too-large":
                    self._rows.write(
                        ACCOUNTS, self._part.partition, b"too-large", (1, {"pad": "x" * 1_100_000}), self._part
                    )
                case "hang":
                    await asyncio.Event().wait()
                case "spin":
                    while True:
                        pass
                case _:
                    pass
        await write(self)

    fold.write = faulty_write  # type: ignore[method-assign]
    if fault == "left-undone":
        done = accounts.AccountsAgent.handle

        async def undone(self: accounts.AccountsAgent, part: Slice) -> None:
            await done(self, part)
            if slices > _AFTER_SLICES:
                part.done = lambda: None  # type: ignore[method-assign]

        accounts.AccountsAgent.handle = undone  # type: ignore[method-assign]


if __name__ == "__main__":
    put_in(sys.argv[1])
    tidemark_app = create_app(load_settings())
    serve_rows(tidemark_app)
    run_app(tidemark_app)
