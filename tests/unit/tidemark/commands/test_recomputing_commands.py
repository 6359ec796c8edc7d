"""The exit codes of ``tidemark asof`` and ``tidemark verify``, and what they print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from models.codec import decode_row, encode_row
from models.instants import rfc3339
from streams.kafka.partitions import partition_of
from streams.kafka.topics import served_name
from streams.replay.bounded_log import BrokenOff, Held, LogRecord, Place
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.listed_log import ListedLog
from tests.support.told_log import Story, tell
from tidemark import cli as command_line

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain()[:80], SYMBOL)


def run(monkeypatch: pytest.MonkeyPatch, story: Story, log: ListedLog, *arguments: str) -> Result:
    settings = story.settings.model_copy(update={"kafka": "127.0.0.1:1"})
    monkeypatch.setattr("tidemark.local_stack.settings_here", lambda: settings)
    monkeypatch.setattr("tidemark.kafka.require_broker", lambda bootstrap: bootstrap)
    monkeypatch.setattr("tidemark.replay_window.open_log", lambda *_: log)
    return CliRunner().invoke(command_line.cli, list(arguments))


def test_a_row_is_printed_with_its_provenance(monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
    (now_ms, key), body = next(reversed(story.shown.items()))
    account, offset = key.decode().partition(":")[2], str(story.folded[now_ms])

    # Addresses are taken in any case.
    result = run(monkeypatch, story, story.log(), "asof", DEPLOYMENT, account.upper().replace("0X", "0x"),
                 "--offset", offset, "--json")  # fmt: skip

    assert 0 == result.exit_code, result.output
    said = json.loads(result.stdout)
    assert (body["upnl"], body["position"], now_ms) == (said["row"]["upnl"], said["row"]["position"], said["at_ms"])
    assert "symmio/2" == said["row"]["made_from"]["venue"]
    assert [] == said["doubts"]


def test_an_account_that_there_was_not_ends_with_1_and_a_broken_off_reading_with_3(
    monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    nobody = run(monkeypatch, story, story.log(), "asof", DEPLOYMENT, "0x" + "1" * 40, "--offset", "70")
    assert (1, "") == (nobody.exit_code, nobody.stdout)

    held = story.log()._held
    broken = ListedLog(story.records, held, breaks_after=3)
    result = run(monkeypatch, story, broken, "asof", DEPLOYMENT, "0x" + "1" * 40, "--offset", "70")
    assert (3, "") == (result.exit_code, result.stdout)
    assert "the broker stopped" in result.stderr


@pytest.mark.parametrize("given", [(), ("--time", "-1m", "--block", "3"), ("--block", "3", "--offset", "3")])
def test_an_instant_is_given_once(monkeypatch: pytest.MonkeyPatch, story: Story, given: tuple[str, ...]) -> None:
    result = run(monkeypatch, story, story.log(), "asof", DEPLOYMENT, "0x" + "1" * 40, *given)

    assert 2 == result.exit_code
    assert "one of --time, --block and --offset" in result.stderr


def test_rows_that_are_the_same_end_with_0_and_differences_are_listed_and_end_with_1(
    monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    clean, rows = run(monkeypatch, story, story.log(), "verify"), len(story.last)
    said = f"{rows} rows: {rows} are the same, {rows} of these valued twice, 0 differ, 0 not comparable\n"
    assert (0, said) == (clean.exit_code, clean.stdout)
    assert "cut: p-chain-blocks:" in clean.stderr
    dry = run(monkeypatch, story, story.log(), "verify", "--dry-run")
    assert (0, "") == (dry.exit_code, dry.stdout)
    assert "p-chain-blocks:" in dry.stderr

    key, value = next(iter(story.last.items()))
    row = decode_row(value)
    last = {**story.last, key: encode_row(row.term, row.version, {**row.body, "notional": "7"})}
    wrong = run(monkeypatch, story, story.log(last=last), "verify")
    assert 1 == wrong.exit_code
    assert f'{key.decode()} notional: row="7" recomputed=' in wrong.stdout
    said = json.loads(run(monkeypatch, story, story.log(last=last), "verify", "--json").stdout)
    assert [key.decode()] == [one["key"] for one in said["differences"]]


def test_a_row_that_cannot_be_read_is_printed_with_its_record_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    key = next(iter(story.last))
    result = run(monkeypatch, story, story.log(last={**story.last, key: b"nonsense"}), "verify")

    assert 1 == result.exit_code, result.output
    assert f'{key.decode()} unreadable: "p-tidemark-1-valuations-changelog:0:0" "expected' in result.stdout
    assert f"{len(story.last) - 1} are the same" in result.stdout


def test_what_could_not_run_ends_with_2(monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
    nothing = run(monkeypatch, story, story.log(last={}), "verify")
    assert 2 == nothing.exit_code
    assert "rows that can be compared" in nothing.stderr

    broken = ListedLog(story.log().all_records(), story.log()._held, breaks_after=3)
    result = run(monkeypatch, story, broken, "verify")
    assert (2, "") == (result.exit_code, result.stdout)
    assert BrokenOff.__name__ not in result.stderr


def test_a_change_is_explained_term_by_term_and_summed_up(monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
    key = max(
        story.last, key=lambda one: sum(bool(body["positions"]) for (_, k), body in story.shown.items() if k == one)
    )
    account, first_ms = key.decode().partition(":")[2], story.records[0].time_ms
    last_ms = max(one.time_ms for one in story.records)
    given = ("explain", DEPLOYMENT, account, "--from", rfc3339(first_ms), "--to", rfc3339(last_ms))

    result = run(monkeypatch, story, story.log(), *given, "--json")

    assert 0 == result.exit_code, result.output
    *terms, last = [json.loads(line) for line in result.stdout.splitlines()]
    end = decode_row(story.last[key]).body
    assert (end["upnl"], end["equity"]) == (last["summary"]["end"]["upnl"], last["summary"]["end"]["equity"])
    assert int(end["upnl"] or 0) == sum(int(term["upnl"]) for term in terms)
    assert len(terms) == last["summary"]["terms"] > 0
    assert {"transfer", "fee"} <= {term["name"] for term in terms}
    assert all(term["event"].startswith(("p-chain-blocks:", "p-price-ticks:")) for term in terms)
    text = run(monkeypatch, story, story.log(), *given, "--top", "1")
    assert f"in {len(terms)} terms" in text.stdout
    assert "window: p-chain-blocks:" in text.stderr


def test_windows_that_cannot_be_explained_end_with_their_codes(monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
    account = next(iter(story.last)).decode().partition(":")[2]
    first, last = rfc3339(story.records[0].time_ms), rfc3339(max(one.time_ms for one in story.records))

    def code(log: ListedLog, *given: str) -> int:
        result = run(monkeypatch, story, log, "explain", *given)
        assert not result.stdout
        return result.exit_code

    assert 1 == code(story.log(), DEPLOYMENT, "0x" + "1" * 40, "--from", first, "--to", last)
    inverted = run(monkeypatch, story, story.log(), "explain", DEPLOYMENT, account, "--from", last, "--to", first)
    assert "begins before it ends" in str(inverted.exception)
    ahead = run(
        monkeypatch, story, story.log(), "explain", DEPLOYMENT, account, "--from", first, "--to", "9000-01-01T00:00:00Z"
    )
    assert "expected an instant that has been" in str(ahead.exception)
    # Of the half a century in which there was nothing, no second is looked at.
    ever = run(
        monkeypatch, story, story.log(), "explain", DEPLOYMENT, account, "--from", "1970-01-01T00:00:00Z", "--to", last
    )
    assert 0 == ever.exit_code, ever.output
    dry = run(monkeypatch, story, story.log(), "explain", DEPLOYMENT, account, "--from", first, "--dry-run")
    assert (0, "") == (dry.exit_code, dry.stdout)
    broken = ListedLog(story.records, story.log()._held, breaks_after=3)
    assert 3 == code(broken, DEPLOYMENT, account, "--from", first, "--to", last)


def test_a_scenario_is_worked_out_and_summed_up(monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
    at = rfc3339(max(one.time_ms for one in story.records))

    def given(*options: str) -> Result:
        return run(monkeypatch, story, story.log(), "whatif", DEPLOYMENT, "--time", at, *options)

    result = given("--shock", "BTC=-90%", "--funding", "0.1%", "--all", "--json")

    assert 0 == result.exit_code, result.output
    *accounts, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert (len(story.last), len(accounts)) == (last["summary"]["accounts"], last["summary"]["changed"])
    assert all(one["before"] != one["after"] for one in accounts)
    assert "binance-futures:BTCUSDT: " in result.stderr
    assert f"{len(story.last)} accounts: " in given("--mark", "BTCUSDT=1").stdout
    for options in ((), ("--shock", "BTC=5"), ("--mark", "BTC=5%"), ("--shock", "BTC"), ("--funding", "much")):
        assert 2 == given(*options).exit_code
    assert "found DOGE" in str(given("--shock", "DOGE=-1%").exception)
    nobody = run(monkeypatch, story, story.log(), "whatif", DEPLOYMENT, "--shock", "BTC=1%", "--time",
                 rfc3339(story.records[0].time_ms - 1))  # fmt: skip
    assert (1, "") == (nobody.exit_code, nobody.stdout)
    to_come = run(
        monkeypatch, story, story.log(), "whatif", DEPLOYMENT, "--shock", "BTC=1%", "--time", "9999-01-01T00:00:00Z"
    )
    assert "expected an instant that has been" in str(to_come.exception)
    dry = given("--shock", "BTC=1%", "--dry-run")
    assert (0, "") == (dry.exit_code, dry.stdout)


def test_a_checkpoint_is_made_listed_and_begun_at(
    monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path
) -> None:
    at = rfc3339(story.records[len(story.records) // 2].time_ms)

    def given(*options: str) -> Result:
        return run(monkeypatch, story, story.log(), *options)

    dry = given("checkpoint", "create", DEPLOYMENT, "--out", str(tmp_path / "c"), "--time", at, "--dry-run")
    assert (0, "", []) == (dry.exit_code, dry.stdout, list(tmp_path.iterdir()))
    made = given("checkpoint", "create", DEPLOYMENT, "--out", str(tmp_path / "c"), "--time", at, "--json")
    assert 0 == made.exit_code, made.output
    listed = given("checkpoint", "list", str(tmp_path / "c"), "--json")
    assert json.loads(made.stdout) == json.loads(listed.stdout)
    assert at == json.loads(listed.stdout)["time"]
    account = max(story.last).decode().partition(":")[2]
    end = rfc3339(max(one.time_ms for one in story.records))
    whole, begun = [
        given("asof", DEPLOYMENT, account, "--time", end, "--json", *options)
        for options in ((), ("--checkpoints", str(tmp_path / "c")))
    ]
    assert whole.stdout == begun.stdout != ""
    assert int(begun.stderr.split()[0]) < int(whole.stderr.split()[0])
    before = given("checkpoint", "create", DEPLOYMENT, "--out", str(tmp_path / "d"), "--time", "1970-01-02T00:00:00Z")
    assert (1, "") == (before.exit_code, before.stdout)
    to_come = given("checkpoint", "create", DEPLOYMENT, "--out", str(tmp_path / "d"), "--time", "2999-01-01T00:00:00Z")
    assert "expected an instant that has been" in str(to_come.exception)


def test_what_was_shown_stands_beside_what_is_recomputed(monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
    (now_ms, key), body = next(reversed(story.shown.items()))
    topic, account = served_name(story.settings), key.decode().partition(":")[2]
    place = Place(topic, partition_of(key, 4))
    wrong = {**body, "upnl": "7", "notional": "8"}
    # The row before, a fenced owner's late one, another account's, and one that was shown later.
    served = [
        LogRecord(time_ms, *place, offset, of, encode_row(term, version, row))
        for offset, (time_ms, of, term, version, row) in enumerate(
            [(now_ms - 900_000, key, 3, 6, body), (now_ms - 700_000, key, 3, 7, wrong),
             (now_ms - 650_000, key, 2, 9, body), (now_ms, key + b"1", 3, 9, body), (now_ms + 1, key, 3, 8, body)]
        )
    ]  # fmt: skip

    def given(*shown: LogRecord) -> dict[str, Any]:
        log = ListedLog([*story.records, *shown], story.log()._held)
        none = {Place(topic, number): Held(0, 0, None) for number in range(4)}
        log._held = {**log._held, **none, **{one.place: Held(0, one.offset + 1, None) for one in shown}}
        at = rfc3339(now_ms)
        result = run(monkeypatch, story, log, "asof", DEPLOYMENT, account, "--time", at, "--json", "--served")
        assert 0 == result.exit_code, result.output
        said: dict[str, Any] = json.loads(result.stdout)
        return said

    said = given(*served)
    shown = said["served"]
    assert (f"{topic}:{place.partition}:1", 3, 7) == (shown["record"], shown["term"], shown["version"])
    assert ({"upnl", "notional"}, "7") == (set(shown["differs"]) - {"stale", "positions"}, shown["row"]["upnl"])
    assert body["upnl"] == said["row"]["upnl"]
    assert given()["served"] is None
    assert [] == said["unreadable"]
    odd = LogRecord(now_ms, *place, 4, key, b"nonsense")
    beside = given(*served[:4], odd)
    assert shown == beside["served"]
    assert [(topic, 4)] == [(one["topic"], one["offset"]) for one in beside["unreadable"]]
