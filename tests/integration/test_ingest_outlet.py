from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.symmio.topics import CHAIN_BLOCKS
from streams.ingest.outlet import BrokerUnreachable, NotAcknowledged, opened_outlet
from streams.kafka.topics import topic_name
from tests.support.records import create_all, read_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


async def test_records_of_a_key_arrive_in_order_and_leaving_sends_them_all(settings: Callable[..., Settings]) -> None:
    own = settings()
    await create_all(own)
    assert own.kafka is not None
    async with opened_outlet(own.kafka) as outlet:
        for number in range(3_000):
            await outlet.put(topic_name(own, CHAIN_BLOCKS), b"d", b"%d" % number)

    assert [(b"d", b"%d" % number) for number in range(3_000)] == await read_topic(own, CHAIN_BLOCKS)


async def test_a_record_too_large_for_the_broker_is_an_error_and_nothing_follows_it(
    settings: Callable[..., Settings],
) -> None:
    own = settings()
    await create_all(own)
    assert own.kafka is not None
    topic = topic_name(own, CHAIN_BLOCKS)
    async with opened_outlet(own.kafka) as outlet:
        await outlet.put(topic, b"d", b"first")
        with pytest.raises(NotAcknowledged):
            await outlet.put(topic, b"d", b"x" * 20_000_000)
        with pytest.raises(NotAcknowledged):
            await outlet.put(topic, b"d", b"second")

    assert [(b"d", b"first")] == await read_topic(own, CHAIN_BLOCKS)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_no_broker_is_said_so() -> None:
    with pytest.raises(BrokerUnreachable, match=r"expected Kafka at 127\.0\.0\.1:1"):
        async with opened_outlet("127.0.0.1:1"):
            pass
