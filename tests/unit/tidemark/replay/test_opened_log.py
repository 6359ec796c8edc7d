"""Replay from Python: answers are those of the log, exact, and become tables of whatever is installed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pytest

from models.codec import decode_row
from models.instants import rfc3339
from models.what_if import BadScenario
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.process.clock import SystemClock
from streams.replay.bounded_log import BadWindow
from streams.replay.row_tables import NoPyarrow
from tests.support.calculated import calculate, with_served
from tests.support.flash import OWNER
from tests.support.golden import FORKS, FORKS_SYMBOL, forked_chain, forked_deployment
from tests.support.listed_log import ListedLog, record
from tests.support.replaying import captured
from tests.support.told_flash import told_flash
from tests.support.told_log import Story, tell
from tidemark.log_source import LogSource
from tidemark.replay import NeedsExtra, open_log
from tidemark.replay.opened_log import OpenedLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from streams.replay.bounded_log import LogRecord, Place, Span

_TICKS = "p-price-ticks"


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(FORKS, forked_deployment(), forked_chain(), FORKS_SYMBOL)


@pytest.fixture(scope="module")
def log(story: Story, tmp_path_factory: pytest.TempPathFactory) -> OpenedLog:
    directory = tmp_path_factory.mktemp("replay") / "capture"
    asyncio.run(captured(story, directory))
    return open_log(directory, settings=story.settings)


def priced(story: Story) -> tuple[int, str, dict[str, object]]:
    """The last instant at which an account stood with a position that has a price, the account, and its row."""
    found = [(at_ms, key, body) for (at_ms, key), body in story.shown.items() if body["upnl"] not in {None, "0"}]
    at_ms, key, body = max(found, key=lambda one: one[:2])
    return at_ms, key.decode().partition(":")[2], body


def test_an_account_as_of_an_instant_is_what_stood_then_to_the_last_digit(story: Story, log: OpenedLog) -> None:
    at_ms, account, body = priced(story)

    found = log.asof(FORKS, account, time=rfc3339(at_ms))

    assert Decimal(str(body["upnl"])).scaleb(-18) == found.upnl
    assert Decimal(str(body["notional"])).scaleb(-18) == found.notional
    assert (body["status"], ()) == (found.row["status"], found.doubts)
    assert account in found._repr_html_()
    assert repr(found).startswith(f"{FORKS}:{account}, {rfc3339(at_ms)}: status valued, upnl {found.upnl}")
    nobody = log.asof(FORKS, "0x" + "1" * 40, time=rfc3339(at_ms))
    assert nobody.recomputed is None
    assert "no such account" in nobody._repr_html_()
    with pytest.raises(LookupError, match="no such account"):
        _ = nobody.upnl
    with pytest.raises(BadWindow, match="one of time, block and offset"):
        log.asof(FORKS, account)


def test_what_a_replica_had_calculated_of_an_account_is_found_with_its_frame_or_why_there_is_none() -> None:
    world = told_flash()
    frame, kept = calculate(world, "basket venue")
    log = OpenedLog(with_served(world, kept), world.settings, LogSource("anywhere"), SystemClock())

    (found,) = log.asof("flash", OWNER, time=rfc3339(world.now_ms), served=True).calculated or ()

    assert ("basket venue", frame, None) == (found.calculated.asked, found.frame, found.doubt)
    assert log.asof("flash", OWNER, time=rfc3339(world.now_ms)).calculated is None
    without_ticks = with_served(world, kept)
    for place in [place for place in without_ticks.of if place.topic == topic_name(world.settings, PRICE_TICKS)]:
        without_ticks.of[place] = []
    log = OpenedLog(without_ticks, world.settings, LogSource("anywhere"), SystemClock())
    (lost,) = log.asof("flash", OWNER, time=rfc3339(world.now_ms), served=True).calculated or ()
    assert lost.frame is None
    assert "is not held any more" in (lost.doubt or "")


def test_numbers_that_the_commands_refuse_are_refused_and_named(story: Story, log: OpenedLog) -> None:
    _, account, _ = priced(story)
    since = "1970-01-01T00:00:00Z"
    with pytest.raises(BadWindow, match="expected offset to be 0 or more, found -5"):
        log.asof(FORKS, account, offset=-5)
    with pytest.raises(BadWindow, match="expected block to be 0 or more, found -1"):
        log.asof(FORKS, account, block=-1)
    for limit in (-1, 0):
        with pytest.raises(BadWindow, match=f"expected limit to be 1 or more, found {limit}"):
            log.records("price-ticks", since=since, limit=limit)
        with pytest.raises(BadWindow, match="expected limit"):
            log.prices(since=since, limit=limit)
    with pytest.raises(BadWindow, match="expected max_age_s to be 0 or more, found -1"):
        log.verify(max_age_s=-1)


def test_records_that_cannot_be_read_are_counted_and_named(story: Story) -> None:
    ticks = [one for one in story.records if one.topic == _TICKS][:5]
    ticks[2] = msgspec.structs.replace(ticks[2], value=b"nonsense")
    log = OpenedLog(ListedLog(ticks), story.settings, LogSource("anywhere"), SystemClock())

    table = log.prices(since="1970-01-01T00:00:00Z")

    (odd,) = table.unreadable_records
    assert (4, 1, ticks[2].offset) == (len(table), table.unreadable, odd.offset)
    assert "1 records could not be read" in repr(table[:2])
    assert "1 records could not be read" in table._repr_html_()


def test_only_what_was_cut_is_said_to_be(story: Story, log: OpenedLog) -> None:
    there = sum(one.topic == _TICKS for one in story.records)
    since = "1970-01-01T00:00:00Z"

    whole, cut = (log.records("price-ticks", since=since, limit=limit) for limit in (there, there - 1))

    assert (there, there - 1) == (len(whole), len(cut))
    assert not whole.note.startswith("The first")
    assert cut.note.startswith(f"The first {there - 1}. ")


def test_a_slice_of_a_table_is_a_table(log: OpenedLog) -> None:
    records = log.records("price-ticks", since="1970-01-01T00:00:00Z")

    some = records[1:3]

    assert [records[1], records[2]] == list(some)
    assert (records.columns, records.note) == (some.columns, some.note)
    assert 2 == some.to_arrow().num_rows
    assert "2 rows." in some._repr_html_()


def test_terms_add_up_to_the_change_and_name_what_did_it(story: Story, log: OpenedLog) -> None:
    at_ms, account, body = priced(story)

    found = log.explain(FORKS, account, since=rfc3339(at_ms - 120_000), until=rfc3339(at_ms))

    assert len(found.terms)
    assert found.change == sum(one["upnl"] for one in found.terms) == sum(found.by_name.values())
    assert Decimal(str(body["upnl"])).scaleb(-18) == Decimal(found.explained.end.upnl_e18 or 0).scaleb(-18)
    assert f"{len(found.terms)} terms" in found._repr_html_()


def test_records_and_prices_become_tables_of_arrow_and_duckdb(story: Story, log: OpenedLog) -> None:
    ticks = [one for one in story.records if one.topic == _TICKS]

    records = log.records("price-ticks", since="1970-01-01T00:00:00Z")
    prices = log.prices(offsets=records.note)

    assert [json.loads(one.value or b"") for one in ticks] == [json.loads(one["value"]) for one in records]
    marks = [Decimal(json.loads(one.value or b"")["mark"]) for one in ticks]
    assert marks == [one["mark"] for one in prices]
    assert len(ticks) == prices.to_arrow().num_rows
    total = prices.to_duckdb("prices").sql("select sum(mark), count(distinct symbol) from prices").fetchall()
    assert [(sum(marks), 1)] == total
    assert 3 == len(log.records("price-ticks", since="1970-01-01T00:00:00Z", limit=3))
    assert f"{len(ticks) - 20} more" in prices._repr_html_()
    with pytest.raises(BadWindow, match="topics and the beginning of a window, or offsets"):
        log.records(since="-1m")


def test_a_scenario_names_who_could_be_liquidated_and_a_bad_one_is_refused(story: Story, log: OpenedLog) -> None:
    end = rfc3339(priced(story)[0])

    found = log.whatif(FORKS, shocks={"*": "-90%"}, time=end)

    assert len(found.accounts)
    assert set(found.liquidated) <= {one["account"] for one in found.accounts}
    assert {FORKS_SYMBOL} == {key.partition(":")[2] for key in found.marks}
    assert all(new * 10 == pytest.approx(old) for old, new in found.marks.values())
    for bad in ({"shocks": {"*": "90"}}, {"marks": {"*": "9%"}}, {"funding": "much"}, {}):
        with pytest.raises(BadScenario):
            log.whatif(FORKS, time=end, **bad)


def test_rows_are_verified_and_one_that_was_altered_is_named(
    story: Story, log: OpenedLog, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert log.verify().is_clean
    key, row = max(story.last.items())
    body = {**decode_row(row).body, "notional": "7"}
    altered = story._replace(last={**story.last, key: row[:16] + json.dumps(body).encode()})
    directory = tmp_path_factory.mktemp("altered") / "capture"
    asyncio.run(captured(altered, directory))

    found = open_log(directory, settings=story.settings).verify()

    assert not found.is_clean
    assert [(key.decode(), "notional", '"7"')] == [(one["row"], one["field"], one["ours"]) for one in found.differences]
    assert "notional" in found._repr_html_()


async def test_it_answers_where_a_loop_runs_already_as_in_a_notebook(story: Story, log: OpenedLog) -> None:
    at_ms, account, _ = priced(story)
    assert log.asof(FORKS, account, time=rfc3339(at_ms)).upnl is not None


class InterruptedLog(ListedLog):
    """Somebody presses Ctrl-C while it is read, after which it has records for ever, or none comes."""

    def __init__(self, *, has_records: bool) -> None:
        super().__init__([record(_TICKS, 0, 0, 1)])
        self._has_records = has_records
        self._next = 0
        self.left = threading.Event()

    @asynccontextmanager
    async def reading(self, vector: Mapping[Place, Span]) -> AsyncIterator[InterruptedLog]:  # type: ignore[override]
        (self._place,) = vector
        try:
            yield self
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[LogRecord]]:
        assert self._place in places
        if not self._next:
            # It ends all the same where nobody is interrupted by it.
            self._ends_s = time.monotonic() + 120
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if not self._has_records:
            await asyncio.sleep(120)
        self._next += 1
        return {self._place: [record(_TICKS, 0, self._next, 1)] if time.monotonic() < self._ends_s else []}


@pytest.mark.parametrize("has_records", [True, False])
def test_ctrl_c_ends_a_reading_that_goes_on_and_one_that_waits(story: Story, *, has_records: bool) -> None:
    log = InterruptedLog(has_records=has_records)
    opened = OpenedLog(log, story.settings, LogSource("listed"), SystemClock())

    # Where tests run beside each other, those who run them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            opened.records(offsets=f"{_TICKS}:0:0-1", keys=["nobody"])
    finally:
        signal.signal(signal.SIGINT, before)

    assert log.left.wait(60)


def test_what_is_not_installed_is_named(log: OpenedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = log.prices(since="1970-01-01T00:00:00Z", limit=1)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(NeedsExtra, match=r"tidemark\[analysis\]"):
        prices.to_duckdb("prices")
    monkeypatch.setattr("tidemark.replay.tables.find_spec", lambda _: None)
    with pytest.raises(NeedsExtra, match="pip install pandas"):
        prices.to_pandas()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NoPyarrow, match=r"tidemark\[analysis\]"):
        prices.to_arrow()
