"""The commands that read the log, over captures: what they print, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from streams.replay.bounded_log import BrokenOff, Place, Span
from streams.replay.captured_log import CapturedLog, CaptureWriter
from tests.support.listed_log import ListedLog, record
from tests.support.server import ROOT
from tidemark import cli as command_line

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from click.testing import Result

    from streams.replay.bounded_log import LogRecord

VECTOR = {Place("price-ticks", 0): Span(0, 4), Place("chain-blocks", 0): Span(3, 5)}
RECORDS = [
    record("price-ticks", 0, 0, 1_000, '{"n":0}', "v:BTC"),
    record("price-ticks", 0, 1, 2_000, '{"n":1}', "v:ETH"),
    record("price-ticks", 0, 3, 4_000, '{"n":3}', "v:BTC"),
    record("chain-blocks", 0, 3, 2_000, '{"n":9}', "d"),
]
FULL = Path("/dev/full")
BEGIN, END = "1970-01-01T00:00:01Z", "1970-01-01T00:00:05Z"


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    writer = CaptureWriter(tmp_path / "c", VECTOR)
    for one in RECORDS:
        writer.take(one)
    writer.finish(code="test", made_ms=9_000, since_ms=1_000, until_ms=5_000)
    return tmp_path / "c"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command_line.cli, list(arguments))


def test_records_are_printed_in_one_order_and_again_from_the_offsets_that_were_printed(captured: Path) -> None:
    by_time = run(
        "records", "price-ticks", "chain-blocks", "--from", BEGIN, "--to", END, "--json", "--log", str(captured)
    )
    assert 0 == by_time.exit_code, by_time.output
    assert [0, 1, 9, 3] == [json.loads(line)["value"]["n"] for line in by_time.stdout.splitlines()]

    offsets = by_time.stderr.partition("--offsets ")[2].splitlines()[0]
    assert "chain-blocks:0:3-5,price-ticks:0:0-4" == offsets
    again = run("records", "--offsets", offsets, "--json", "--log", str(captured))
    assert sorted(by_time.stdout.splitlines()) == sorted(again.stdout.splitlines())


def test_records_are_filtered_by_key_and_limited(captured: Path) -> None:
    window = ("records", "price-ticks", "--from", BEGIN, "--log", str(captured))

    assert 2 == len(run(*window, "--key", "v:BTC").stdout.splitlines())
    assert 3 == len(run(*window, "--key", "v:*").stdout.splitlines())
    assert 1 == len(run(*window, "--limit", "1").stdout.splitlines())
    assert 1 == run(*window, "--key", "v:SOL").exit_code


def test_a_dry_run_prints_the_window_and_no_record(captured: Path) -> None:
    result = run("records", "price-ticks", "--from", BEGIN, "--dry-run", "--log", str(captured))

    assert (0, "") == (result.exit_code, result.stdout)
    assert "4 offsets: --offsets price-ticks:0:0-4" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("price-ticks", "--from", END, "--to", BEGIN), "begins before it ends"),
        (("chain-blocks", "--from", "1970-01-01T00:00:00Z"), "is held since 1970-01-01T00:00:01.000Z only"),
        (("price-ticks", "--from", BEGIN, "--to", "1970-01-01T00:00:06Z"), "until 1970-01-01T00:00:05.000Z only"),
        (("price-tick", "--from", BEGIN), "expected price-tick in"),
        (("--offsets", "price-ticks:0:2-9"), "up to 4"),
        (("--offsets", "price-ticks:0:2-1"), "2-1"),
        (("price-ticks",), "--from"),
        (("price-ticks", "--from", BEGIN, "--offsets", "price-ticks:0:0-1"), "--offsets alone"),
    ],
)
def test_what_is_no_window_of_the_log_ends_with_2_and_says_why(
    captured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.argv", ["tidemark", "records", *arguments, "--log", str(captured)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()

    assert 2 == ended.value.code
    assert said in capsys.readouterr().err


def test_an_empty_window_ends_with_1(captured: Path) -> None:
    assert 1 == run("records", "price-ticks", "--from", END, "--to", END, "--log", str(captured)).exit_code
    out = str(captured.parent / "out")
    assert 1 == run("capture", "price-ticks", "--from", END, "--out", out, "--log", str(captured)).exit_code
    assert ["c"] == [path.name for path in captured.parent.iterdir()]


def test_a_capture_of_a_capture_has_its_digest(captured: Path, tmp_path: Path) -> None:
    result = run("capture", "--offsets", "chain-blocks:0:3-5,price-ticks:0:0-4", "--out", str(tmp_path / "out"),
                 "--log", str(captured))  # fmt: skip

    assert 0 == result.exit_code, result.output
    assert CapturedLog(captured).manifest.digest == CapturedLog(tmp_path / "out").manifest.digest
    assert CapturedLog(captured).manifest.digest in result.stdout


@pytest.mark.parametrize("command", ["records", "capture"])
def test_a_broker_that_stops_in_the_middle_ends_with_3_and_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    log = ListedLog([record("price-ticks", 0, offset, offset) for offset in range(100)], breaks_after=5)
    monkeypatch.setenv("TIDEMARK_KAFKA", "127.0.0.1:1")
    monkeypatch.setattr("tidemark.kafka.require_broker", lambda bootstrap: bootstrap)
    monkeypatch.setattr("tidemark.replay_window.open_log", lambda *_: log)
    out = ("--out", str(tmp_path / "out")) if command == "capture" else ()

    result = run(command, "price-ticks", "--from", "1970-01-01T00:00:00Z", *out)

    assert 3 == result.exit_code
    assert "the broker stopped" in result.stderr
    assert [] == list(tmp_path.iterdir())


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is full")
def test_where_there_is_no_room_for_what_is_printed_that_is_said_and_it_ends_with_3(captured: Path) -> None:
    command = [sys.executable, "-m", "tidemark.cli", "records", "price-ticks", "--from", BEGIN, "--log", str(captured)]
    with FULL.open("wb") as full:
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)

    assert 3 == ended.returncode, ended.stderr
    assert b"expected room for what is printed" in ended.stderr
    assert b"Traceback" not in ended.stderr


class FollowedLog(ListedLog):
    """A log to which is written while it is followed: first what stands, and then one record at a time, for ever."""

    async def follow(self, begins: Mapping[Place, int]) -> AsyncGenerator[Sequence[LogRecord], None]:
        standing = [one for place, records in self.of.items() for one in records if one.offset >= begins[place]]
        yield sorted(standing)
        for offset in count(100):
            yield [record("price-ticks", 0, offset, offset, f'{{"n":{offset}}}', f"v:{offset % 2}")]
            if offset == 200:
                msg = "the broker stopped"
                raise BrokenOff(msg)


def test_tail_prints_what_stands_from_its_beginning_on_and_what_comes_until_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = FollowedLog(
        [record("price-ticks", 0, offset, 1_000 * offset, f'{{"n":{offset}}}', "v:0") for offset in range(5)]
    )
    monkeypatch.setenv("TIDEMARK_KAFKA", "127.0.0.1:1")
    monkeypatch.setattr("tidemark.kafka.require_broker", lambda bootstrap: bootstrap)
    monkeypatch.setattr("streams.replay.kafka_log.KafkaLog", lambda *_: log)

    since = ("--from", "1970-01-01T00:00:03Z", "--json")
    result = run("tail", "price-ticks", *since, "--key", "v:0", "--limit", "4")
    assert (0, [3, 4, 100, 102]) == (
        result.exit_code,
        [json.loads(line)["value"]["n"] for line in result.stdout.splitlines()],
    )

    broken = run("tail", "price-ticks", *since)
    assert (3, 103) == (broken.exit_code, len(broken.stdout.splitlines()))
    assert "the broker stopped" in broken.stderr
