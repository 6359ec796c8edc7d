"""Valuations recomputed from a log: rows that an engine published follow from what they name, at any instant."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from models.chain_records import Block
from models.codec import decode_row, encode_row
from models.errors import BadRow
from models.provenance import MADE_FROM
from models.symmio import margin, valuation
from streams.audit.second_valuation import value_again
from streams.replay.account_at import At, value_account_at
from streams.replay.bounded_log import BadWindow, Held, LogRecord, OutOfRetention
from streams.replay.raw_fold import NoDeployment, RawFold
from streams.replay.row_check import Checking, RowReport, check_rows
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
from tests.support.told_log import START_MS, Story, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streams.replay.account_at import AccountAt


BOUND_MS = 60_000


@pytest.fixture(scope="module")
def golden() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)


@pytest.fixture(scope="module")
def forks() -> Story:
    return tell(FORKS, forked_deployment(), forked_chain(), FORKS_SYMBOL)


async def at(story: Story, key: bytes, when: At) -> AccountAt | None:
    deployment, _, account = key.decode().partition(":")
    return await value_account_at(story.log(), story.settings, deployment, account, when, on_record=lambda _: None)


async def check(
    story: Story, *, records: Sequence[LogRecord] | None = None, last: Mapping[bytes, bytes] | None = None
) -> RowReport:
    return await check_rows(
        Checking(story.log(records, last), story.settings, BOUND_MS, {"symmio": value_again}, lambda _: None)
    )


def figures(body: Mapping[str, Any]) -> dict[str, Any]:
    """Without provenance, and without what follows from when somebody looked: stale marks, and the figures before."""
    left = {name: one for name, one in body.items() if name not in {MADE_FROM, "last_complete", "stale"}}
    return {**left, "positions": [{**one, "stale": None} for one in body["positions"]]}


@pytest.mark.parametrize("name", ["golden", "forks"])
async def test_an_account_at_an_instant_or_an_offset_is_what_stood_then(
    name: str, request: pytest.FixtureRequest
) -> None:
    story: Story = request.getfixturevalue(name)
    for now_ms, key in random.Random(3).sample(sorted(story.shown), 25):
        expected = figures(story.shown[now_ms, key])
        by_time = await at(story, key, At(time_ms=now_ms))
        by_offset = await at(story, key, At(offset=story.folded[now_ms]))

        assert by_time is not None
        assert by_offset is not None
        assert expected == figures(by_time.body) == figures(by_offset.body)
        assert (now_ms, story.folded[now_ms]) == (by_time.at_ms, by_offset.offset)
        assert now_ms == by_time.body[MADE_FROM]["at_ms"]


async def test_prices_are_read_before_a_gap_where_the_instant_lies_before_it(golden: Story) -> None:
    times, gap = [one.time_ms for one in golden.records], 10**6
    for now_ms, key in random.Random(5).sample(sorted(golden.shown), 5):
        log = golden.log()
        log._held = {
            place: Held(
                gap, gap + 9, max(times) + 10**9, earlier=(one._replace(since_ms=min(times), until_ms=max(times) + 1),)
            )
            if "price" in place.topic
            else one
            for place, one in log._held.items()
        }

        found = await value_account_at(
            log, golden.settings, "golden", key.decode()[7:], At(time_ms=now_ms), on_record=lambda _: None
        )

        whole = await at(golden, key, At(time_ms=now_ms))
        assert found is not None
        assert whole == found
        assert any(one["mark"] for one in found.body["positions"]) or not found.body["positions"]


async def test_an_account_at_a_block_is_as_the_blocks_that_stand_left_it(forks: Story) -> None:
    chain = forked_chain()
    blocks = [(offset, one.number) for offset, one in enumerate(chain) if isinstance(one, Block)]
    _, middle = blocks[len(blocks) // 2]
    last = max(offset for offset, number in blocks if number <= middle)
    key = next(iter(forks.last))

    found = await at(forks, key, At(block=middle))

    by_offset = await at(forks, key, At(offset=last))
    assert found == by_offset
    assert found is not None
    assert last == found.offset
    with pytest.raises(BadWindow, match="to be the newest"):
        await at(forks, key, At(block=10**9))


async def test_who_is_not_there_yet_is_none_and_what_cannot_be_said_is_refused(golden: Story) -> None:
    key = next(iter(golden.last))

    assert await at(golden, b"golden:0x" + b"1" * 40, At(time_ms=START_MS + 10**9)) is None
    assert await at(golden, key, At(time_ms=START_MS - 1)) is None
    with pytest.raises(NoDeployment, match="golden"):
        await at(golden, b"other:" + key, At(time_ms=START_MS))
    with pytest.raises(BadWindow, match="an account of golden"):
        await at(golden, b"golden:somebody", At(time_ms=START_MS))
    cut = golden.log()
    place = golden.records[0].place
    cut._held = {**cut._held, place: Held(3, 10**6, START_MS)}
    with pytest.raises(OutOfRetention, match="offset 3"):
        await value_account_at(cut, golden.settings, "golden", key.decode()[7:], At(offset=9), on_record=lambda _: None)


@pytest.mark.parametrize("name", ["golden", "forks"])
async def test_rows_that_follow_from_the_log_are_clean(name: str, request: pytest.FixtureRequest) -> None:
    story: Story = request.getfixturevalue(name)

    report = await check(story)

    assert [] == report.differences
    assert report.rows == report.same == report.twice == len(story.last) > 1
    assert not report.not_comparable


def altered(story: Story, **changes: object) -> tuple[bytes, dict[bytes, bytes]]:
    """The rows with one altered that has a position with a mark."""
    rows = {key: decode_row(value) for key, value in story.last.items()}
    key = next(key for key, row in rows.items() if any(one["mark_key"] for one in row.body["positions"]))
    row = rows[key]
    body = {**row.body, **{name: change(row.body) if callable(change) else change for name, change in changes.items()}}
    return key, {**story.last, key: encode_row(row.term, row.version, body)}


async def test_an_altered_figure_is_found_and_named(golden: Story) -> None:
    key, last = altered(golden, upnl="12345")

    report = await check(golden, last=last)

    ((found, name, ours, _),) = report.differences
    assert (key.decode(), "upnl", '"12345"', len(golden.last) - 1) == (found, name, ours, report.same)


def without(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {of: cell for of, cell in body.items() if of != name}


@pytest.mark.parametrize(
    "odd",
    [
        lambda _: b"nonsense",
        lambda body: encode_row(0, 9, {**body, MADE_FROM: 5}),
        lambda body: encode_row(0, 9, {**body, MADE_FROM: without(body[MADE_FROM], "venue")}),
        lambda body: encode_row(0, 9, {**body, MADE_FROM: without(body[MADE_FROM], "at_ms")}),
        lambda body: encode_row(0, 9, {**body, MADE_FROM: {**body[MADE_FROM], "references": {"x": 1}}}),
        lambda body: encode_row(0, 9, without(body, "position")),
        lambda body: encode_row(0, 9, without(body, "account_order")),
        lambda body: encode_row(0, 9, without(body, "positions")),
        lambda body: encode_row(0, 9, {**body, "positions": [{**body["positions"][0], "mark_offset": "7"}]}),
        lambda body: encode_row(0, 9, {**body, "extra": [{"mark_key": 7}]}),
    ],
)
async def test_a_row_that_cannot_be_read_is_named_and_all_others_are_compared(
    golden: Story, odd: Callable[[Mapping[str, Any]], bytes]
) -> None:
    key, _ = altered(golden)
    last = {**golden.last, key: odd(decode_row(golden.last[key]).body)}

    report = await check(golden, last=last)

    ((found, name, ours, cause),) = report.differences
    at = list(last).index(key)
    assert (key.decode(), "unreadable", f'"p-tidemark-1-valuations-changelog:0:{at}"') == (found, name, ours)
    assert "expected" in cause
    assert (len(golden.last) - 1, len(golden.last)) == (report.same, report.compared)


@pytest.mark.parametrize("key", [b"golden:\xff", b"golden", b""])
async def test_a_row_whose_key_names_no_account_is_named(golden: Story, key: bytes) -> None:
    report = await check(golden, last={**golden.last, key: next(iter(golden.last.values()))})

    assert ["unreadable"] == [one.name for one in report.differences]
    assert len(golden.last) == report.same


async def test_an_account_of_which_its_venue_can_make_nothing_ends_no_check(
    golden: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = altered(golden)
    held_account = RawFold.held_account

    def fails(fold: RawFold, of: bytes) -> object:
        if of == key:
            msg = "expected an account"
            raise BadRow(msg)
        return held_account(fold, of)

    monkeypatch.setattr(RawFold, "held_account", fails)
    report = await check(golden)

    assert [(key.decode(), "unreadable")] == [(one.key, one.name) for one in report.differences]
    assert len(golden.last) - 1 == report.same


async def test_a_mark_that_never_was_is_found(golden: Story) -> None:
    records = [
        msgspec.structs.replace(one, value=(one.value or b"").replace(b'"mark":"', b'"mark":"1'))
        if "price" in one.topic
        else one
        for one in golden.records
    ]

    report = await check(golden, records=records)

    assert {"positions"} < {one.name for one in report.differences}


async def test_a_row_that_names_a_record_that_never_was_is_found(golden: Story) -> None:
    key, last = altered(golden, position=[5, 99])

    report = await check(golden, last=last)

    assert [(key.decode(), "position")] == [(one.key, one.name) for one in report.differences]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: {**body[MADE_FROM], "venue": "symmio/0"}, "of version symmio/0 of the venue's figures"),
        (lambda body: {**body[MADE_FROM], "settings": "other"}, "of settings other"),
    ],
)
async def test_rows_of_other_versions_or_settings_are_not_comparable_and_no_difference(
    golden: Story, change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    _, last = altered(golden, made_from=change, upnl="12345")

    report = await check(golden, last=last)

    assert ([], {why: 1}) == (report.differences, dict(report.not_comparable))


async def test_rows_whose_ticks_are_deleted_are_not_comparable(golden: Story) -> None:
    records = [one for one in golden.records if "price" not in one.topic]

    report = await check(golden, records=records)

    assert [] == report.differences
    assert ["the tick of a mark is not held any more"] == list(report.not_comparable)
    assert report.rows == report.same + report.not_comparable.total()


def rows_at(story: Story, now_ms: int) -> dict[bytes, bytes]:
    """The rows as they stood at an instant."""
    return {key: encode_row(0, 1, body) for (at_ms, key), body in story.shown.items() if at_ms == now_ms}


async def test_rows_of_long_ago_are_out_of_date_and_rows_of_just_now_are_not(golden: Story) -> None:
    instants = sorted(golden.folded)
    end_ms = max(one.time_ms for one in golden.records)
    long_ago = next(at_ms for at_ms in reversed(instants) if at_ms < end_ms - 3 * BOUND_MS)
    just_now = next(at_ms for at_ms in reversed(instants) if end_ms - BOUND_MS < at_ms < end_ms - 1_000)

    old, fresh = [await check(golden, last=rows_at(golden, at_ms)) for at_ms in (long_ago, just_now)]

    assert {"out of date"} == {one.name for one in old.differences}
    assert any('"mark_offset"' in one.again for one in old.differences)
    assert any('"since"' in one.again for one in old.differences)
    assert [] == fresh.differences
    assert old.rows == old.same


async def test_rows_need_not_say_what_was_written_while_they_were_read(golden: Story) -> None:
    instants = sorted(golden.folded)
    end_ms = max(one.time_ms for one in golden.records)
    begun_ms = next(at_ms for at_ms in reversed(instants) if at_ms < end_ms - 3 * BOUND_MS)
    log = golden.log(last=rows_at(golden, begun_ms))

    report = await check_rows(Checking(log, golden.settings, BOUND_MS, {}, lambda _: None, begun_ms))

    assert [] == report.differences
    assert 0 < report.rows == report.same


async def test_a_mark_that_is_called_fresh_and_was_too_old_is_found(golden: Story) -> None:
    (_, key), body = next(
        (one, body)
        for one, body in reversed(golden.shown.items())
        if any(position["stale"] is False and position["mark_key"] for position in body["positions"])
    )
    # The row is made a minute later than it was: its mark was too old by then.
    made = {**body[MADE_FROM], "at_ms": body[MADE_FROM]["at_ms"] + 60_000}

    report = await check(golden, last={key: encode_row(0, 1, {**body, MADE_FROM: made})})

    report.differences = [one for one in report.differences if one.name != "out of date"]
    assert {(key.decode(), "stale")} == {(one.key, one.name) for one in report.differences}
    assert '"max_age_ms":5000' in report.differences[0].again


async def test_what_the_first_valuation_is_wrong_about_the_second_one_finds(
    golden: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = margin.position_upnl
    monkeypatch.setattr(valuation, "position_upnl", lambda position, price: right(position, price) + 1)
    wrong = tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)

    report = await check(wrong)

    assert report.same == report.rows > report.twice
    assert {"positions.upnl (valued a second time)", "upnl (valued a second time)"} <= {
        one.name for one in report.differences
    }
