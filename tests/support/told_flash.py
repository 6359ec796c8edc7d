"""A deployment of Flash told into a log and an engine alike, a second apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.codec import decode_row
from models.engine.in_memory import Engine
from models.engine.tables import VALUATIONS
from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from models.flash.flash_venue import FLASH
from models.ids import mark_key
from models.prices import MarkTick, OracleSaid, encode_tick
from streams.kafka.partitions import partition_of
from streams.kafka.topics import PRICE_TICKS, changelog_name, topic_name
from streams.replay.bounded_log import Held, LogRecord, Place
from streams.settings import Settings
from streams.settings.flash.flash_settings import FlashSettings
from streams.settings.venues import engine_deployments
from tests.support.flash import BTC_LONG, NOW_MS, OWNER, SOL_LONG, SOL_SHORT, basket, position, references, said
from tests.support.listed_log import ListedLog

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTITIONS = 4
TOPICS = (FLASH_ACCOUNTS, FLASH_REFERENCES, PRICE_TICKS)


class ToldFlash:
    """A deployment of Flash whose records and prices go into a log and an engine alike, a second apart."""

    def __init__(self, max_age_ms: int = 10**12) -> None:
        one = FlashSettings(default_max_age_ms=max_age_ms)
        self.settings = Settings(deployments={"flash": one}, topics={"partitions": PARTITIONS})  # type: ignore[arg-type]
        self.engine = Engine(engine_deployments(self.settings.deployments))
        self.records: list[LogRecord] = []
        self.now_ms = NOW_MS
        self._next: dict[Place, int] = {}

    def write(self, topic: str, key: bytes, value: bytes) -> LogRecord:
        self.now_ms += 1_000
        place = self.place(topic_name(self.settings, topic), key)
        offset = self._next[place] = self._next.get(place, -1) + 1
        self.records.append(LogRecord(self.now_ms, *place, offset, key, value))
        return self.records[-1]

    def place(self, topic: str, key: bytes) -> Place:
        """Where records of a key stand in a topic, by its full name."""
        return Place(topic, partition_of(key, PARTITIONS))

    def refer(self, said_references: Mapping[str, bytes]) -> ToldFlash:
        for name, value in said_references.items():
            one = self.write(FLASH_REFERENCES, f"flash:{name}".encode(), value)
            self.engine.reference(one.key or b"", value, one.offset, one.partition)
        return self

    def say(self, value: bytes) -> ToldFlash:
        one = self.write(FLASH_ACCOUNTS, f"flash:{OWNER}".encode(), value)
        self.engine.account_record(one.key or b"", FLASH.decode(value, (one.offset, -1)), self.now_ms)
        self.engine.fold("flash")
        return self

    def tick(self, symbol: str, price: str, average: str | None = None) -> ToldFlash:
        oracle = OracleSaid(-8, average or price, "0.5", "regular")
        tick = MarkTick("flash-oracle", symbol, self.now_ms, self.now_ms, price, None, None, None, oracle=oracle)
        one = self.write(PRICE_TICKS, mark_key("flash-oracle", symbol), encode_tick(tick))
        self.engine.tick(tick, one.offset)
        return self

    def row(self) -> dict[str, Any]:
        self.engine.value(self.now_ms)
        row = self.engine.tables.read(VALUATIONS, f"flash:{OWNER}".encode())
        assert row is not None
        return decode_row(row).body

    def log(self) -> ListedLog:
        self.engine.value(self.now_ms)
        changelog = changelog_name(self.settings, VALUATIONS)
        rows = [
            LogRecord(self.now_ms, changelog, 0, offset, key, value)
            for offset, (key, value) in enumerate(self.engine.tables.items(VALUATIONS))
        ]
        topics = [*(topic_name(self.settings, one) for one in TOPICS), changelog]
        held = {Place(topic, number): Held(0, 0, None) for topic in topics for number in range(PARTITIONS)}
        for one in [*self.records, *rows]:
            held[one.place] = Held(0, one.offset + 1, None)
        return ListedLog([*self.records, *rows], held)


def told_flash(max_age_ms: int = 10**12) -> ToldFlash:
    world = ToldFlash(max_age_ms).refer(references()).tick("SOL", "150", "149").tick("USDC", "1").tick("BTC", "60000")
    return world.say(said(basket(position(SOL_LONG), position(SOL_SHORT), position(BTC_LONG, "60000", "0.1"))))
