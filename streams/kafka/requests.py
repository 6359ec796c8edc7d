"""What a process asks of its brokers, counted: each request has a price of its own, whatever is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import prometheus_client

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

REQUESTS = prometheus_client.Counter(
    "tidemark_kafka_requests_total", "Requests sent to brokers, by their kind in Kafka's protocol.", ("kind",)
)


def count_requests(user: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Count what a consumer or a producer sends from now on.

    Args:
        user: Whose client sends; it has been made and need not be started.
    """
    client = getattr(user, "_client", None) or user.client
    send = client.send

    async def send_counted(node_id: int, request: Any, **kwargs: Any) -> Any:
        REQUESTS.labels(type(request).__name__.removesuffix("Request")).inc()
        return await send(node_id, request, **kwargs)

    client.send = send_counted
