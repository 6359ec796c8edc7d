"""``tidemark archive``: what it prints and how it ends, and other commands over an archive."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from streams.archive.archive_store import opened_store
from streams.archive.archived_log import ArchivedLog, JoinedLog
from streams.archive.archiving import archive_due, find_due
from streams.archive.restoring import NotBegun
from streams.kafka.topics import PRICE_TICKS, archived_names, served_name, topic_name
from streams.replay.bounded_log import BrokenOff, Held, Place
from streams.replay.checkpoints import found_in
from streams.settings import Settings
from tests.support.listed_log import ListedLog, record
from tests.support.told_cluster import ToldCluster
from tidemark import cli as command_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from click.testing import Result

    from streams.archive.restoring import Target
    from streams.kafka.topics import Topic
    from streams.process.clock import Clock
    from streams.replay.bounded_log import Log
    from streams.settings.kafka_client import Bootstrap
    from tidemark.log_source import LogSource

SETTINGS = Settings(kafka="127.0.0.1:1", topics={"partitions": 2, "prefix": "a-"})  # type: ignore[arg-type]
TICKS = topic_name(SETTINGS, PRICE_TICKS)
BEGIN = "1970-01-01T00:00:00Z"


def log_of(end: int, begin: int = 0, *, breaks_after: int | None = None) -> ListedLog:
    records = [record(TICKS, 0, offset, offset * 1_000, f'{{"n":{offset}}}') for offset in range(begin, end)]
    held = {Place(topic, number): Held(0, 0, None) for topic in archived_names(SETTINGS) for number in range(2)}
    held[Place(TICKS, 0)] = Held(begin, end, begin * 1_000 if begin else None)
    return ListedLog(records, held, breaks_after=breaks_after)


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemark.local_stack.settings_here", lambda: SETTINGS)
    monkeypatch.setattr("tidemark.kafka.require_broker", lambda bootstrap: bootstrap)


def run(monkeypatch: pytest.MonkeyPatch, log: ListedLog, *arguments: str) -> Result:
    monkeypatch.setattr("tidemark.replay_window.KafkaLog", lambda *_: log)
    return CliRunner().invoke(command_line.cli, list(arguments))


def test_what_was_archived_is_read_by_other_commands_beside_kafka_and_in_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = str(tmp_path / "archive")
    first = run(monkeypatch, log_of(40), "archive", "write", url, "--older-than", "1d", "--json")
    assert 0 == first.exit_code, first.output
    said = {line["topic"]: line for line in map(json.loads, first.stdout.splitlines())}
    assert {"topic": TICKS, "offsets": f"{TICKS}:0:0-40", "records": 40, "lost": ""} == said[TICKS]
    assert set(archived_names(SETTINGS)) == set(said)

    window = ("records", PRICE_TICKS, "--from", BEGIN, "--json")
    later = log_of(60, 30)
    joined = run(monkeypatch, later, *window, "--from-archive", url)
    alone = run(monkeypatch, later, *window, "--to", "1970-01-01T00:00:35Z", "--log", url)
    assert list(range(60)) == [json.loads(line)["value"]["n"] for line in joined.stdout.splitlines()]
    assert list(range(35)) == [json.loads(line)["value"]["n"] for line in alone.stdout.splitlines()]
    both = run(monkeypatch, later, *window, "--log", url, "--from-archive", url)
    assert "expected one of --log" in both.output
    nowhere = run(monkeypatch, later, *window, "--from-archive", str(tmp_path / "none"))
    assert "expected an archive at" in str(nowhere.exception)


async def test_checkpoints_over_an_archive_may_be_of_each_cluster_that_has_its_records(
    tmp_path: Path,
) -> None:
    store, live = opened_store(str(tmp_path / "archive")), log_of(40)
    due = await find_due(live, store, TICKS, 10**9)
    await archive_due(live, store, due, {}, code="test", on_record=lambda _: None)
    archived = ArchivedLog(store)
    for log in (archived, JoinedLog(archived, live)):
        found = await found_in(tmp_path, log)
        assert found is not None
        assert {TICKS: {"listed": {0: 40, 1: 0}}} == found._shared
        assert "listed" == found._cluster


def test_a_dry_run_writes_nothing_and_a_second_run_finds_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = ("archive", "write", str(tmp_path / "archive"), PRICE_TICKS)
    tried = run(monkeypatch, log_of(40), *given, "--dry-run")
    assert f"{TICKS}: 40 offsets to archive: {TICKS}:0:0-40\n" == tried.stdout
    assert [] == list(tmp_path.iterdir())
    assert "40 records archived" in run(monkeypatch, log_of(40), *given).stdout
    assert (0, "") == ((again := run(monkeypatch, log_of(40), *given)).exit_code, again.stdout)


def test_what_was_deleted_first_ends_with_1_and_a_broken_log_with_3_and_the_next_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = str(tmp_path / "archive")
    given = ("archive", "write", url, PRICE_TICKS)
    broken = run(monkeypatch, log_of(40, breaks_after=2), *given)
    assert (3, "the broker stopped") == (broken.exit_code, broken.output.strip().rpartition("tidemark: ")[2])
    assert 0 == run(monkeypatch, log_of(40), *given).exit_code

    lost = run(monkeypatch, log_of(90, 50), *given)
    assert 1 == lost.exit_code
    assert f"lost: {TICKS}:0:40-50" in lost.stderr
    checked = run(monkeypatch, log_of(0), "archive", "check", url)
    assert 1 == checked.exit_code
    assert f"{TICKS}:0: offsets 40-50 were deleted before they were archived\n" in checked.stdout
    assert f"{TICKS}: 2 files, 80 records" in run(monkeypatch, log_of(0), "archive", "list", url).stdout


def test_topics_of_the_epoch_in_use_are_not_restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = str(tmp_path / "archive")
    assert 0 == run(monkeypatch, log_of(9), "archive", "write", url).exit_code
    refused = run(monkeypatch, log_of(0), "archive", "restore", url)
    assert f"{served_name(SETTINGS)} archived: set epoch to 2" in str(refused.exception)


def test_what_is_archived_before_a_gap_is_named_and_left_out_of_a_restore(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = str(tmp_path / "archive")
    for log in (log_of(40), log_of(90, 50)):
        run(monkeypatch, log, "archive", "write", url, PRICE_TICKS)
    cluster = ToldCluster()
    cluster.topics[TICKS] = {}

    @asynccontextmanager
    async def opened(_bootstrap: Bootstrap) -> AsyncIterator[Target]:
        yield cluster.target()

    monkeypatch.setattr("streams.archive.restoring.opened_target", opened)
    restored = run(monkeypatch, log_of(0), "archive", "restore", url, "--dry-run", "--json")
    assert 1 == restored.exit_code, restored.output
    assert f"left out: {TICKS}:0:0-40 is archived" in restored.stderr
    assert f"{TICKS}:0:0-40" == json.loads(restored.stdout)["left_out"]


@pytest.mark.parametrize("which", [0, 1])
def test_a_cluster_that_refuses_the_first_topic_ends_a_restore_with_2_and_one_that_refuses_the_next_with_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, which: int
) -> None:
    url = str(tmp_path / "archive")
    assert 0 == run(monkeypatch, log_of(40), "archive", "write", url).exit_code
    monkeypatch.setattr("tidemark.local_stack.settings_here", lambda: SETTINGS.model_copy(update={"epoch": 2}))
    cluster, written = ToldCluster(), list[str]()

    @asynccontextmanager
    async def opened(_bootstrap: Bootstrap) -> AsyncIterator[Target]:
        yield cluster.target()

    async def restore(_target: Target, _log: object, topic: Topic, *_: object, **__: object) -> None:
        if len(written) == which:
            msg = "no leave"
            raise NotBegun(msg)
        written.append(topic.name)

    monkeypatch.setattr("streams.archive.restoring.opened_target", opened)
    monkeypatch.setattr("streams.archive.restoring.restore_topic", restore)
    restored = run(monkeypatch, log_of(0), "archive", "restore", url)
    # Whatever of ours is no ending of a reading, the command line ends with 2.
    assert isinstance(restored.exception, NotBegun) if which == 0 else 3 == restored.exit_code
    assert which == len(written)


@pytest.mark.parametrize("command", ["check", "list", "restore"])
def test_where_there_is_no_archive_nothing_is_said_to_be_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    found = run(monkeypatch, log_of(0), "archive", command, str(tmp_path / "none"))
    assert found.exit_code
    assert f"expected an archive at {tmp_path / 'none'}" in str(found.exception)


def test_a_broken_reading_is_an_end_with_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def breaks(_settings: Settings, _source: LogSource, _clock: Clock) -> Log:
        msg = "gone"
        raise BrokenOff(msg)

    monkeypatch.setattr("tidemark.replay_window.open_log", breaks)
    assert 3 == CliRunner().invoke(command_line.cli, ["archive", "write", str(tmp_path / "a")]).exit_code
