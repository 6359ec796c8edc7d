"""From a ledger's records on Kafka to a client's frames: in order, none lost, through a crash and a restart."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

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
    from collections.abc import AsyncIterator, Callable

    from streams.settings import Settings

LAST = 240


def wallet(balance: int) -> dict[str, str]:
    return {"type": "margin", "currency": "USD", "balance": str(balance)}


def record(seq: int, **what: Any) -> bytes:  # noqa: ANN401 - what a record holds
    said = what or {"kind": "wallet_set", "wallet": wallet(seq)}
    return json.dumps({"v": 1, "seq": seq, "time_ms": 1_700_000_000_000 + seq, "cause": "x", **said}).encode()


class Producer:
    """A ledger whose balance is the number of the record that set it."""

    def __init__(self, settings: Settings) -> None:
        self._records = Records(settings)
        self._seq = 0

    async def write(self, up_to: int) -> None:
        while self._seq < up_to:
            self._seq += 1
            await self.send(record(self._seq))

    async def send(self, value: bytes) -> None:
        await self._records.send(LEDGER_EVENTS, ACCOUNT.encode(), value)

    async def write_all_that_may_come(self, seq: int) -> None:
        """Record ``seq`` twice, then a late one, a snapshot that says what is known, and a record beyond a gap.

        The gap makes the account suspect, which only a snapshot ends.
        """
        await self.write(seq)
        await self.send(record(seq))
        await self.send(record(seq - 5))
        await self.send(record(seq + 1, kind="snapshot", wallets=[wallet(seq + 1)]))
        await self.send(record(seq + 5))
        await self.send(record(seq + 6, kind="snapshot", wallets=[wallet(seq + 6)]))
        self._seq = seq + 6

    async def stop(self) -> None:
        await self._records.stop()


@asynccontextmanager
async def logged_in(port: int, nonce: int) -> AsyncIterator[tuple[Socket, int]]:
    """A client past its login, and the balance that its snapshot had; 0 where there was none yet."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        await eventually(lambda: answers(client, "/readyz", 200), timeout_s=30)
        async with client.ws_connect("/ws/2") as connected:
            socket = Socket(connected)
            assert "OK" == (await socket.logs_in(nonce))["status"]
            (_, _, wallets) = await socket.hears_of("ws")
            await socket.hears_of("fls")
            yield socket, int(wallets[0][2]) if wallets else 0


async def follow(socket: Socket, before: int, until: int) -> None:
    """Read wallets until one has a balance; each is the one after that before it."""
    while before < until:
        frame = await socket.hears_of("wu")
        assert before + 1 == frame[2][2], socket.seen[-5:]
        before += 1


async def test_every_record_reaches_the_client_once_and_in_order_though_worker_and_api_are_killed(
    settings: Callable[..., Settings],
) -> None:
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
    async with api_process(own) as first_api, worker(own) as first:
        await first.ready()
        async with logged_in(port, 1) as (socket, balance):
            assert 0 == balance
            await producer.write(60)
            await follow(socket, 0, 40)
            writing = asyncio.create_task(producer.write(140))
            first.kill()
            async with worker(own) as second:
                await second.ready()
                await follow(socket, 40, 140)
                await writing
                first_api.kill()
                await producer.write(180)
                async with api_process(own), logged_in(port, 2) as (again, known):
                    await follow(again, known, 180)
                    await producer.write_all_that_may_come(200)
                    await follow(again, 180, 201)
                    # What the gap hid is not shown; the snapshot after it is.
                    assert 206 == (await again.hears_of("wu"))[2][2]
                    await producer.write(LAST)
                    await follow(again, 206, LAST)
    await producer.stop()
