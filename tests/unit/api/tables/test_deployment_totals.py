from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.tables.deployment_totals import Totals
from models.codec import encode_row
from models.deployment_sums import Sum, decode_sum
from models.errors import BadRow
from models.subtotals import Subtotals
from tests.support.feed import FakeTables, e18, valuation_body

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.support.feed import FakeFeed

HEDGER = "0x" + "b" * 40
OTHER_HEDGER = "0x" + "c" * 40


def position(**changes: object) -> dict[str, Any]:
    (standing,) = valuation_body()["positions"]
    return {**standing, **changes}


def put_accounts(feed: FakeFeed, partition: int, *bodies: dict[str, Any], version: int = 1) -> None:
    """Write the rows that a worker writes of a partition with these accounts."""
    sums = Subtotals()
    for body in bodies:
        sums.put("main", None, body)
    for key, body in sums.take_changed(partition, {key for key in feed.rows if key.endswith(b":%d" % partition)}):
        feed.put(key.decode(), version, body)


def test_sums_are_those_of_all_partitions_and_the_accounts_side_is_minus_the_hedgers() -> None:
    tables = FakeTables("main")
    put_accounts(tables.subtotals, 0, valuation_body())
    put_accounts(
        tables.subtotals,
        5,
        valuation_body(
            as_of_ms=1_745_970_700_123,
            positions=[position(side="short", symbol=2, upnl=e18("4"), notional=e18("300"), party_b=OTHER_HEDGER)],
        ),
        valuation_body(positions=[position(quantity=e18("2"), upnl=e18("-0.5"), notional=e18("200"))]),
    )

    assert {
        "deployment": "main",
        "positions": 3,
        "unpriced": 0,
        "upnl": "-9",
        "notional": "1500",
        "as_of": "2025-04-29T23:51:40.000Z",
        "as_of_ns": "1745970700000000000",
        "hedgers": {
            HEDGER: {
                "positions": 2,
                "unpriced": 0,
                "upnl": "13",
                "notional": "1200",
                "as_of": "2025-04-29T23:52:57.000Z",
                "as_of_ns": "1745970777000000000",
            },
            OTHER_HEDGER: {
                "positions": 1,
                "unpriced": 0,
                "upnl": "-4",
                "notional": "300",
                "as_of": "2025-04-29T23:51:40.000Z",
                "as_of_ns": "1745970700000000000",
            },
        },
        "symbols": {
            "1": {
                "positions": 2,
                "unpriced": 0,
                "long_quantity": "12",
                "short_quantity": "0",
                "long_notional": "1200",
                "short_notional": "0",
                "as_of": "2025-04-29T23:52:57.000Z",
                "as_of_ns": "1745970777000000000",
            },
            "2": {
                "positions": 1,
                "unpriced": 0,
                "long_quantity": "0",
                "short_quantity": "10",
                "long_notional": "0",
                "short_notional": "300",
                "as_of": "2025-04-29T23:51:40.000Z",
                "as_of_ns": "1745970700000000000",
            },
        },
    } == Totals(tables.feeds).of("main")


def test_money_that_misses_a_position_is_absent_and_quantities_are_not() -> None:
    tables = FakeTables("main")
    put_accounts(tables.subtotals, 0, valuation_body())
    put_accounts(tables.subtotals, 1, valuation_body(positions=[position(upnl=None, notional=None, mark=None)]))
    view = Totals(tables.feeds).of("main")

    assert {"upnl", "notional"}.isdisjoint(view)
    assert {"upnl", "notional"}.isdisjoint(view["hedgers"][HEDGER])
    assert {"long_notional", "short_notional"}.isdisjoint(view["symbols"]["1"])
    assert ("20", 2, 1) == (view["symbols"]["1"]["long_quantity"], view["positions"], view["unpriced"])


@pytest.mark.parametrize("status", ["suspect", "unsupported"])
def test_an_account_of_which_nothing_is_known_makes_all_money_of_its_deployment_absent_and_is_counted(
    status: str,
) -> None:
    tables = FakeTables("main")
    totals = Totals(tables.feeds)
    put_accounts(tables.subtotals, 0, valuation_body())
    put_accounts(tables.subtotals, 1, valuation_body(status=status, positions=[]), valuation_body())
    view = totals.of("main")

    assert (2, 0, 1) == (view["positions"], view["unpriced"], view["unknown_accounts"])
    assert {"upnl", "notional"}.isdisjoint(view)
    assert {"upnl", "notional"}.isdisjoint(view["hedgers"][HEDGER])
    assert {"long_notional", "short_notional"}.isdisjoint(view["symbols"]["1"])
    assert "20" == view["symbols"]["1"]["long_quantity"]
    put_accounts(tables.subtotals, 1, valuation_body(), version=2)
    assert ("-25", "25") == (totals.of("main")["upnl"], totals.of("main")["hedgers"][HEDGER]["upnl"])
    assert "unknown_accounts" not in totals.of("main")


def test_where_nothing_at_all_is_known_of_the_accounts_no_sum_is_0() -> None:
    tables = FakeTables("main")
    put_accounts(tables.subtotals, 0, valuation_body(status="suspect", positions=[]))

    assert {
        "deployment": "main",
        "positions": 0,
        "unpriced": 0,
        "unknown_accounts": 1,
        "hedgers": {},
        "symbols": {},
    } == Totals(tables.feeds).of("main")


def test_sums_follow_the_rows_and_what_has_no_position_left_is_gone() -> None:
    tables = FakeTables("main")
    totals = Totals(tables.feeds)
    seen = [totals.of("main")]
    put_accounts(tables.subtotals, 0, valuation_body())
    put_accounts(tables.subtotals, 1, valuation_body())
    seen.append(totals.of("main"))
    put_accounts(tables.subtotals, 1, version=2)
    seen.append(totals.of("main"))
    put_accounts(tables.subtotals, 0, version=2)
    seen.append(totals.of("main"))

    assert [None, "-25", "-12.5", "0"] == [view.get("upnl") for view in seen]
    assert ({}, {}) == (seen[-1]["hedgers"], seen[-1]["symbols"])
    assert "as_of" not in seen[-1]


def test_a_deleted_row_adds_nothing() -> None:
    tables = FakeTables("main")
    totals = Totals(tables.feeds)
    put_accounts(tables.subtotals, 0, valuation_body())
    before = totals.of("main")["positions"]
    for key in list(tables.subtotals.rows):
        tables.subtotals.remove(key.decode())

    assert (1, 0) == (before, totals.of("main")["positions"])


def test_listeners_hear_which_deployments_moved() -> None:
    tables = FakeTables("main")
    heard: list[Collection[str]] = []
    Totals(tables.feeds).listen(heard.append)
    put_accounts(tables.subtotals, 0, valuation_body())

    assert [{"main"}, {"main"}] == heard


def test_only_rows_that_changed_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def counted(kind: str, row: bytes) -> Sum:
        decoded.append(row)
        return decode_sum(kind, row)

    monkeypatch.setattr("api.tables.deployment_totals.decode_sum", counted)
    tables = FakeTables("main")
    totals = Totals(tables.feeds)
    for partition in range(4):
        put_accounts(tables.subtotals, partition, valuation_body())
    counts = []
    for _ in range(2):
        totals.of("main")
        counts.append(len(decoded))
    put_accounts(tables.subtotals, 3, valuation_body(), version=2)
    totals.of("main")
    counts.append(len(decoded))

    assert [8, 8, 10] == counts


def test_a_row_that_is_no_sum_is_an_error() -> None:
    with pytest.raises(BadRow, match="expected a row of subtotals"):
        decode_sum("hedger", encode_row(1, 1, {"positions": 1}))


@pytest.mark.parametrize("upnl", ["1e3", "5.0", "null", 5.5, True])
def test_what_is_never_written_of_a_sum_is_not_made_a_number(upnl: object) -> None:
    with pytest.raises(BadRow, match="expected a row of subtotals"):
        decode_sum(
            "hedger", encode_row(1, 1, {"positions": 1, "unpriced": 0, "as_of_ms": 1, "upnl": upnl, "notional": "1"})
        )


def test_a_column_of_a_later_version_is_passed_over_in_a_sum_whether_or_not_its_amounts_are_known() -> None:
    said = {"positions": 1, "unpriced": 0, "as_of_ms": 1, "notional": "1", "later": "column"}
    known, unknown = (decode_sum("hedger", encode_row(1, 1, {**said, "upnl": upnl})) for upnl in ("5", None))
    assert [5, None] == [known.amounts_e18["upnl"], unknown.amounts_e18["upnl"]]
