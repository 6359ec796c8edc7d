"""Whether every part beats, every venue is installed, clocks agree, and workers keep up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from models.findings import Finding, Verdict, fine
from models.freshness import HISTORY_MS
from models.heartbeats import HISTORY_KEY, HistoryBeat, PricesBeat, WorkerBeat, prices_key, worker_key
from streams.kafka.admin import opened_admin
from streams.kafka.committed import read_committed
from streams.kafka.ends import true_spans
from streams.replicas.heartbeat_reader import HeartbeatReader, Heartbeats
from streams.settings.venues import missing_venues

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from streams.process.clock import Clock
    from streams.replicas.heartbeat_reader import Heard
    from streams.settings import Settings

# A heartbeat takes some ms from its process to us. What is further ahead was written by another clock.
_CLOCKS_DIFFER_MS = 1_000
# A worker takes 10,000 records and more a second (bench/BENCHMARKS.md): so many wait for a second.
_LAG_RECORDS = 10_000


async def check_parts(settings: Settings, clock: Clock, parts: Iterable[str]) -> list[Finding]:
    """Look who beats.

    Args:
        settings: Name the broker and the bounds.
        clock: Tells the instant.
        parts: The keys of what venues need besides, such as the ingest of a chain.

    Raises:
        KafkaError: The broker cannot be reached.
        TopicMissing: There are no heartbeats.
    """
    heartbeats = Heartbeats()
    reader = HeartbeatReader(settings, heartbeats, clock)
    await reader.start()
    try:
        await reader.wait_ready()
    finally:
        await reader.stop()
    workers = [worker_key(partition) for partition in range(settings.topics.partitions)]
    wanted = [*workers, *map(prices_key, settings.sources), *parts]
    now_ms, bound_ms = clock.now_ms(), round(settings.api.freshness.process_s * 1_000)
    return [
        *_beating(wanted, heartbeats.newest, now_ms, bound_ms),
        *_venues(settings, heartbeats.newest),
        *(_source(name, heartbeats.newest, now_ms, settings.fresh_ms_of(name)) for name in settings.sources),
        _history(heartbeats.newest, now_ms, bound_ms),
        _clocks(heartbeats.newest, now_ms),
    ]


def _beating(wanted: Iterable[str], heard: Mapping[str, Heard], now_ms: int, bound_ms: int) -> Iterator[Finding]:
    silent = [key for key in wanted if key not in heard or now_ms - heard[key].beat.at_ms > bound_ms]
    if silent:
        found = f"nobody keeps these fresh: {', '.join(silent)}"
        yield Finding("parts", Verdict.WRONG, found, "start them, or read their last log line and exit code")
    else:
        yield fine("parts", "worker of every partition, ingest of every source and chain: all beat")


def _venues(settings: Settings, heard: Mapping[str, Heard]) -> Iterator[Finding]:
    """Judge whether the venue of each deployment is installed, here and where its accounts are folded."""
    missing = missing_venues(settings.deployments)
    workers = [(key, one.beat) for key, one in heard.items() if isinstance(one.beat, WorkerBeat)]
    for name, one in settings.deployments.items():
        check = f"venue of {name}"
        lacking = [key for key, beat in workers if beat.folds is not None and name not in beat.folds]
        if lacking:
            found = f"these do not fold its accounts: {', '.join(lacking)}"
            to_do = f"install the package of kind {one.kind!r} where they run, and give them this configuration"
            yield Finding(check, Verdict.WRONG, found, to_do)
        elif name in missing:
            yield Finding(check, Verdict.WRONG, missing[name], "install it in every process that this configures")
        else:
            yield fine(check, f"{one.kind} is installed")


def _source(name: str, heard: Mapping[str, Heard], now_ms: int, bound_ms: int) -> Finding:
    """Judge a source by what its ingest hears: that counts, and not whether it would answer this machine."""
    check, one = f"source {name}", heard.get(prices_key(name))
    if one is None or not isinstance(one.beat, PricesBeat):
        return Finding(
            check, Verdict.UNKNOWN, "it has no ingest that would say", f"run `tidemark ingest prices {name}`"
        )
    silent_ms = now_ms - one.beat.heard_ms
    if one.beat.heard_ms and silent_ms <= bound_ms:
        return fine(check, f"it sent a price {max(0, silent_ms) / 1_000:.1f} s ago")
    found = f"it sent no price for {silent_ms / 1_000:.0f} s" if one.beat.heard_ms else "it has sent no price"
    to_do = "read the log of its ingest: the exchange may be down, or refuse this address or symbol"
    return Finding(check, Verdict.WRONG, found, to_do)


def _history(heard: Mapping[str, Heard], now_ms: int, bound_ms: int) -> Finding:
    """Judge who keeps history by its word: no figure depends on it, but without it charts have no past."""
    check, one = "history", heard.get(HISTORY_KEY)
    if one is None or not isinstance(one.beat, HistoryBeat):
        # Nobody has to: a deployment without it is as it should be.
        found = "nobody has kept how figures went, so charts have no past"
        return Finding(check, Verdict.FINE, found, "start `tidemark history` if they are to have one")
    silent_ms, behind_ms = now_ms - one.beat.at_ms, now_ms - one.beat.in_step_ms
    if silent_ms > bound_ms:
        found = f"nobody has kept how figures went for {silent_ms / 1_000:.0f} s"
        return Finding(check, Verdict.WARNING, found, "start `tidemark history`, or read its last log line")
    if behind_ms <= HISTORY_MS:
        return fine(check, "all that was shown is kept")
    found = f"{one.beat.process} has not read all that was shown"
    found += f" for {behind_ms / 1_000:.0f} s" if one.beat.in_step_ms else " since its start"
    return Finding(check, Verdict.WARNING, found, "wait for it, or see docs/runbooks/history-stale.md")


def _clocks(heard: Mapping[str, Heard], now_ms: int) -> Finding:
    ahead = {
        one.beat.process: one.beat.at_ms - now_ms
        for one in heard.values()
        if one.beat.at_ms - now_ms > _CLOCKS_DIFFER_MS
    }
    if not ahead:
        return fine("clocks", "no process is ahead of this machine")
    found = ", ".join(f"{process} is {ms / 1_000:.1f} s ahead of this machine" for process, ms in ahead.items())
    return Finding("clocks", Verdict.WRONG, found, "let the time service (NTP) of both machines work")


async def check_lag(settings: Settings) -> Finding:
    """Look how far the workers' group is behind.

    Raises:
        KafkaError: The broker cannot be reached, or refuses to tell.
    """
    async with opened_admin(settings.bootstrap) as admin:
        committed = await read_committed(admin, settings.app_id)
    if not committed:
        found = f"group {settings.app_id} has committed nothing yet"
        return Finding("lag", Verdict.WARNING, found, "start a worker, or wait for its first records")
    # Of a partition of which nothing is committed everything waits.
    topics = sorted({tp.topic for tp in committed})
    every = [TopicPartition(topic, partition) for topic in topics for partition in range(settings.topics.partitions)]
    lag = dict.fromkeys(topics, 0)
    for tp, span in (await true_spans(settings.bootstrap, every)).items():
        lag[tp.topic] += max(0, span.stop - (committed[tp].offset if tp in committed else span.start))
    said = ", ".join(f"{topic} {records}" for topic, records in sorted(lag.items()))
    if max(lag.values()) <= _LAG_RECORDS:
        return fine("lag", f"records that wait: {said}")
    return Finding("lag", Verdict.WARNING, f"records that wait: {said}", "see docs/operations.md; add workers")
