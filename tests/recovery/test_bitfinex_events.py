"""From a ledger's records on Kafka to a client's frames: in order, none lost, through a crash and a restart."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from api.dialects.bitfinex.api_keys import ApiKey, write_keys
from models.ledger.ledger_venue import LEDGER_EVENTS
from streams.kafka.single_records import Records
from streams.settings import ApiSettings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.bitfinex import ACCOUNT, KEY, LEDGER, SECRET, Socket
from tests.support.eventually import eventually
from tests.support.pipeline import free_port, worker
from tests.support.records import create_all
from tests.support.server import answers, api_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


def wallet(balance: int) -> dict[str, str]:
    return {"type": "margin", "currency": "USD", "balance": str(balance)}


def record(seq: int, **what: Any) -> bytes:  # noqa: ANN401 - what a record holds
    said = what or {"kind": "wallet_set", "wallet": wallet(seq)}
    return json.dumps({"v": 1, "seq": seq, "time_ms": 1_700_000_000_000 + seq, "cause": "x", **said}).encode()


class Producer:
    """A ledger whose balance is the number of the record that set it.

    Attributes:
        told: The balances that a client has to be told, one after another.
    """

    def __init__(self, settings: Settings) -> None:
        self.told: list[int] = []
        self._records = Records(settings)
        self._seq = 0

    async def write(self, records: int) -> None:
        for _ in range(records):
            self._seq += 1
            await self._send(record(self._seq))
            self.told.append(self._seq)

    async def write_all_that_may_come(self) -> None:
        """Write a record twice, then a late one, a snapshot that says what is known, and a record beyond a gap.

        The gap makes the account suspect, which only a snapshot ends; what the gap hid is not shown.
        """
        await self.write(6)
        seq = self._seq
        await self._send(record(seq))
        await self._send(record(seq - 5))
        await self._send(record(seq + 1, kind="snapshot", wallets=[wallet(seq + 1)]))
        await self._send(record(seq + 5))
        await self._send(record(seq + 6, kind="snapshot", wallets=[wallet(seq + 6)]))
        self.told += [seq + 1, seq + 6]
        self._seq = seq + 6

    async def stop(self) -> None:
        await self._records.stop()

    async def _send(self, value: bytes) -> None:
        await self._records.send(LEDGER_EVENTS, ACCOUNT.encode(), value)


class Watcher:
    """A client that stays logged in and reads, whose balances are compared with what the ledger wrote."""

    def __init__(self, port: int, producer: Producer) -> None:
        self._port = port
        self._told = producer.told
        self._nonce = 0
        # Where in ``told`` its snapshot stood, and what it heard since.
        self._since = 0
        self._heard: list[int] = []
        self._reading: asyncio.Task[None] | None = None
        self._open = AsyncExitStack()

    async def log_in(self) -> None:
        """Log in anew: the snapshot shows how it stands, and what happens after it is told."""
        await self.leave()
        client = await self._open.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{self._port}"))
        await eventually(lambda: answers(client, "/readyz", 200), timeout_s=60)
        socket = Socket(await self._open.enter_async_context(client.ws_connect("/ws/2")))
        # A replica that reads its nonce back too late lets nobody in.
        await eventually(lambda: self._is_let_in(socket), timeout_s=60)
        (_, _, wallets) = await socket.hears_of("ws")
        await socket.hears_of("fls")
        self._since = self._told.index(int(wallets[0][2])) + 1 if wallets else 0
        self._heard = []
        # A client that does not read answers no pings.
        self._reading = asyncio.create_task(self._read(socket))

    async def _is_let_in(self, socket: Socket) -> bool:
        self._nonce += 1
        return bool("OK" == (await socket.logs_in(self._nonce))["status"])

    async def follow(self, fewest: int = 0) -> None:
        """Wait until it was told all that was written by now, or so much of it: each once, and none left out."""
        until = fewest or len(self._told)
        reading = self._reading
        assert reading is not None
        await eventually(lambda: self._since + len(self._heard) >= until or reading.done(), timeout_s=60)
        heard = list(self._heard)
        assert self._told[self._since : self._since + len(heard)] == heard
        assert self._since + len(heard) >= until, reading

    async def leave(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            # What the server that was killed left it with is no error.
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._open.aclose()

    async def _read(self, socket: Socket) -> None:
        while True:
            self._heard.append((await socket.hears_of("wu"))[2][2])


# It starts four processes, each of which takes long on a machine that does much else.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 5, 7])
async def test_every_record_reaches_the_client_once_and_in_order_though_worker_and_api_are_killed(
    settings: Callable[..., Settings], seed: int
) -> None:
    random = Random(seed)
    disturbances = ["worker", "api", "gap"]
    random.shuffle(disturbances)
    port = free_port()
    directory = settings().data_dir
    write_keys(directory / "keys.json", {KEY: ApiKey(SECRET, "alice", (ACCOUNT,))})
    section = {"kind": "bitfinex", "deployments": (LEDGER,), "keys": str(directory / "keys.json")}
    own = settings(
        deployments={LEDGER: LedgerDeploymentSettings(default_sources=("binance-futures",))},
        dialects={"bitfinex": section},
        api=ApiSettings(port=port, admin_port=free_port(), drain_s=0.1),
    )
    await create_all(own)
    producer = Producer(own)
    watcher = Watcher(port, producer)
    async with AsyncExitStack() as running:
        api = await running.enter_async_context(api_process(own))
        working = await running.enter_async_context(worker(own))
        await working.ready()
        await watcher.log_in()
        await producer.write(random.randint(1, 60))
        for disturbance in disturbances:
            await watcher.follow(random.randint(1, len(producer.told)))
            # Some of it is on the way when it happens.
            writing = asyncio.create_task(producer.write(random.randint(20, 80)))
            match disturbance:
                case "worker":
                    working.kill()
                    working = await running.enter_async_context(worker(own))
                    await working.ready()
                    await writing
                case "api":
                    api.kill()
                    api = await running.enter_async_context(api_process(own))
                    await writing
                    await watcher.log_in()
                case _:
                    await writing
                    await producer.write_all_that_may_come()
        await producer.write(10)
        await watcher.follow()
        await watcher.leave()
    await producer.stop()
