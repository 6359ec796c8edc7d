"""Every row of valuations is made anew from what it names, and is the same."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from models.codec import decode_row
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS, ALERTS, SUBTOTALS, VALUATIONS
from models.ids import split_key
from models.prices import MarkTick, UsedMark, mark_of, used_mark
from models.provenance import MADE_FROM
from models.valuations import UNSUPPORTED
from streams.settings.figures import all_figure_settings
from streams.settings.venues import engine_deployments
from tests.support.golden import (
    DEPLOYMENT,
    FORKS,
    FORKS_SYMBOL,
    SYMBOL,
    forked_chain,
    forked_deployment,
    golden_chain,
    golden_deployment,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.chain_records import ChainRecord
    from models.engine.deployment import EngineDeployment
    from streams.settings import SymmioSettings

START_MS = 1_745_000_000_000
_MAX_AGE_MS = 5_000
Rows = dict[tuple[bytes, int], dict[str, Any]]
Ticks = dict[tuple[str, int], MarkTick]


class Named:
    """The inputs that a row names."""

    def __init__(self, positions: Sequence[Mapping[str, Any]], ticks: Ticks) -> None:
        self._positions = {one["symbol"]: one for one in positions}
        self._ticks = ticks

    def mark(self, market: int | str, /) -> UsedMark | None:
        one = self._positions[market]
        if one["mark_key"] is None:
            return None
        mark = mark_of(self._ticks[one["mark_key"], one["mark_offset"]], one["mark_offset"])
        return used_mark(one["mark_key"], mark, stale=one["stale"])

    def reference(self, _name: str, /) -> None:
        return None


def _run(deployments: Mapping[str, EngineDeployment], chain: Sequence[ChainRecord], symbol: str) -> tuple[Rows, Ticks]:
    """Fold a chain with a price now and then, and value after every few records; keep every row that ever stood."""
    draws, engine = random.Random(7), Engine(deployments)
    rows: Rows = {}
    ticks: Ticks = {}
    (name,) = deployments
    now_ms = START_MS
    for offset, record in enumerate(chain):
        engine.raw(name, record, offset, now_ms)
        now_ms += draws.choice((100, 1_000, 6_000))
        if offset > len(chain) // 10 and draws.random() < 0.5:
            price = f"{draws.randint(50_000, 120_000)}.{draws.randint(0, 99):02}"
            tick = MarkTick("binance-futures", symbol, now_ms, now_ms, price, None, None, None)
            ticks["binance-futures:" + symbol, len(ticks)] = tick
            engine.tick(tick, len(ticks) - 1)
        if draws.random() < 0.3:
            engine.value(now_ms)
            for key, row in engine.tables.items(VALUATIONS):
                decoded = decode_row(row)
                rows[key, decoded.version] = decoded.body
    for table in (ALERTS, SUBTOTALS):
        assert all(MADE_FROM in text for text in map(bytes.decode, _bodies(engine, table)))
    return rows, ticks


def _bodies(engine: Engine, table: str) -> Sequence[bytes]:
    return [row[16:] for _, row in engine.tables.items(table)]


def _expect_made_anew(
    deployments: Mapping[str, EngineDeployment], chain: Sequence[ChainRecord], rows: Rows, ticks: Ticks
) -> int:
    """Fold the chain once more, and at each record value the accounts of the rows that name it."""
    (name,) = deployments
    venue, engine, made = deployments[name].venue, Engine(deployments), 0
    assert venue is not None
    waiting: dict[bytes, list[dict[str, Any]]] = {}
    for (key, _), body in rows.items():
        waiting.setdefault(key, []).append(body)
    for offset, record in enumerate(chain):
        engine.raw(name, record, offset, START_MS)
        for key, bodies in waiting.items():
            value = engine.tables.read(ACCOUNTS, key)
            account = None if value is None else venue.read(value)
            for body in [one for one in bodies if account is not None and one["position"] == list(account.applied)]:
                bodies.remove(body)
                named = Named(body["positions"], ticks)
                unsupported = body["status"] == UNSUPPORTED
                again = venue.value(venue.held(account), 0, named, unsupported=unsupported).body
                assert {**body, MADE_FROM: 0, "last_complete": None} == {**json.loads(json.dumps(again)), MADE_FROM: 0}
                assert split_key(key)[0] == name
                made += 1
    assert not any(waiting.values())
    return made


def _with_age(deployments: dict[str, SymmioSettings]) -> dict[str, SymmioSettings]:
    return {name: one.model_copy(update={"default_max_age_ms": _MAX_AGE_MS}) for name, one in deployments.items()}


def test_every_row_of_the_recorded_chain_is_made_anew_from_what_it_names() -> None:
    settings, chain = _with_age(golden_deployment()), golden_chain()
    deployments = engine_deployments(settings)
    rows, ticks = _run(deployments, chain, SYMBOL)

    assert len(rows) == _expect_made_anew(deployments, chain, rows, ticks) > 500
    assert {"valued", "unpriced"} <= {body["status"] for body in rows.values()}
    assert any(body["stale"] for body in rows.values())
    assert {("symmio/2", deployments[DEPLOYMENT].settings)} == {
        (body[MADE_FROM]["venue"], body[MADE_FROM]["settings"]) for body in rows.values()
    }


def test_every_row_of_a_chain_with_forks_and_gaps_is_made_anew_from_what_it_names() -> None:
    settings, chain = _with_age(forked_deployment()), forked_chain()
    deployments = engine_deployments(settings)
    rows, ticks = _run(deployments, chain, FORKS_SYMBOL)

    assert len(rows) == _expect_made_anew(deployments, chain, rows, ticks) > 300
    assert {"unsupported", "suspect"} & {body["status"] for body in rows.values()}
    assert FORKS in deployments


def test_the_settings_that_rows_name_are_those_that_change_figures_and_no_others() -> None:
    one = golden_deployment()[DEPLOYMENT]
    name = engine_deployments({DEPLOYMENT: one})[DEPLOYMENT].settings
    same = one.model_copy(update={"poll_interval_ms": 5, "rpc": ("http://127.0.0.1:1",), "open_paths": ("upnl-ws",)})
    other = one.model_copy(update={"default_max_age_ms": 7})

    assert name == engine_deployments({DEPLOYMENT: same})[DEPLOYMENT].settings
    assert name != engine_deployments({DEPLOYMENT: other})[DEPLOYMENT].settings
    assert name != engine_deployments({"other": one})["other"].settings


def test_no_secret_is_among_the_settings_on_record() -> None:
    from streams.settings import Settings  # noqa: PLC0415 - the others need none

    one = golden_deployment()[DEPLOYMENT].model_copy(update={"rpc": ("http://127.0.0.1:1/key-of-a-provider",)})
    (figures,) = all_figure_settings(Settings(deployments={DEPLOYMENT: one})).values()

    assert b"key-of-a-provider" not in figures
    assert one.diamond.encode() in figures
