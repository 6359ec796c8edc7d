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
from streams.kafka.topics import INSTRUMENT_FACTS, LEASES, PRICE_TICKS, require_topic
from streams.replicas.heartbeat_writer import HeartbeatWriter
from streams.replicas.turns import turn
from streams.settings import BadSettings
from streams.settings.prices.price_source import KINDS, price_package

if TYPE_CHECKING:
    from collections.abc import Callable

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
        Superseded: Another ingest of the source took over.
    """
    if name not in settings.sources:
        msg = f"expected a price source {name!r} in the configuration, found {sorted(settings.sources) or 'none'}"
        raise BadSettings(msg)
    make = follower_kind(settings, name)
    async with aiohttp.ClientSession() as session, opened_outlet(settings.bootstrap) as outlet:
        await require_topic(settings, PRICE_TICKS, INSTRUMENT_FACTS, LEASES)
        follower = make(PriceSite(settings, name, settings.sources[name], session, outlet, clock))

        def said(process: str, at_ms: int) -> dict[str, Beat]:
            return {prices_key(name): PricesBeat(process, at_ms, follower.heard_ms)}

        # Ticks are not fenced: the newest event of a market wins, whoever wrote it, so a late tick changes nothing.
        async with turn(settings, "prices", name, clock):
            await together(HeartbeatWriter(settings, clock, said).run(), follower.run())


def follower_kind(settings: Settings, name: str) -> Callable[[PriceSite], Follower]:
    """Find what makes the follower of a source of the configuration.

    Raises:
        BadSettings: The source's kind is not installed.
        BadPackage: What is installed for its kind cannot be used.
    """
    kind = settings.sources[name].kind
    package = price_package(kind)
    if package is None:
        msg = f"sources.{name}: {KINDS.missing(kind)}"
        raise BadSettings(msg)
    module, _, made_by = package.follower.partition(":")
    make: Callable[[PriceSite], Follower] = getattr(import_module(module), made_by)
    return make
