"""``tidemark repartition``: the topics of a deployment copied into others with another number of partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemark.local_stack import settings_here
from tidemark.log_source import KAFKA
from tidemark.replay_window import ending_by_code, run_reading

if TYPE_CHECKING:
    from streams.settings import Settings

_EXIT_GOES_ON = 1


@click.command
@click.option("--from-prefix", "former", required=True, metavar="PREFIX", help='topics.prefix of before; "" for none.')
@ending_by_code
def repartition(*, former: str) -> None:
    """Copy the topics of a deployment into those of this configuration, which has another number of partitions.

    This configuration is that of before, but for topics.partitions, for topics.prefix, and for epoch, which is later.
    Each record goes to the partition that its key has now, once, with its time and headers, in the order that its key
    had. What workers write is not copied: they make it anew.

    Run it while all goes on as before, again until little is left, and a last time when the ingests, executors and apis
    of before have been stopped; then start those of this configuration (docs/operations.md). A run that was ended is
    gone on with by the next one, and one that is started beside another takes its place. Run it as a user who may do
    everything there. Nothing of before is changed or deleted.

    \b
    Exit codes:
        0  all is copied; no ingest or executor of before works, and nobody has written more meanwhile
        1  all that there was is copied, but what is named still works, or was written to: run this again when it is not
        2  nothing was copied: topics, prefix or epoch are not as they should be, the new ones are in use already,
           or brokers have forgotten how far it is
        3  it broke off; the next run goes on from there
       76  another run has taken this one's place
    """  # noqa: D301 - click wants its \b as it is
    settings = settings_here()
    at_work = run_reading(settings, KAFKA, lambda: _repartition(settings, former))
    if at_work:
        click.echo(f"still at work under the prefix {former!r}: {', '.join(at_work)}", err=True)
        raise SystemExit(_EXIT_GOES_ON)


async def _repartition(settings: Settings, former: str) -> list[str]:
    """Copy everything; return which parts of before still beat, and which of its topics have more by now."""
    from streams.kafka.topics import check_topics, topic_names
    from streams.process.clock import SystemClock
    from streams.repartition.copied_topics import copied_topics
    from streams.repartition.copying import copy_left, find_left, opened_target, written_since
    from streams.repartition.former_parts import parts_that_beat
    from streams.replay.kafka_log import KafkaLog
    from tidemark.replay_progress import Progress

    clock = SystemClock()
    log = KafkaLog(settings.bootstrap, {}, clock)
    wanted = copied_topics(settings, former, await topic_names(settings.bootstrap))
    await check_topics(settings.bootstrap, tuple(one.topic for one in wanted))
    beating = await parts_that_beat(settings, former, clock)
    async with opened_target(settings) as target:
        left = [await find_left(target, log, one) for one in wanted]
        for one, spans in zip(wanted, left, strict=True):
            progress = Progress(spans, clock)
            await copy_left(target, log, one, spans, progress.take)
            click.echo(f"{one.topic.name}: {progress.records} records copied from {one.former}")
    read = {place: span for spans in left for place, span in spans.items()}
    return [*beating, *await written_since(settings.bootstrap, read)]
