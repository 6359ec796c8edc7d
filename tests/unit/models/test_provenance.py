"""Provenance of a row: what it names, and that a row is the same whatever it was made from."""

from __future__ import annotations

import json
from typing import Any

from tidemark_paper import PACKAGE

from models.codec import decode_row, encode_body, encode_row, join_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ALERTS, SUBTOTALS, VALUATIONS
from models.plain_venue import Own
from models.prices import MarkTick
from models.provenance import Provenances, join_provenance, provenance, says_the_same
from models.references import UsedReference

KEY = b"game:Ann-7"
NOW_MS = 1_700_000_000_000


def _say(engine: Engine, offset: int, record: dict[str, Any]) -> None:
    engine.account_record(KEY, Own((offset, -1), json.dumps({"time_ms": NOW_MS, **record}).encode()), NOW_MS)
    engine.fold("paper")


def _body(engine: Engine, table: str = VALUATIONS, key: bytes = KEY) -> dict[str, Any]:
    return decode_row(engine.tables.read(table, key) or b"").body


def _world() -> Engine:
    sources = lambda name: (PriceSource(f"venue:{name}".encode(), 5_000),)  # noqa: E731
    engine = Engine({"game": EngineDeployment(PACKAGE.venue, None, sources, settings="0a0b")})
    _say(engine, 0, {"kind": "cash", "amount": "1000"})
    _say(engine, 1, {"kind": "position", "market": "BTCUSDT", "size": "0.5", "entry": "60000"})
    engine.tick(MarkTick("venue", "BTCUSDT", NOW_MS, NOW_MS, "59000", None, None, None), 4)
    engine.value(NOW_MS)
    return engine


def test_a_row_names_its_instant_its_venue_and_its_settings() -> None:
    assert {"at_ms": NOW_MS, "venue": "paper/1", "settings": "0a0b"} == _body(_world())["made_from"]


def test_a_look_that_changes_only_provenance_writes_no_row() -> None:
    engine = _world()
    before = {table: dict(engine.tables.items(table)) for table in (VALUATIONS, SUBTOTALS)}
    engine.valuing.touch((KEY,))
    engine.value(NOW_MS + 10)

    assert before == {table: dict(engine.tables.items(table)) for table in (VALUATIONS, SUBTOTALS)}


def test_the_last_complete_figures_and_a_transition_name_the_account_and_the_marks_that_they_were_made_from() -> None:
    engine = _world()
    _say(engine, 2, {"kind": "position", "market": "ETHUSDT", "size": "1", "entry": "10"})
    engine.value(NOW_MS + 10)
    _say(engine, 3, {"kind": "cash", "amount": "1"})
    engine.value(NOW_MS + 20)
    made = {
        "at_ms": NOW_MS,
        "venue": "paper/1",
        "settings": "0a0b",
        "account_order": [0, 2],
        "position": [1, -1],
        "marks": {"venue:BTCUSDT": 4},
    }
    body = _body(engine)

    assert ("unpriced", made) == (body["status"], body["last_complete"]["made_from"])
    unpriced, *_ = _body(engine, ALERTS)["transitions"]
    assert {**made, "at_ms": NOW_MS + 10, "account_order": [0, 3], "position": [2, -1]} == unpriced["made_from"]


def test_a_row_of_before_is_another_and_is_written_anew_with_its_provenance() -> None:
    body = encode_body({"upnl": "1", "made": "up"})
    made = provenance(5, "game/1", "0a", {"tiers": UsedReference(object(), 2, 7)})
    row = join_row(1, 1, join_provenance(body, made))

    assert {"upnl": "1", "made": "up", "made_from": {**made, "references": {"tiers": [2, 7]}}} == decode_row(row).body
    assert says_the_same(row, body)
    assert not says_the_same(row, encode_body({"upnl": "1"}))
    assert not says_the_same(row, encode_body({"upnl": "2", "made": "up"}))
    assert not says_the_same(encode_row(1, 1, {"upnl": "1", "made": "up"}), body)
    assert not says_the_same(row, encode_body({"upnl": "1", "made": "up", "more": 1}))


def test_what_valuations_share_is_what_each_would_be_made_from_alone() -> None:
    provenances, body = Provenances("paper/1", "0a0b"), encode_body({"a": 1})
    for at_ms, references in (
        (NOW_MS, {}),
        (NOW_MS, {}),
        (NOW_MS, {"rates": UsedReference(None, 3, 7)}),
        (NOW_MS, {}),
        (NOW_MS + 1, {}),
    ):
        made = provenances.made(at_ms, references)

        assert provenance(at_ms, "paper/1", "0a0b", references) == made
        assert join_provenance(body, made) == provenances.join(body, made)
