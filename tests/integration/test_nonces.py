"""Nonces over a real broker: two replicas that race, and one that comes later."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from models.nonces import NonceUse, decode_nonce, encode_nonce, nonce_key
from streams.kafka.single_records import Records
from streams.kafka.topics import NONCES
from streams.process.clock import SystemClock
from streams.replicas.lease_holder import Undecided
from streams.replicas.nonce_log import NonceLog
from tests.support.eventually import eventually
from tests.support.records import create_all, read_topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from streams.settings import Settings

KEY, OTHER = nonce_key("bitfinex", "k1"), nonce_key("bitfinex", "k2")


@asynccontextmanager
async def replica(settings: Settings) -> AsyncIterator[NonceLog]:
    records = Records(settings)
    nonces = NonceLog(settings, records, SystemClock())
    try:
        await nonces.start()
        await nonces.wait_ready()
        yield nonces
    finally:
        await nonces.stop()
        await records.stop()


async def test_of_one_nonce_one_replica_is_first_whoever_asks_and_whenever(settings: Callable[..., Settings]) -> None:
    own = settings()
    await create_all(own)
    async with replica(own) as one, replica(own) as two:
        for nonce in (5, 9, 2**53):
            told = await asyncio.gather(*(some.spend(KEY, nonce) for some in (one, two) * 4))
            assert 1 == sum(told)
        assert not await one.spend(KEY, 9)
        assert await two.spend(OTHER, 1)
    async with replica(own) as later:
        assert not await later.spend(KEY, 2**53)
        assert not await later.spend(KEY, 7)
        assert await later.spend(KEY, 2**53 + 1)


async def test_where_a_lower_nonce_was_written_last_the_highest_is_written_again(
    settings: Callable[..., Settings],
) -> None:
    own = settings()
    await create_all(own)
    records = Records(own)
    # As two replicas write that have not read one another yet; the one that wrote 5 has ended since.
    for nonce in (10, 5):
        await records.send(NONCES, KEY, encode_nonce(NonceUse(nonce, f"of {nonce}")))
    await records.stop()
    async with replica(own) as one:
        assert not await one.spend(KEY, 10)
        raising = asyncio.create_task(one.raise_marks())

        async def is_raised() -> bool:
            newest = [decode_nonce(key, value) for key, value in await read_topic(own, NONCES)][-1]
            return newest == NonceUse(10)

        await eventually(is_raised)
        raising.cancel()


async def test_before_the_log_is_read_and_without_a_broker_nothing_is_decided(
    settings: Callable[..., Settings],
) -> None:
    own = settings()
    records = Records(own)
    unread = NonceLog(own, records, SystemClock())
    with pytest.raises(Undecided):
        await unread.spend(KEY, 1)
    await records.stop()
