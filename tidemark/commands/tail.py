"""``tidemark tail``: what is written to topics, as it comes."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from tidemark.replay_window import ending_by_code

if TYPE_CHECKING:
    from streams.settings import Settings


@click.command
@click.argument("topics", nargs=-1, required=True, metavar="TOPIC…")
@click.option("--from", "since", metavar="TIME", default="now", show_default=True, help="Begin here: -15m, or a time.")
@click.option("--key", "keys", multiple=True, help="Only records of this key; NAME* for all keys that begin so.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many records.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@ending_by_code
def tail(*, topics: tuple[str, ...], since: str, keys: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Print the records of TOPICs as they are written, until Ctrl-C or --limit, decoded as `tidemark records` does.

    Records come as the broker hands them out; only of one partition their order is that of the log.

    \b
    Exit codes:
        0  it was ended
        2  nothing was read: the beginning is out of retention, or a topic or Kafka is missing
        3  it broke off: the log changed, or the broker stopped
    \b
        tidemark tail valuations --key 'demo:*' --json | jq .value.upnl
    """  # noqa: D301 - click wants its \b as it is
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.local_stack import settings_here
    from tidemark.running import run_until_stopped

    settings = settings_here()
    with naming_the_broker(require_broker(settings.bootstrap)):
        run_until_stopped(_follow(settings, topics, since, keys=keys, limit=limit, as_json=as_json))


async def _follow(
    settings: Settings, topics: tuple[str, ...], since: str, *, keys: tuple[str, ...], limit: int | None, as_json: bool
) -> None:
    from streams.process.clock import SystemClock
    from streams.replay.kafka_log import KafkaLog
    from streams.replay.key_filter import KeyFilter
    from streams.replay.log_window import read_instant, resolve_times
    from streams.replay.named_topics import changelogs, find_topic, kept_at_least
    from streams.replay.shown_records import json_line, text_line

    clock = SystemClock()
    log = KafkaLog(settings.bootstrap, kept_at_least(settings), clock)
    names = tuple(dict.fromkeys(find_topic(settings, one) for one in topics))
    since_ms = read_instant(since, clock.now_ms())
    window = await resolve_times(log, names, since_ms, None)
    line, of_rows, wanted, printed = json_line if as_json else text_line, changelogs(settings), KeyFilter(keys), 0
    async with aclosing(log.follow({place: span.begin for place, span in window.items()})) as batches:
        async for records in batches:
            for record in records:
                if not wanted.takes(record.key):
                    continue
                click.echo(line(record, of_rows))
                printed += 1
                if printed == limit:
                    return
