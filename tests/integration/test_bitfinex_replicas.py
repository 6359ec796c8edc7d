"""Two replicas of the Bitfinex dialect on one broker: logins and calculations are counted over both."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from api.dialects.bitfinex.api_keys import ApiKey
from models.leases import Claim, Limit, decode_lease, lease_key
from models.money import E18
from streams.kafka.single_records import Records
from streams.kafka.topics import LEASES
from streams.process.clock import SystemClock
from streams.replicas.lease_holder import Leases
from streams.replicas.nonce_log import NonceLog
from tests.support.bitfinex import ACCOUNT, SECRET, SYMBOL_SETTINGS, Scene, Socket, signed, types
from tests.support.eventually import eventually
from tests.support.ledger import holdings, position, wallet
from tests.support.records import create_all, read_records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from streams.settings import Settings

# Two sockets ask for this many each: with 8 a second and 60 that may wait on each replica, all of them are served.
EACH = 24
PER_S = 8


@asynccontextmanager
async def replica(own: Settings, directory: Path) -> AsyncIterator[Scene]:
    # A replica that waited less for a slow broker would count by itself meanwhile.
    records, leases = Records(own), Leases(own, SystemClock(), decide_within_s=60)
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


async def served(socket: Socket, first: int, many: int) -> int:
    """How many of so many different calculations came, each of them once and in its order."""
    await socket.asks(*(f"wallet_margin_C{number:02d}" for number in range(first, first + many)))
    for number in range(first, first + many):
        assert f"C{number:02d}" == (await socket.hears_of("wu"))[2][1]
        assert "error" not in types(socket.seen)
    return many


def granted(claims: Iterable[tuple[int, Claim]]) -> int:
    """How many units the log grants: as many as fit into a second, by its own stamps, and no claim in part."""
    taken: list[tuple[int, int]] = []
    for at_ms, claim in claims:
        standing = sum(units for since_ms, units in taken if since_ms + 1_000 > at_ms)
        if standing + claim.units <= PER_S:
            taken.append((at_ms, claim.units))
    return sum(units for _, units in taken)


async def test_over_both_replicas_a_user_is_calculated_what_the_log_grants_him_in_any_second_and_no_more(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    own = settings()
    await create_all(own)
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(replica(own, tmp_path)) for _ in range(2)]
        one.hold(alice=ApiKey(SECRET, "alice", (ACCOUNT,)), bob=ApiKey(SECRET, "bob", (ACCOUNT,)))
        sockets = []
        for nonce, (made, key) in enumerate(((one, "alice"), (two, "alice"), (two, "bob")), 1):
            socket = await stack.enter_async_context(made.connected())
            assert "OK" == (await socket.logs_in(nonce, key=key))["status"]
            await socket.hears_of("fls")
            sockets.append(socket)
        here, there, calm = sockets
        came = await asyncio.gather(served(here, 0, EACH), served(there, 30, EACH), served(calm, 0, PER_S))
    for user, calculated in (("alice", came[0] + came[1]), ("bob", came[2])):
        name = lease_key(Limit("calc", PER_S), user)
        records = [record for record in await read_records(own, LEASES) if record.key == name]
        claims = [(record.timestamp, decode_lease(name, record.value)) for record in records]
        assert calculated == granted([(at_ms, claim) for at_ms, claim in claims if isinstance(claim, Claim)])


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
