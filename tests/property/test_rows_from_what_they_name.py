"""Every row that names what it was made from is made anew from that, for every venue, and is the same to the byte.

Histories are random: records, marks that move, become stale and are unpriced, references that change. Of the log only
the records are read that a row names: its account's up to a position, ticks and references at their offsets.
"""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from tidemark_desk import PACKAGE as DESK
from tidemark_options import PACKAGE as INVERSE
from tidemark_paper import PACKAGE as PAPER

from models.account_events import Transaction
from models.codec import ORDER_BYTES, decode_row, encode_body
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import PARTITION, Engine
from models.engine.tables import ALERTS, MARKETS, POSITION_STATES, SUBTOTALS, VALUATIONS
from models.flash.flash_venue import FLASH
from models.guarded_venue import GuardedVenue
from models.ids import account_key, market_key, split_key
from models.ledger.ledger_venue import LEDGER
from models.position_states import EMPTY
from models.prices import MarkTick, OracleSaid, UsedMark, mark_of, used_mark
from models.provenance import MADE_FROM, join_provenance, named_marks, with_inputs
from models.references import UsedReference, read_reference
from models.subtotals import Subtotals
from models.symmio.chain_states import states_of
from models.symmio.deployment import SymmioDeployment
from models.symmio.engine_states import encode_engine_state
from models.symmio.position_states import CHAIN, ENGINE, with_engine_state
from models.symmio.venue import engine_deployment
from models.valuations import UNSUPPORTED
from models.venue import ToldAt
from tests.support import flash, ledger
from tests.support.positions import engine_state
from tests.support.symmio import ALICE, BOB, DIAMOND, E18, HEDGER, allocate, allocate_b, block, fee_out, log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from models.chain_records import ChainRecord, RawLog
    from models.prices import PriceTick
    from models.symmio.engine_states import EngineState

NAME = "main"
MAX_AGE_MS = 5_000
START_MS = flash.NOW_MS
SEEDS = range(6)


def sources(name: str) -> tuple[PriceSource, ...]:
    return (PriceSource(f"venue:{name}".encode(), MAX_AGE_MS),) if name else ()


class Shape(NamedTuple):
    """A venue as a random history has it.

    ``record`` makes a record of an account and its key, ``first`` a record before all, of a chain if it is one.
    ``markets`` are the names of marks with prices that they go between, ``said`` the references by name. ``tells`` says
    what an engine tells of an account, where one does.
    """

    deployment: EngineDeployment
    first: Sequence[Any]
    record: Callable[[Random, int], tuple[bytes, Any]]
    markets: Mapping[str, tuple[float, float]]
    said: Mapping[str, Sequence[bytes]]
    oracle: OracleSaid | msgspec.UnsetType = msgspec.UNSET
    tells: Callable[[Random], tuple[bytes, EngineState]] | None = None

    @property
    def venue(self) -> Any:  # noqa: ANN401 - it is the venue's own
        return self.deployment.venue


class Told(NamedTuple):
    """A raw record at its offset: of a key, or of a chain where that is empty."""

    key: bytes
    record: Any


class History:
    """A deployment as it is folded and valued, with its log and every row in the order in which they were written."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape = shape
        self.raw: list[Told] = []
        self.ticks: dict[tuple[str, int], PriceTick] = {}
        self.said: dict[int, tuple[str, bytes]] = {}
        self.told: list[tuple[bytes, EngineState]] = []
        self.rows: list[tuple[str, bytes, bytes]] = []
        self._draws, self._now_ms = Random(seed), START_MS
        self.engine = Engine({NAME: shape.deployment})
        self.engine.tables.listen(lambda *row: self.rows.append(row))
        for record in shape.first:
            self._tell(Told(b"", record))
        for name, values in shape.said.items():
            self._refer(name, values[0])
        for _ in range(40):
            self._step()

    def of(self, table: str) -> Iterator[tuple[bytes, dict[str, Any], bytes]]:
        """Key and body of every row of a table that there ever was, and the body as it was encoded."""
        return ((key, decode_row(row).body, row[ORDER_BYTES:]) for of, key, row in self.rows if of == table)

    def _step(self) -> None:
        draws = self._draws
        self._now_ms += draws.choice((100, 1_000, 1_000, 6_000))
        if draws.random() < 0.3:
            self._tell(Told(*self.shape.record(draws, len(self.raw))))
        if self.shape.tells is not None and draws.random() < 0.4:
            self._told_by_engine(*self.shape.tells(draws))
        for name, between in self.shape.markets.items():
            if draws.random() < 0.5:
                self._price(name, f"{draws.uniform(*between):.4f}")
        if self.shape.said and draws.random() < 0.2:
            name = draws.choice(list(self.shape.said))
            self._refer(name, draws.choice(self.shape.said[name]))
        if draws.random() < 0.7:
            self.engine.value(self._now_ms)

    def _tell(self, told: Told) -> None:
        tell(self.engine, self.shape, told, len(self.raw), self._now_ms)
        self.raw.append(told)

    def _told_by_engine(self, key: bytes, state: EngineState) -> None:
        told_at = ToldAt(PARTITION, len(self.told), self._now_ms)
        self.told.append((key, state))
        self.engine.told(key, encode_engine_state(state), told_at, self._now_ms)

    def _price(self, name: str, price: str) -> None:
        offset = len(self.ticks)
        tick = MarkTick("venue", name, self._now_ms, self._now_ms, price, None, None, None, oracle=self.shape.oracle)
        self.ticks[f"venue:{name}", offset] = tick
        self.engine.tick(tick, offset)

    def _refer(self, name: str, value: bytes) -> None:
        offset = len(self.said)
        self.said[offset] = name, value
        self.engine.reference(f"{NAME}:{name}".encode(), value, offset)


def tell(engine: Engine, shape: Shape, told: Told, offset: int, now_ms: int) -> None:
    """Fold a raw record."""
    if not told.key:
        engine.raw(NAME, told.record, offset, now_ms)
        return
    engine.account_record(told.key, shape.venue.decode(told.record, (offset, -1)), now_ms)
    engine.fold(shape.venue.kind)


class Named:
    """The inputs that a row names, and no others."""

    def __init__(self, history: History, made: Mapping[str, Any], market_name: Callable[[int | str], str]) -> None:
        self._history = history
        self._market_name = market_name
        self._marks, self._stale = made["marks"], made.get("stale", ())
        self._references = made.get("references", {})

    def mark(self, market: int | str, /) -> UsedMark | None:
        for source in sources(self._market_name(market)):
            key = source.key.decode()
            if key in self._marks:
                offset = self._marks[key]
                mark = mark_of(self._history.ticks[key, offset], offset)
                return used_mark(key, mark, stale=key in self._stale)
        return None

    def reference(self, name: str, /) -> UsedReference | None:
        at = self._references.get(name)
        if at is None:
            return None
        partition, offset = at
        said, value = self._history.said[offset]
        assert (name, PARTITION) == (said, partition)
        return UsedReference(read_reference(self._history.shape.venue, name, value), partition, offset)


class Anew:
    """Folds the log of a history once more, and values accounts as rows name them when they are where these say."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.states: dict[tuple[int, ...], dict[str, Any]] = {}
        self._held: dict[tuple[bytes, int, int], Any] = {}
        self._names: dict[tuple[int | str, int], str] = {}
        self._engine = Engine({NAME: history.shape.deployment}, on_folded=self._folded)
        for offset, told in enumerate(history.raw):
            tell(self._engine, history.shape, told, offset, START_MS)
            accounts = self._engine.partition[history.shape.venue.kind].accounts
            for key in list(self._engine.valuing.exposures):
                account = accounts.row(key)
                assert account is not None
                self._held[key, *account.applied] = history.shape.venue.held(account)

    def _folded(self, key: bytes, record: Any) -> None:  # noqa: ANN401 - it is the venue's own
        account = self._engine.partition[self._history.shape.venue.kind].accounts.row(key)
        if isinstance(record, Transaction) and account is not None:
            for state in states_of(NAME, record, account.state.quotes):
                self.states[tuple(state["at"])] = state

    def body(self, key: bytes, made: Mapping[str, Any], *, unsupported: bool) -> dict[str, Any]:
        """The valuation that names this, without what it names of itself."""
        held = self._held[key, *made["position"]]
        named = Named(self._history, made, self._market_name)
        term, version = made["account_order"]
        valued = self._history.shape.venue.value(held, term, named, unsupported=unsupported)
        body: dict[str, Any] = valued.body
        assert [term, version] == body["account_order"]
        return body

    def _market_name(self, market: int | str) -> str:
        if isinstance(market, str):
            return market
        row = self._engine.tables.read(MARKETS, market_key(NAME, market))
        return str(decode_row(row).body["name"]) if row is not None else ""


# The venues.


def _quote(quote_id: int, account: str, market: int, side: int, price: int) -> list[RawLog]:
    whitelist: list[str] = []
    margins = (value * E18 for value in (50, 20, 130, 40))
    terms = (market, side, 0, price * E18, price * E18, 10 * E18)
    return [
        fee_out(0, account),
        log("SendQuote", account, quote_id, whitelist, *terms, *margins, E18 // 1000, 2_000_000_000),
        log("LockQuote", HEDGER, quote_id),
        log("OpenPosition", quote_id, account, HEDGER, 10 * E18, price * E18),
    ]


def _symmio() -> Shape:
    def record(draws: Random, offset: int) -> tuple[bytes, ChainRecord]:
        account, market = draws.choice((ALICE, BOB)), draws.choice((1, 2, 2, 3))
        return b"", block(offset + 1, _quote(offset, account, market, draws.randint(0, 1), draws.choice((99, 101))))

    def tells(draws: Random) -> tuple[bytes, EngineState]:
        account, number = draws.choice((ALICE, BOB)), draws.randint(1, 3)
        # Of a quote an engine first knows its own number alone.
        quote_id, temp_quote_id = draws.choice(((number, None), (number, -number), (None, -number)))
        return account_key(NAME, account), engine_state(
            id=f"{account} {number} {draws.randint(1, 2)}",
            version=draws.randint(1, 3),
            counterparty_address=account,
            quote_id=quote_id,
            temp_quote_id=temp_quote_id,
            last_seen_action=draws.choice(("SendQuote", "InstantRFQ", "FillLimitOrderOpen")),
            modify_time=draws.randint(1, 4),
        )

    markets = [log("AddSymbol", at, name, 1, 2, 3, 4, 14_400, 420) for at, name in ((1, "BTC"), (2, "ETH"), (3, "SOL"))]
    funds = [allocate(200 * E18), allocate(150 * E18, BOB), allocate_b(150 * E18), allocate_b(1_000 * E18, party_a=BOB)]
    return Shape(
        engine_deployment(SymmioDeployment(DIAMOND, states="on"), sources),
        (block(1, markets, funds[::2], funds[1::2]),),
        record,
        {"BTC": (90, 110), "ETH": (95, 105)},
        {},
        tells=tells,
    )


def _keyed(draws: Random) -> bytes:
    return f"{NAME}:{draws.choice(('Ann', 'Bob'))}".encode()


def _ledger() -> Shape:
    markets = {"tBTCUSD": (100.0, 110.0), "tETHUSD": (5.0, 6.0), "tBTCF0:USTF0": (100.0, 110.0), "tUSTUSD": (0.9, 1.1)}
    settings = [
        ledger.inputs(dict.fromkeys(markets, "1"), paths={"USTF0": ["tUSTUSD"], "BTC": ["tBTCUSD"]}, fee=fee).settings
        for fee in ("0.002", "0.01")
    ]

    def record(draws: Random, offset: int) -> tuple[bytes, bytes]:
        currencies = draws.sample(["USD", "BTC", "USTF0"], draws.randint(1, 3))
        wallets = [ledger.wallet(draw, one) for one, draw in ((one, draws.choice(("3", "40"))) for one in currencies)]
        # Of the last one there is no mark.
        symbols = sorted(draws.sample([*sorted(set(markets) - {"tUSTUSD"}), "tXRPUSD"], draws.randint(1, 2)))
        held = [ledger.position(draws.choice(("-2.5", "1")), draws.choice(("100", "130")), one) for one in symbols]
        return _keyed(draws), ledger.record("snapshot", offset + 1, owner="Ann", wallets=wallets, positions=held)

    said = {name: [msgspec.json.encode(one[name]) for one in settings] for name in settings[0]}
    return Shape(EngineDeployment(LEDGER, None, sources, settings="0a"), (), record, markets, said)


def _flash() -> Shape:
    def record(draws: Random, offset: int) -> tuple[bytes, bytes]:
        held = draws.sample([flash.SOL_LONG, flash.SOL_SHORT, flash.BTC_LONG], draws.randint(1, 3))
        positions = [flash.position(one, draws.choice(("100", "148.52", "59000"))) for one in held]
        return f"{NAME}:{flash.OWNER}".encode(), flash.said(flash.basket(*positions), slot=offset + 1)

    # Each may be taken away.
    said = {name: [value, value, b""] for name, value in flash.references().items()}
    markets = {"SOL": (140.0, 150.0), "USDC": (0.9, 1.1), "BTC": (58_000.0, 60_000.0)}
    oracle = OracleSaid(-8, "100", "0", None)
    return Shape(EngineDeployment(FLASH, None, sources, settings="0b"), (), record, markets, said, oracle)


def _paper() -> Shape:
    def record(draws: Random, _offset: int) -> tuple[bytes, bytes]:
        held = {market: [draws.choice(("-2", "3")), "100"] for market in draws.sample(["BTC", "ETH", "SOL"], 2)}
        said = {"kind": "snapshot", "time_ms": 1, "cash": draws.choice(("20", "1000")), "positions": held}
        return _keyed(draws), json.dumps(draws.choice((said, said, said, {}))).encode()

    venue: Any = GuardedVenue(PAPER.venue, _expect_sound)
    markets = {"BTC": (90.0, 110.0), "ETH": (90.0, 110.0)}
    return Shape(EngineDeployment(venue, None, sources, settings="0c"), (), record, markets, {})


def _desk() -> Shape:
    def record(draws: Random, _offset: int) -> tuple[bytes, bytes]:
        held = {market: [draws.choice(("-2", "3")), "100"] for market in draws.sample(["BTC", "ETH", "SOL"], 2)}
        wallets = {"USD": draws.choice(("20", "1000")), "EUR": draws.choice(("0", "-5", "70"))}
        said = {"kind": "whole", "time_ms": 1, "wallets": wallets, "positions": held, "orders": {}}
        return _keyed(draws), json.dumps(draws.choice((said, said, said, {}))).encode()

    venue: Any = GuardedVenue(DESK.venue, _expect_sound)
    markets = {"BTC": (90.0, 110.0), "ETH": (90.0, 110.0), "EURUSD": (0.9, 1.1)}
    return Shape(EngineDeployment(venue, None, sources, settings="0e"), (), record, markets, {})


def _inverse() -> Shape:
    def record(draws: Random, _offset: int) -> tuple[bytes, bytes]:
        markets = draws.sample(["BTC", "ETH", "SOL"], 2)
        held = {
            f"{at}": {"market": one, "size": draws.choice(("-100", "300")), "entry": "100"}
            for at, one in enumerate(markets)
        }
        said = {"kind": "whole", "time_ms": 1, "wallets": {"main": draws.choice(("1", "9"))}, "orders": {}}
        return _keyed(draws), json.dumps({**said, "positions": held}).encode()

    venue: Any = GuardedVenue(INVERSE.venue, _expect_sound)
    markets = {"BTC": (90.0, 110.0), "ETH": (90.0, 110.0), "XBTUSD": (0.9, 1.1)}
    return Shape(EngineDeployment(venue, None, sources, settings="0d"), (), record, markets, {})


def _expect_sound(kind: str, hook: str, error: BaseException) -> None:
    msg = f"expected that the venue {kind} is sound, found a fault of {hook}"
    raise AssertionError(msg) from error


SHAPES = {
    "symmio": _symmio,
    "ledger": _ledger,
    "flash": _flash,
    "paper": _paper,
    "desk": _desk,
    "options": _inverse,
}


@pytest.fixture(scope="module", params=SHAPES)
def histories(request: pytest.FixtureRequest) -> list[tuple[History, Anew]]:
    made = [History(SHAPES[request.param](), seed) for seed in SEEDS]
    return [(one, Anew(one)) for one in made]


def test_every_valuation(histories: list[tuple[History, Anew]]) -> None:
    statuses = set()
    for history, anew in histories:
        for key, body, encoded in history.of(VALUATIONS):
            made = with_inputs(body[MADE_FROM], body)
            again = anew.body(key, made, unsupported=body["status"] == UNSUPPORTED)
            statuses.add(body["status"])
            assert encoded == join_provenance(
                encode_body({**again, "last_complete": body["last_complete"]}), body[MADE_FROM]
            )
            assert {one["mark_key"] for one in named_marks(body)} == set(made["marks"])
    assert {"valued", "unpriced"} <= statuses


def test_the_last_figures_that_were_complete(histories: list[tuple[History, Anew]]) -> None:
    found = 0
    for history, anew in histories:
        for key, body, _ in history.of(VALUATIONS):
            last = body["last_complete"]
            if last is None:
                continue
            again = anew.body(key, last[MADE_FROM], unsupported=False)
            said = {name: value for name, value in last.items() if name != MADE_FROM}
            assert json.loads(encode_body({name: again[name] for name in said})) == said
            assert "valued" == again["status"]
            found += 1
    assert found


def test_every_transition_of_an_alarm(histories: list[tuple[History, Anew]]) -> None:
    kinds = set()
    for history, anew in histories:
        for key, body, _ in history.of(ALERTS):
            for one in (*body["transitions"], *body.get("hedger_transitions", ())):
                again = json.loads(
                    encode_body(anew.body(key, one[MADE_FROM], unsupported=one["status"] == UNSUPPORTED))
                )
                seen = {name: value for name, value in one.items() if name not in {"id", "kind", "hedger", MADE_FROM}}
                assert seen == {name: again[name] for name in seen}
                kinds.add(one["kind"])
    assert {"stale", "fresh", "unpriced"} <= kinds


def test_every_sum(histories: list[tuple[History, Anew]]) -> None:
    found = 0
    for history, _ in histories:
        standing: dict[bytes, dict[str, Any]] = {}
        for table, key, row in history.rows:
            body = decode_row(row).body
            if table == VALUATIONS:
                standing[key] = body
            if table != SUBTOTALS:
                continue
            sums = Subtotals()
            for account, valuation in standing.items():
                assert valuation[MADE_FROM]["at_ms"] <= body[MADE_FROM]["at_ms"]
                sums.put(split_key(account)[0], None, valuation)
            again = dict(sums.take_changed(PARTITION, {key}))[key]
            assert join_provenance(encode_body(again), body[MADE_FROM]) == row[ORDER_BYTES:]
            found += 1
    assert found


def test_every_position_state_of_the_chain(histories: list[tuple[History, Anew]]) -> None:
    for history, anew in histories:
        states = list(_states(history, CHAIN))
        assert bool(states) == (history.shape.venue.kind == "symmio")
        for _, one in states:
            again = anew.states[tuple(one["at"])]
            assert START_MS <= one[MADE_FROM]["at_ms"]
            assert _apart_from_when(one) == {
                name: value for name, value in json.loads(encode_body(again)).items() if value is not None
            }


def test_every_position_state_of_an_engine(histories: list[tuple[History, Anew]]) -> None:
    """Of the topic only the account's own records are read, up to the one that the state names."""
    for history, _ in histories:
        states = list(_states(history, ENGINE))
        assert bool(states) == (history.shape.tells is not None)
        for key, one in states:
            made = one[MADE_FROM]
            assert (START_MS <= made["at_ms"], PARTITION) == (True, made["partition"])
            body: Mapping[str, Any] = EMPTY
            for whose, state in history.told[: made["offset"] + 1]:
                if whose == key:
                    body = with_engine_state(body, state, {}, fresh=True, gaps=False)
            (again,) = (same for same in body["states"] if same["id"] == one["id"])
            assert _apart_from_when(one) == _apart_from_when(again)


def _states(history: History, source: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
    for key, body, _ in history.of(POSITION_STATES):
        yield from ((key, one) for one in body["states"] if one["source"] == source)


def _apart_from_when(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state but for its number, whether it was news, and what it names itself."""
    return {name: value for name, value in state.items() if name not in {"seq", "push", MADE_FROM}}
