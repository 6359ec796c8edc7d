"""A deployment of Flash is as fresh as its ingest says, though its accounts are those that records name."""

from __future__ import annotations

from api.tables.freshness import Freshness
from api.tables.market_prices import MarketPrices
from models.heartbeats import ChainBeat, WorkerBeat, chain_key, worker_key
from streams.replicas.heartbeat_reader import Heartbeats
from streams.settings import Settings
from streams.settings.flash.flash_settings import FlashSettings
from tests.support.feed import FakeTables

_MINUTE_MS = 60_000


def test_an_ingest_that_stops_is_said_of_its_deployment() -> None:
    now_ms = 1_745_970_800_000
    settings, tables, heartbeats = Settings(deployments={"flash": FlashSettings()}), FakeTables(), Heartbeats()
    freshness = Freshness(settings, tables.feeds, MarketPrices(settings, tables.feeds), heartbeats, lambda: now_ms)

    def live(*, with_ingest: bool) -> None:
        for feed in tables.all_feeds:
            feed.answered_ms = now_ms
        for partition in range(settings.topics.partitions):
            heartbeats.take(worker_key(partition), WorkerBeat("host:1", now_ms, now_ms, 0, 500), now_ms)
        if with_ingest:
            beat = ChainBeat("host:2", now_ms, now_ms, 7, now_ms // 1_000)
            heartbeats.take(chain_key("flash"), beat, now_ms)

    live(with_ingest=True)
    assert not freshness.follows_chain("flash")
    assert freshness.why_unsure("flash") is None
    now_ms += _MINUTE_MS
    live(with_ingest=False)
    why = freshness.why_unsure("flash")
    assert why is not None
    assert "chain" in why
