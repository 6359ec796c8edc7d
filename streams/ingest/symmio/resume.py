"""Reading, after a start, how far a deployment's topic already reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, Watermark
from streams.ingest.symmio.tail import Tail
from streams.ingest.symmio.topic_records import opened_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import ChainRecord
    from streams.settings import Settings
    from streams.settings.kafka_client import Bootstrap

# Enough for a finality depth of blocks and for the records of other deployments between them.
_FIRST_WINDOW_RECORDS = 500


async def read_tail(settings: Settings, bootstrap: Bootstrap, deployment: str) -> Tail:
    """Read the deployment's partition of ``chain-blocks`` from its end, as far back as needed.

    Args:
        settings: Name the topic.
        bootstrap: How the cluster is reached.
        deployment: The deployment's name, which is the key of its records.

    Raises:
        TopicMissing: There is no such topic.
        BadRecord: A record under the deployment's key is not one of ``chain-blocks``.
    """
    async with opened_records(settings, bootstrap, deployment) as topic:
        window = _FIRST_WINDOW_RECORDS
        while True:
            start = max(topic.begin, topic.end - window)
            records = [record async for record in topic.since(start)]
            if start == topic.begin or _is_enough(records):
                return _fold(records)
            window *= 4


def _is_enough(records: Sequence[ChainRecord]) -> bool:
    """Whether earlier records cannot matter, because these reach back to the last final block that they name."""
    final = max((record.final for record in records if isinstance(record, Watermark)), default=None)
    # A repair's checkpoint may be anywhere in the topic: it does not tell how far back the records reach.
    heights = [_height(record) for record in records if not isinstance(record, Checkpoint)]
    return final is not None and min(heights) <= final


def _height(record: ChainRecord) -> int:
    match record:
        case Block():
            return record.number
        case Watermark():
            return record.head
        case Rollback():
            return record.ancestor
        case Join() | Joined() | Checkpoint():
            return record.block
        case _:
            assert_never(record)


def _fold(records: Sequence[ChainRecord]) -> Tail:
    tail = Tail()
    for record in records:
        tail.apply(record)
    return tail
