"""A venue whose records are folded directly, recomputed: accounts in partitions of their own, and references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from models.engine.tables import ACCOUNTS, ALERTS, STATEMENTS, SUBTOTALS, VALUATIONS
from models.errors import BadRow
from models.explaining import Term
from models.ledger.ledger_venue import LEDGER_SETTINGS, Ledger
from models.provenance import MADE_FROM
from streams.replay.account_at import At, value_account_at
from streams.replay.accounts_at import fold_accounts_at, raw_vector, value_accounts_at
from streams.replay.bounded_log import Held
from streams.replay.checkpoints import found_in
from streams.replay.explain_process import explained_lines
from streams.replay.explained import explain_account
from streams.replay.row_check import Checking, RowReport, check_rows
from tests.support.ledger import position, record, wallet
from tests.support.listed_log import ListedLog
from tests.support.told_ledger import ANN, PERP, Desk, desk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.replay.bounded_log import Log, LogRecord
    from streams.settings import Settings

BOUND_MS = 60_000


async def equity(world: Desk, account: str, at: At) -> tuple[str | None, dict[str, Any]]:
    found = await value_account_at(world.log(), world.settings, "desk", account, at, on_record=lambda _: None)
    assert found is not None
    assert not found.refused
    return found.body["equity"], found.body[MADE_FROM]["references"]


async def check(world: Desk, **without: Callable[[LogRecord], bool]) -> RowReport:
    return await check_rows(Checking(world.log(**without), world.settings, BOUND_MS, {}, lambda _: None))


async def test_an_account_of_any_venue_is_valued_with_the_settings_and_prices_of_the_instant() -> None:
    world = desk()
    first, first_ms = world.row(ANN), world.now_ms
    world.set("0").tick(PERP, "130").say(ANN, record("wallet_set", 4, wallet=wallet("70", "USTF0")))
    second = world.row(ANN)

    by_time = await equity(world, ANN, At(time_ms=first_ms))
    assert (first["equity"], first[MADE_FROM]["references"]) == by_time
    assert (second["equity"], second[MADE_FROM]["references"]) == await equity(world, ANN, At(time_ms=world.now_ms))
    assert first["equity"] != second["equity"] is not None
    assert by_time == await equity(world, ANN, At(offset=first["position"][0]))


async def test_rows_of_any_venue_follow_from_what_they_name() -> None:
    world = desk()
    world.set("0").tick(PERP, "130")

    report = await check(world)

    assert ([], 2, 2) == (report.differences, report.rows, report.same)


async def test_accounts_that_are_only_valued_have_the_same_rows_without_statements() -> None:
    world = desk()
    world.set("0").tick(PERP, "130").say(ANN, record("wallet_set", 4, wallet=wallet("70", "USTF0")))

    stated, valued = [
        (
            await value_accounts_at(
                world.log(), world.settings, "desk", world.now_ms, on_record=lambda _: None, is_stated=is_stated
            )
        ).fold.engine.tables
        for is_stated in (True, False)
    ]

    assert {ANN} <= {key.decode().partition(":")[2] for key in stated.keys(STATEMENTS)}
    assert [] == [*valued.keys(STATEMENTS)]
    for table in (ACCOUNTS, VALUATIONS, ALERTS, SUBTOTALS):
        assert dict(stated.items(table)) == dict(valued.items(table))


async def test_a_row_whose_reference_was_compacted_away_is_not_comparable() -> None:
    world = desk()

    report = await check(world, without=lambda one: LEDGER_SETTINGS in one.topic)

    assert [] == report.differences
    assert ["a reference was said again since, and compacted away"] == list(report.not_comparable)


@pytest.mark.parametrize("is_back", [False, True])
async def test_rows_of_accounts_that_missed_records_say_no_figures_and_are_no_difference(
    monkeypatch: pytest.MonkeyPatch, *, is_back: bool
) -> None:
    def cannot(_self: object, row: bytes) -> NoReturn:
        msg = f"a column of a later version in {row[:20]!r}"
        raise BadRow(msg)

    world = desk()
    with monkeypatch.context() as patch:
        for hook in ("read", "read_held"):
            patch.setattr(Ledger, hook, cannot)
        world.restart().say(ANN, record("wallet_set", 4, wallet=wallet("70", "USTF0")))
        if not is_back:
            world.engine.value(world.now_ms)
    if is_back:
        world.restart().say(ANN, record("wallet_set", 5, wallet=wallet("80", "USTF0"))).tick(PERP, "90")

    report = await check(world)

    why = "of an account that is suspect since its worker could not read something"
    # Where the version is not back, Bob missed nothing, and his row cannot be read either.
    assert ([], {why: 1 if is_back else 2}) == (report.differences, dict(report.not_comparable))


async def test_what_a_reference_said_may_be_gone_is_said() -> None:
    world = desk()
    first_ms = world.now_ms
    world.set("0")
    kept = world.log(without=lambda one: LEDGER_SETTINGS in one.topic and one.time_ms <= first_ms)

    found = await value_account_at(kept, world.settings, "desk", ANN, At(time_ms=first_ms), on_record=lambda _: None)

    assert found is not None
    assert found.doubts
    assert all("compacted away" in doubt for doubt in found.doubts)


async def test_a_change_of_any_venue_is_explained_without_a_rest() -> None:
    world = desk()
    before, since_ms = world.row(ANN), world.now_ms
    world.tick(PERP, "130").set("0").tick("tUSTUSD", "0.98")
    world.say(ANN, record("position_set", 4, position=position("0.2", "105", PERP, type="derivative")))
    world.say(ANN, record("wallet_set", 5, wallet=wallet("70", "USTF0"))).tick(PERP, "90")
    after, terms = world.row(ANN), list[Term]()

    found = await explain_account(
        world.log(), world.settings, "desk", ANN, since_ms=since_ms, until_ms=world.now_ms,
        on_term=terms.append, on_record=lambda _: None,
    )  # fmt: skip

    assert (before["upnl"], after["upnl"]) == (str(found.begin.upnl_e18), str(found.end.upnl_e18))
    assert (before["equity"], after["equity"]) == (str(found.begin.equity_e18), str(found.end.equity_e18))
    assert int(after["upnl"]) - int(before["upnl"]) == sum(term.upnl_e18 for term in terms)
    balances = sum(term.balance_e18 for term in terms)
    assert int(after["equity"]) - int(before["equity"]) == sum(term.upnl_e18 for term in terms) + balances
    names = {term.event.name for term in terms}
    assert {"price", "conversion", "reference", "position_changed", "wallet_changed"} == names


async def test_the_process_beside_a_replica_says_how_far_it_is_and_then_what_the_terms_come_to_or_why_not() -> None:
    world = desk()
    before, since_ms = world.row(ANN), world.now_ms
    world.tick(PERP, "130").say(ANN, record("wallet_set", 4, wallet=wallet("70", "USTF0"))).tick(PERP, "90")
    after, lines = world.row(ANN), list[dict[str, Any]]()

    async def said(account: str) -> dict[str, Any]:
        lines.clear()
        await explained_lines(
            world.log(), world.settings, "desk", account, since_ms=since_ms, until_ms=world.now_ms, say=lines.append
        )
        return lines[-1]

    found = (await said(ANN))["explained"]
    assert 0 == lines[0]["read"]
    assert 0 < lines[0]["of"]
    assert (before["upnl"], after["upnl"]) == (found["begin"]["upnl"], found["end"]["upnl"])
    assert int(after["upnl"]) - int(before["upnl"]) == sum(int(amount) for _, _, amount in found["upnl"])
    assert found["terms"] == len(found["largest"])
    assert "there was no account nobody" in (await said("nobody"))["refused"]
    assert "expected a window that begins before it ends" in (await _inverted(world))["refused"]


async def test_the_process_beside_a_replica_begins_at_a_checkpoint_and_says_of_one_that_is_bad_that_this_may_pass(
    tmp_path: Path,
) -> None:
    world = desk()
    since_ms = world.now_ms
    log, lines = world.log(), list[dict[str, Any]]()
    checkpoints = await found_in(tmp_path, log)
    assert checkpoints is not None
    begun = await fold_accounts_at(log, world.settings, "desk", since_ms, on_record=lambda _: None)
    vector = await raw_vector(log, world.settings, "desk", since_ms)
    ends = {place: span.end for place, span in vector.items()}
    path, _ = checkpoints.write(begun.fold, ends, since_ms)
    world.say(ANN, record("wallet_set", 4, wallet=wallet("70", "USTF0"))).tick(PERP, "90")
    beside = world.settings.model_copy(update={"api": world.settings.api.model_copy(update={"checkpoints": tmp_path})})
    told = world.log()
    held = {
        place: Held(ends[place], records[-1].offset + 1, since_ms) if place in ends else Held(0, len(records), None)
        for place, records in told.of.items()
    }
    left = [one for one in told.all_records() if one.offset >= held[one.place].begin]

    async def said(log: Log, settings: Settings) -> dict[str, Any]:
        await explained_lines(log, settings, "desk", ANN, since_ms=since_ms, until_ms=world.now_ms, say=lines.append)
        return lines[-1]

    whole = await said(told, world.settings)
    assert "explained" in whole
    assert whole == await said(told, beside)
    assert whole == await said(ListedLog(left, held), beside)
    assert "refused" in await said(ListedLog(left, held), world.settings)
    path.write_bytes(b"no checkpoint")
    assert "expected a checkpoint" in (await said(told, beside))["failed"]


async def _inverted(world: Desk) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    await explained_lines(world.log(), world.settings, "desk", ANN, since_ms=2, until_ms=1, say=lines.append)
    return lines[-1]
