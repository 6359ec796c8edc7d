"""The process of one webhook: it waits for its turn, begins where the receiver is, and sends until it ends."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from random import SystemRandom
from typing import TYPE_CHECKING

from models.alerts import alerts_of_row
from models.codec import decode_order
from models.engine.stored_rows import count_beyond, readable
from models.engine.tables import ALERTS
from streams.kafka.feed import Feed
from streams.kafka.single_records import Records
from streams.kafka.topics import LEASES, WEBHOOK_PROGRESS, require_topic
from streams.process.unreadable_rows import note_unreadable
from streams.replicas.turns import turn
from streams.settings import BadSettings
from streams.webhooks.delivery import Delivery
from streams.webhooks.posting import HttpPoster
from streams.webhooks.progress import KeptProgress

if TYPE_CHECKING:
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.settings.webhooks import WebhookSettings

_log = logging.getLogger(__name__)


async def run(settings: Settings, name: str, clock: Clock) -> None:
    """Send the transitions of accounts to one receiver until cancelled.

    Args:
        settings: The configuration.
        name: The webhook's name.
        clock: Tells when a message is sent.

    Raises:
        BadSettings: There is no such webhook, its secret cannot be read, or Kafka is not configured.
        BadTopic: A topic is missing: run ``tidemark topics create``.
        NotWritten: The broker did not take what the receiver took.
        Superseded: Another process of the webhook took over.
    """
    webhook, key = _configured(settings, name)
    await require_topic(settings, LEASES, WEBHOOK_PROGRESS)
    async with turn(settings, "webhooks", name, clock), AsyncExitStack() as ending:
        records = Records(settings)
        ending.push_async_callback(records.stop)
        progress = KeptProgress(settings, name, records, clock)
        feed = Feed.of(settings, ALERTS, clock)
        for reader in (progress, feed):
            await reader.start()
            ending.push_async_callback(reader.stop)
            await reader.wait_ready()
        if not progress.has_begun:
            counts = {account: _count_of(account, row) for account, row in feed.rows.items()}
            _log.info("webhook begins with what comes from now on webhook=%s accounts=%d", name, len(counts))
            await progress.begin(counts)
        poster = HttpPoster(webhook, key, clock)
        await poster.start()
        ending.push_async_callback(poster.stop)
        delivery = Delivery(
            name,
            webhook,
            rows=feed.rows,
            epoch=settings.epoch,
            progress=progress,
            poster=poster,
            clock=clock,
            chance=SystemRandom(),
        )
        feed.listen(delivery.changed)
        delivery.changed([*feed.rows])
        _log.info("webhook works webhook=%s", name)
        async with asyncio.TaskGroup() as group:
            group.create_task(feed.closed())
            group.create_task(progress.closed())
            group.create_task(delivery.run())


def _count_of(account: bytes, row: bytes) -> int:
    """How many transitions an account had; where its row cannot be read, as many as it may have had."""
    body = readable(note_unreadable, ALERTS, account, row, alerts_of_row)
    return count_beyond(decode_order(row)[1]) if body is None else int(body["count"])


def _configured(settings: Settings, name: str) -> tuple[WebhookSettings, bytes]:
    if name not in settings.webhooks:
        msg = f"expected a webhook {name!r} in the configuration, found {sorted(settings.webhooks) or 'none'}"
        raise BadSettings(msg)
    webhook = settings.webhooks[name]
    try:
        return webhook, webhook.key()
    except (OSError, ValueError) as error:
        msg = f"webhooks.{name}: secret_file {webhook.secret_file}: {error}"
        raise BadSettings(msg) from error
