"""bytewax: Kafka in, state by key, Kafka out; the changelog is a topic it writes, one record for each key and batch.

Its own recovery is not Kafka but SQLite files and is left off. It says nothing when it is done but returning, which it
does at the end of the topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Installed where this runs, in an environment of its own, and not where it is checked.
import bytewax.operators as op  # type: ignore[import-not-found]
import orjson
from bytewax._bytewax import cli_main  # type: ignore[import-not-found]
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource  # type: ignore[import-not-found]
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition  # type: ignore[import-not-found]

from bench.peers.job import Clock, Job, Row, folder, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# Ten times the default: each key's events of a batch are folded in one call.
_BATCH_RECORDS = 10_000


class Fold(StatefulBatchLogic):  # type: ignore[misc]
    """Folds the events of one key."""

    def __init__(self, job: Job, clock: Clock, row: Row | None) -> None:
        self._fold = folder(job)
        self._clock = clock
        self._row = row

    def on_batch(self, values: list[dict[str, Any]]) -> tuple[Iterable[Row | None], bool]:
        """Fold them all, emit the row once."""
        for event in values:
            self._row = self._fold(self._row, event)
        self._clock.did(len(values))
        return (self._row,), StatefulBatchLogic.RETAIN

    def snapshot(self) -> Row | None:
        """The row."""
        return self._row


class Counting(StatelessSinkPartition):  # type: ignore[misc]
    """Counts what it is given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def write_batch(self, items: list[Any]) -> None:
        """Count them."""
        self._clock.did(len(items))


class CountingSink(DynamicSink):  # type: ignore[misc]
    """The sink a flow must have."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def build(self, *_: object) -> Counting:
        """The only worker's part."""
        return Counting(self._clock)


def run(job: Job) -> None:
    """Read the topic to its end."""
    clock = Clock(job)
    flow = Dataflow("peer")
    source = KafkaSource([job.bootstrap], [job.topic], tail=False, batch_size=_BATCH_RECORDS)
    messages = op.input("events", flow, source)

    def decode(message: Any) -> Any:  # noqa: ANN401
        clock.begin()
        return orjson.loads(message.value)

    def keyed(message: Any) -> tuple[str, Any]:  # noqa: ANN401
        event = decode(message)
        return key_of(job, event), event

    def record(item: tuple[str, Row]) -> Any:  # noqa: ANN401
        return KafkaSinkMessage(item[0].encode(), orjson.dumps(item[1]))

    if job.workload == "decode":
        decoded = op.map("decode", messages, decode)
        op.output("count", decoded, CountingSink(clock))
    else:
        rows = op.stateful_batch("fold", op.map("key", messages, keyed), lambda row: Fold(job, clock, row))
        kop.output("changelog", op.map("record", rows, record), brokers=[job.bootstrap], topic=job.changelog)
    cli_main(flow)
    clock.end(job.changelog)


if __name__ == "__main__":
    run(Job.from_arguments())
