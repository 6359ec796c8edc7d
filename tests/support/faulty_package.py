"""A package of a venue of which hooks fail, and its accounts beside one of SYMMIO's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tidemark_options import PACKAGE

from models.codec import decode_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import TABLES, VALUATIONS
from models.errors import BadRecord
from models.guarded_venue import GuardedVenue
from models.money import E18
from models.prices import MarkTick
from models.symmio.deployment import SymmioDeployment
from models.symmio.venue import engine_deployment
from models.venue import ValuedWhole
from tests.support.symmio import ALICE, DIAMOND, HEDGER, allocate, block, fee_out, log, send_quote

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = b"coins:7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
OTHER = b"coins:7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K3"
NOW_MS = 1_700_000_005_000
HOOKS = (
    "decode", "fold", "doubt", "read", "read_held", "write", "held", "statement", "events", "exposure", "valuer",
    "value", "view", "account_id", "reference", "undo", "settle",
)  # fmt: skip


class Faulty:
    """Inverse contracts, of which some hooks are broken; ``break_by`` says by which fault one is, if by any."""

    def __init__(self) -> None:
        self.break_by: Callable[[str], Callable[..., Any] | None] = lambda _hook: None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it is
        own = _valued_by(self) if name == "valuer" else getattr(PACKAGE.venue, name)
        if name not in HOOKS:
            return own

        def asked(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as the hook has them
            fault = self.break_by(name)
            return own(*arguments, **named) if fault is None else fault(*arguments, **named)

        return asked


def _valued_by(faulty: Faulty) -> Callable[..., ValuedWhole]:
    return lambda held, term: ValuedWhole(faulty, held, term)


def raises(error: BaseException) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> object:
        raise error

    return raising


def gives(given: object) -> Callable[..., Any]:
    return lambda *_, **__: given


def sources(name: str) -> tuple[PriceSource, ...]:
    return (PriceSource(f"venue:{name}".encode(), 10**15),) if name else ()


class World:
    """Accounts of a package that fails, and one of SYMMIO beside them."""

    def __init__(self, faulty: Faulty | None = None) -> None:
        self.faulty = faulty or Faulty()
        self.faults: list[tuple[str, str]] = []
        venue: Any = GuardedVenue(self.faulty, lambda _kind, hook, error: self.faults.append((hook, repr(error))))
        self.venue = venue
        self._deployments = {
            "coins": EngineDeployment(venue, None, sources),
            "main": engine_deployment(SymmioDeployment(DIAMOND), sources),
        }
        self.engine = Engine(self._deployments)
        self._offset = 0
        self._tick = 0
        # What a coin is worth: a dollar, so that figures are what they are in coins.
        self.tick("XBTUSD", "1")

    def say(self, *records: dict[str, Any], key: bytes = KEY) -> None:
        for record in records:
            position = self._offset, -1
            self._offset += 1
            try:
                decoded = self.venue.decode(json.dumps(record).encode(), position)
            except BadRecord as error:
                self.engine.refused.append(str(error))
                continue
            self.engine.account_record(key, decoded, NOW_MS)
        self.engine.fold("inverse")

    def tick(self, market: str, price: str) -> None:
        self._tick += 1
        at_ms = NOW_MS + self._tick
        self.engine.tick(MarkTick("venue", market, at_ms, at_ms, price, None, None, None), self._tick)

    def chain(self) -> None:
        """Let SYMMIO's account open a position."""
        for offset, record in enumerate(
            (
                block(1, [log("AddSymbol", 1, "BTC", 1, 2, 3, 4, 14_400, 420)], [allocate(1_000 * E18)]),
                block(2, [fee_out(0), send_quote(7)]),
                block(3, [log("LockQuote", HEDGER, 7), log("OpenPosition", 7, ALICE, HEDGER, 10 * E18, 100 * E18)]),
            )
        ):
            self.engine.raw("main", record, offset, NOW_MS)

    def restart(self) -> None:
        """Have a new worker read the rows."""
        self.engine = Engine(self._deployments, self.engine.tables)

    def value(self) -> None:
        self.engine.value(NOW_MS)

    def body(self, key: bytes = KEY, table: str = VALUATIONS) -> dict[str, Any]:
        row = self.engine.tables.read(table, key)
        assert row is not None
        return decode_row(row).body

    def status(self, key: bytes) -> str:
        """The status of an account's valuation, ``absent`` where it has none."""
        row = self.engine.tables.read(VALUATIONS, key)
        return "absent" if row is None else str(decode_row(row).body["status"])

    def of_symmio(self) -> list[tuple[str, bytes, bytes]]:
        """Every row that is SYMMIO's."""
        tables = self.engine.tables
        return [(table, key, row) for table in TABLES for key, row in sorted(tables.items(table)) if b"main" in key]


def altered(world: World, hook: str, change: Callable[[Any], Any]) -> None:
    """Have a hook give what a change makes of its answer."""
    own = getattr(PACKAGE.venue, hook)
    world.faulty.break_by = lambda asked: (
        (lambda *arguments, **named: change(own(*arguments, **named))) if asked == hook else None
    )


def paid(amount: str) -> dict[str, Any]:
    return {"kind": "paid", "time_ms": NOW_MS, "wallet": "main", "amount": amount}


def opened(size: str) -> dict[str, Any]:
    return {"kind": "position", "time_ms": NOW_MS, "id": "9", "market": "BTCUSD", "size": size, "entry": "50"}


WHOLE = {
    "kind": "whole",
    "time_ms": NOW_MS,
    "wallets": {"main": "3"},
    "orders": {},
    "positions": {"9": {"market": "BTCUSD", "size": "500", "entry": "50"}},
}


def play(world: World) -> None:
    """Records of both venues, ticks of both markets, and a worker that starts anew in their midst."""
    world.say(paid("2"), opened("500"))
    world.chain()
    world.tick("BTCUSD", "90")
    world.tick("BTC", "110")
    world.value()
    world.say(paid("1"))
    world.say(paid("1"), key=OTHER)
    world.tick("BTCUSD", "100")
    world.value()
    world.restart()
    world.tick("BTCUSD", "101")
    world.tick("BTC", "120")
    world.value()
    world.say(paid("1"), opened("600"))
    world.value()


def heal(world: World) -> None:
    """The package is mended, workers start anew, and the venue says the account as a whole."""
    world.faulty.break_by = lambda _hook: None
    world.restart()
    world.say(WHOLE)
    world.tick("BTCUSD", "100")
    world.value()
