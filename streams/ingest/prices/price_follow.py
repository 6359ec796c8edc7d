"""Ingest of one price source: its kind says who follows it.

Prices go to ``price-ticks``, and other facts of its symbols to ``instrument-facts``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import aiohttp

from models.heartbeats import PricesBeat, prices_key
from streams.ingest.outlet import opened_outlet
from streams.ingest.prices.price_site import PriceSite
from streams.ingest.prices.price_tasks import together
from streams.kafka.topics import INSTRUMENT_FACTS, PRICE_TICKS, require_topic
from streams.replicas.heartbeat_writer import HeartbeatWriter
from streams.settings import BadSettings
from streams.settings.prices.price_source import KINDS, price_package

if TYPE_CHECKING:
    from models.heartbeats import Beat
    from streams.ingest.prices.price_site import Follower
    from streams.process.clock import Clock
    from streams.settings import Settings


async def run(settings: Settings, name: str, clock: Clock) -> None:
    """Write the prices of one source to Kafka until cancelled.

    Args:
        settings: The configuration.
        name: The source's name.
        clock: Tells when a frame or an answer was received.

    Raises:
        BadSettings: The source or Kafka is not configured, or the source's kind is not installed.
        BadPackage: What is installed for its kind cannot be used.
        BadTopic: A topic is missing: run ``tidemark topics create``.
        NotAcknowledged: The broker did not take a record.
    """
    if name not in settings.sources:
        msg = f"expected a price source {name!r} in the configuration, found {sorted(settings.sources) or 'none'}"
        raise BadSettings(msg)
    source = settings.sources[name]
    package = price_package(source.kind)
    if package is None:
        msg = f"sources.{name}: {KINDS.missing(source.kind)}"
        raise BadSettings(msg)
    async with aiohttp.ClientSession() as session, opened_outlet(settings.bootstrap) as outlet:
        await require_topic(settings, PRICE_TICKS, INSTRUMENT_FACTS)
        module, _, made_by = package.follower.partition(":")
        site = PriceSite(settings, name, source, session, outlet, clock)
        follower: Follower = getattr(import_module(module), made_by)(site)

        def said(process: str, at_ms: int) -> dict[str, Beat]:
            return {prices_key(name): PricesBeat(process, at_ms, follower.heard_ms)}

        await together(HeartbeatWriter(settings, clock, said).run(), follower.run())
