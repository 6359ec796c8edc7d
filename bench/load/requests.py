"""What a process has asked of its brokers, as it counts itself."""

from __future__ import annotations

from collections import Counter

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

_NAME = "tidemark_kafka_requests"


async def requests_sent(admin_port: int) -> Counter[str]:
    """Requests to brokers by kind, from the start of a process of this machine until now."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{admin_port}/metrics", raise_for_status=True) as answer,
    ):
        text = await answer.text()
    return Counter(
        {
            sample.labels["kind"]: int(sample.value)
            for family in text_string_to_metric_families(text)
            if family.name == _NAME
            for sample in family.samples
            if sample.name == f"{_NAME}_total"
        }
    )
