"""A ledger told into a log: its records, settings and prices, and the engine beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from models.codec import decode_row
from models.engine.in_memory import Engine
from models.engine.tables import VALUATIONS
from models.ids import mark_key
from models.ledger.ledger_venue import LEDGER, LEDGER_EVENTS, LEDGER_SETTINGS
from models.prices import MarkTick, encode_tick
from streams.kafka.partitions import partition_of
from streams.kafka.topics import PRICE_TICKS, changelog_name, topic_name
from streams.replay.bounded_log import Held, LogRecord, Place
from streams.settings import Settings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from streams.settings.venues import engine_deployments
from tests.support.ledger import inputs, position, record, wallet
from tests.support.listed_log import ListedLog

if TYPE_CHECKING:
    from collections.abc import Callable

START_MS = 1_700_000_000_000
PERP = "tBTCF0:USTF0"
PARTITIONS = 4
PRICES = {"tBTCUSD": "120", PERP: "110", "tUSTUSD": "0.99"}
ANN, BOB = "ann", "bob"


class Desk:
    """A ledger whose records, settings and prices go into a log and an engine alike, a second apart."""

    def __init__(self) -> None:
        one = LedgerDeploymentSettings(default_sources=("binance-futures",), default_max_age_ms=10**12)
        self.settings = Settings(deployments={"desk": one}, topics={"partitions": PARTITIONS})  # type: ignore[arg-type]
        self.engine = Engine(engine_deployments(self.settings.deployments))
        self.records: list[LogRecord] = []
        self.now_ms = START_MS
        self._next: dict[Place, int] = {}

    def restart(self) -> Desk:
        """Have a new worker read the rows."""
        self.engine = Engine(engine_deployments(self.settings.deployments), self.engine.tables)
        return self

    def write(self, topic: str, key: bytes, value: bytes) -> LogRecord:
        self.now_ms += 1_000
        place = Place(topic_name(self.settings, topic), partition_of(key, PARTITIONS))
        offset = self._next[place] = self._next.get(place, -1) + 1
        self.records.append(LogRecord(self.now_ms, *place, offset, key, value))
        return self.records[-1]

    def say(self, account: str, value: bytes) -> Desk:
        one = self.write(LEDGER_EVENTS, f"desk:{account}".encode(), value)
        self.engine.account_record(one.key or b"", LEDGER.decode(value, (one.offset, -1)), self.now_ms)
        self.engine.fold("ledger")
        return self

    def set(self, fee: str) -> Desk:
        for name, value in inputs(PRICES, paths={"USTF0": ["tUSTUSD"]}, fee=fee).settings.items():
            one = self.write(LEDGER_SETTINGS, f"desk:{name}".encode(), msgspec.json.encode(value))
            self.engine.reference(one.key or b"", one.value or b"", one.offset, one.partition)
        return self

    def tick(self, market: str, price: str) -> Desk:
        tick = MarkTick("binance-futures", market, self.now_ms, self.now_ms, price, None, None, None)
        one = self.write(PRICE_TICKS, mark_key("binance-futures", market), encode_tick(tick))
        self.engine.tick(tick, one.offset)
        return self

    def row(self, account: str) -> dict[str, Any]:
        self.engine.value(self.now_ms)
        row = self.engine.tables.read(VALUATIONS, f"desk:{account}".encode())
        assert row is not None
        return decode_row(row).body

    def log(self, *, without: Callable[[LogRecord], bool] = lambda _: False) -> ListedLog:
        self.engine.value(self.now_ms)
        changelog = changelog_name(self.settings, VALUATIONS)
        rows = [
            LogRecord(self.now_ms, changelog, 0, offset, key, value)
            for offset, (key, value) in enumerate(self.engine.tables.items(VALUATIONS))
        ]
        records = [*(one for one in self.records if not without(one)), *rows]
        topics = [*(topic_name(self.settings, one) for one in (LEDGER_EVENTS, LEDGER_SETTINGS, PRICE_TICKS)), changelog]
        held = {Place(topic, number): Held(0, 0, None) for topic in topics for number in range(PARTITIONS)}
        for one in [*self.records, *rows]:
            held[one.place] = Held(0, one.offset + 1, None)
        return ListedLog(records, held)


def desk() -> Desk:
    world = Desk()
    for name in (ANN, BOB):
        world.say(name, record("account_opened", 1, owner=name)).say(
            name, record("wallet_set", 2, wallet=wallet("50", "USTF0"))
        )
    world.set("0.002").tick("tUSTUSD", "0.99").tick(PERP, "110")
    return world.say(ANN, record("position_set", 3, position=position("0.5", "100", PERP, type="derivative")))
