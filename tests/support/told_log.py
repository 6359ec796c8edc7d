"""A chain with prices told into a log as ingest writes it, and the rows that stood at instants on the way."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from models.chain_records import encode_chain_record
from models.codec import decode_row
from models.engine.in_memory import Engine
from models.engine.tables import VALUATIONS
from models.ids import mark_key
from models.prices import MarkTick, encode_tick
from streams.kafka.partitions import partition_of
from streams.kafka.topics import PRICE_TICKS, changelog_name, topic_name
from streams.replay.bounded_log import Held, LogRecord, Place
from streams.settings import Settings
from streams.settings.venues import engine_deployments
from tests.support.listed_log import ListedLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.chain_records import ChainRecord
    from streams.settings import SymmioSettings

START_MS = 1_745_000_000_000
PARTITIONS = 4
MAX_AGE_MS = 5_000


class Story(NamedTuple):
    """A log, the rows that stood at instants (by instant and key), and how far the raw topic was folded then."""

    settings: Settings
    records: list[LogRecord]
    shown: dict[tuple[int, bytes], dict[str, Any]]
    folded: dict[int, int]
    last: dict[bytes, bytes]

    def log(self, records: Sequence[LogRecord] | None = None, last: Mapping[bytes, bytes] | None = None) -> ListedLog:
        """The log with the last rows in the changelog; all partitions are there."""
        changelog = changelog_name(self.settings, VALUATIONS)
        rows = [
            LogRecord(START_MS, changelog, 0, offset, key, value)
            for offset, (key, value) in enumerate((self.last if last is None else last).items())
        ]
        of_log = [*(self.records if records is None else records), *rows]
        held = {
            Place(topic, number): Held(0, 0, None)
            for topic in (topic_name(self.settings, PRICE_TICKS), topic_name(self.settings, "chain-blocks"), changelog)
            for number in range(PARTITIONS)
        }
        for one in of_log:
            held[one.place] = Held(0, max(held[one.place].end, one.offset + 1), None)
        return ListedLog(of_log, held)


def tell(
    name: str,
    deployments: Mapping[str, SymmioSettings],
    chain: Sequence[ChainRecord],
    symbol: str,
    start_ms: int = START_MS,
) -> Story:
    """Write a chain with a price now and then into a log, and value after some records as a worker would."""
    aged = {key: one.model_copy(update={"default_max_age_ms": MAX_AGE_MS}) for key, one in deployments.items()}
    settings = Settings(deployments=aged, topics={"partitions": PARTITIONS, "prefix": "p-"})  # type: ignore[arg-type]
    engine, draws, now_ms = Engine(engine_deployments(aged)), random.Random(11), start_ms
    raw = Place(topic_name(settings, "chain-blocks"), partition_of(name.encode(), PARTITIONS))
    tick_key = mark_key("binance-futures", symbol)
    ticks = Place(topic_name(settings, PRICE_TICKS), partition_of(tick_key, PARTITIONS))
    records: list[LogRecord] = []
    shown: dict[tuple[int, bytes], dict[str, Any]] = {}
    folded: dict[int, int] = {}
    at_tick = 0
    for offset, record in enumerate(chain):
        now_ms += draws.choice((100, 1_000, 6_000))
        records.append(LogRecord(now_ms, *raw, offset, name.encode(), encode_chain_record(record)))
        engine.raw(name, record, offset, now_ms)
        if offset > len(chain) // 10 and draws.random() < 0.5:
            price = f"{draws.randint(50_000, 120_000)}.{draws.randint(0, 99):02}"
            tick = MarkTick("binance-futures", symbol, now_ms, now_ms, price, None, None, None)
            records.append(LogRecord(now_ms, *ticks, at_tick, tick_key, encode_tick(tick)))
            engine.tick(tick, at_tick)
            at_tick += 1
        # A worker looks each second.
        engine.choose(now_ms)
        if offset % 7 == 0:
            engine.value(now_ms)
            folded[now_ms] = offset
            for key, row in engine.tables.items(VALUATIONS):
                shown[now_ms, key] = decode_row(row).body
    engine.value(now_ms)
    return Story(settings, records, shown, folded, dict(engine.tables.items(VALUATIONS)))
