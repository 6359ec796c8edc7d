from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from models.symmio.topics import CHAIN_BLOCKS
from streams.ingest.outlet import BrokerUnreachable, NotAcknowledged, opened_outlet
from streams.ingest.prices import price_follow
from streams.ingest.symmio import chain_follow, recording
from streams.kafka.topics import BadTopic, topic_name
from streams.process.clock import SystemClock
from streams.settings import BinanceSource, Bootstrap, SymmioSettings
from tests.support.records import create_all, read_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

DATA = Path(__file__).parents[1] / "data"


async def test_records_of_a_key_arrive_in_order_and_leaving_sends_them_all(settings: Callable[..., Settings]) -> None:
    own = settings()
    await create_all(own)
    assert own.kafka is not None
    async with opened_outlet(own.bootstrap) as outlet:
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
    async with opened_outlet(own.bootstrap) as outlet:
        await outlet.put(topic, b"d", b"first")
        with pytest.raises(NotAcknowledged):
            await outlet.put(topic, b"d", b"x" * 20_000_000)
        with pytest.raises(NotAcknowledged):
            await outlet.put(topic, b"d", b"second")

    assert [(b"d", b"first")] == await read_topic(own, CHAIN_BLOCKS)


async def test_an_ingest_that_is_started_before_its_topics_exist_ends_and_says_so_once(
    settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    deployment = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40, rpc=("http://127.0.0.1:1",))  # type: ignore[arg-type]
    source = BinanceSource(websocket="ws://127.0.0.1:1", rest="http://127.0.0.1:1")
    own, clock = settings(deployments={"d": deployment}, sources={"v": source}), SystemClock()
    for ingest in (
        chain_follow.run(own, "d", clock),
        price_follow.run(own, "v", clock),
        recording.run(own, DATA, "d", clock),
    ):
        with pytest.raises(BadTopic, match=r"found none of these: run tidemark topics create"):
            await asyncio.wait_for(ingest, 30)

    assert [] == [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_no_broker_is_said_so() -> None:
    with pytest.raises(BrokerUnreachable, match=r"expected Kafka at 127\.0\.0\.1:1"):
        async with opened_outlet(Bootstrap("127.0.0.1:1")):
            pass
