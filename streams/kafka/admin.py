"""The client that administers a cluster, for as long as it is needed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.connection import client_arguments
from streams.kafka.first_connection import close_first_connection
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.settings.kafka_client import Bootstrap


@asynccontextmanager
async def opened_admin(bootstrap: Bootstrap) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that administers the cluster, connected for as long as the block lasts.

    Args:
        bootstrap: How the cluster is reached.

    Raises:
        KafkaError: The broker cannot be reached; nothing is left open.
    """
    admin = AIOKafkaAdminClient(**client_arguments(bootstrap))
    close_first_connection(admin)
    try:
        await admin.start()
        yield admin
    finally:
        await waited_out(admin.close())
