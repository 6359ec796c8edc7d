"""Two replicas of the Bitfinex dialect on one broker: logins and calculations are counted over both."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from api.dialects.bitfinex.api_keys import ApiKey
from models.money import E18
from streams.kafka.single_records import Records
from streams.process.clock import SystemClock
from streams.replicas.lease_holder import Leases
from streams.replicas.nonce_log import NonceLog
from tests.support.bitfinex import ACCOUNT, SECRET, SYMBOL_SETTINGS, Scene, Socket, signed
from tests.support.eventually import eventually
from tests.support.ledger import holdings, position, wallet
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streams.settings import Settings

# Two sockets ask for this many each: with 8 a second and 60 that may wait on each replica, all of them are served.
EACH = 24
PER_S = 8


@asynccontextmanager
async def replica(own: Settings, directory: Path) -> AsyncIterator[Scene]:
    records, leases = Records(own), Leases(own, SystemClock())
    nonces = NonceLog(own, records, SystemClock())
    leases.start()
    try:
        await nonces.start()
        await nonces.wait_ready()
        await eventually(lambda: leases.is_up)
        made = Scene(directory, nonces, leases)
        made.ledger.refer("symbol:tBTCUSD", SYMBOL_SETTINGS)
        made.ledger.mark("tBTCUSD", 100 * E18)
        made.ledger.show(holdings(*(wallet("1", f"C{number:02d}") for number in range(60)), position("1", "90")))
        yield made
    finally:
        await nonces.stop()
        await leases.stop()
        with suppress(asyncio.CancelledError):
            await leases.closed()
        await records.stop()


async def served(socket: Socket, first: int, many: int) -> list[float]:
    """When each of so many different calculations came."""
    clock_s = asyncio.get_running_loop().time
    await socket.asks(*(f"wallet_margin_C{number:02d}" for number in range(first, first + many)))
    came = []
    for number in range(first, first + many):
        assert f"C{number:02d}" == (await socket.hears_of("wu"))[2][1]
        came.append(clock_s())
    return came


async def test_a_users_second_is_one_over_both_replicas_and_other_users_are_served_at_once(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    own = settings()
    await create_all(own)
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(replica(own, tmp_path)) for _ in range(2)]
        one.hold(alice=ApiKey(SECRET, "alice", (ACCOUNT,)), bob=ApiKey(SECRET, "bob", (ACCOUNT,)))
        sockets = []
        for nonce, (made, key) in enumerate(((one, "alice"), (two, "alice"), (one, "bob"), (two, "bob")), 1):
            socket = await stack.enter_async_context(made.connected())
            assert "OK" == (await socket.logs_in(nonce, key=key))["status"]
            await socket.hears_of("fls")
            sockets.append(socket)
        here, there, calm, _ = sockets
        clock_s = asyncio.get_running_loop().time
        began_s = clock_s()
        flood = asyncio.gather(served(here, 0, EACH), served(there, 30, EACH))
        waited = [max(await served(calm, 0, PER_S)) - began_s]
        came = sorted(at for times in await flood for at in times)
        took_s = came[-1] - began_s

    assert 2 * EACH == len(came)
    # The first eight come at once; each later one only when an earlier one is a second old.
    assert 2 * EACH / PER_S - 1 - 0.1 <= took_s <= 4 * EACH / PER_S
    for at, (earlier_s, later_s) in enumerate(zip(came, came[PER_S:], strict=False)):
        assert later_s - earlier_s > 0.8, (at, came)
    assert waited[0] < 1


async def test_a_frame_that_logged_in_at_one_replica_does_not_at_the_other_nor_after_a_restart(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    own = settings()
    await create_all(own)
    frame = signed(5)
    async with (
        replica(own, tmp_path) as one,
        replica(own, tmp_path) as two,
        one.connected() as first,
        two.connected() as second,
    ):
        # Both send it at once: one of them is first.
        await asyncio.gather(first.say(frame), second.say(frame))
        told = [await first.hears_of("auth"), await second.hears_of("auth")]
        assert ["FAILED", "OK"] == sorted(answer["status"] for answer in told)
        assert [10_114] == [answer["code"] for answer in told if answer["status"] == "FAILED"]
    async with replica(own, tmp_path) as restarted, restarted.connected() as socket:
        await socket.say(frame)
        assert 10_114 == (await socket.hears_of("auth"))["code"]
        assert "OK" == (await socket.logs_in(6))["status"]
