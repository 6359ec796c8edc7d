"""Every field that the contract answered, at every block it was asked at, against what its logs fold to."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from models.symmio.replay import Replay
from tests.support.recording import (
    GOLDEN_LOGS,
    GOLDEN_STATES,
    SECOND_LOGS,
    SECOND_STATES,
    read_json,
    recorded_blocks,
)
from tests.support.snapshots import differences
from tests.support.symmio import Chain, Partition
from tidemark.commands.fold import fold

if TYPE_CHECKING:
    from models.chain_records import Block


@cache
def _recording() -> dict[str, Any]:
    recording: dict[str, Any] = read_json(GOLDEN_LOGS)
    return recording


@cache
def _blocks() -> tuple[Block, ...]:
    return tuple(recorded_blocks(_recording()))


@cache
def _snapshots() -> list[dict[str, Any]]:
    snapshots: list[dict[str, Any]] = read_json(GOLDEN_STATES)["snaps"]
    return snapshots


def test_recorded_logs_fold_to_every_snapshot_of_the_contract() -> None:
    replay, blocks = Replay(_recording()["diamond"]), list(_blocks())
    found: list[str] = []
    for snapshot in _snapshots():
        while blocks and blocks[0].number <= snapshot["block"]:
            replay.fold(blocks.pop(0))
        found += differences(snapshot, replay.snapshot())

    assert len(_snapshots()) == 222
    assert [] == found


def test_a_second_recording_with_rarer_actions_folds_to_every_snapshot_too() -> None:
    recording, snapshots = read_json(SECOND_LOGS), read_json(SECOND_STATES)["snaps"]
    replay, blocks = Replay(recording["diamond"]), list(recorded_blocks(recording))
    found: list[str] = []
    for snapshot in snapshots:
        while blocks and blocks[0].number <= snapshot["block"]:
            replay.fold(blocks.pop(0))
        found += differences(snapshot, replay.snapshot())

    assert len(snapshots) == 311
    assert [] == found


@pytest.mark.parametrize("depth", [0, 1, 12, 10_000])
def test_rows_and_history_together_match_every_snapshot_whenever_blocks_become_final(depth: int) -> None:
    chain, partition = Chain(diamond=_recording()["diamond"], depth=depth), Partition(depth=depth)
    shown = Replay(_recording()["diamond"])
    blocks = list(_blocks())
    found: list[str] = []
    for snapshot in _snapshots():
        while blocks and blocks[0].number <= snapshot["block"]:
            chain.add(blocks.pop(0))
        partition.apply(chain.records)
        chain.records.clear()
        shown.rows, shown.finished = partition.rows, partition.finished
        found += differences(snapshot, shown.snapshot())

    assert [] == found
    assert [] == [row.suspect for row in partition.rows.values() if row.suspect]


def test_fold_command_prints_the_snapshots_asked_for() -> None:
    wanted = _snapshots()[::37]
    at = ",".join(str(snapshot["block"]) for snapshot in wanted)

    result = CliRunner().invoke(fold, [str(GOLDEN_LOGS), "--at", at])

    assert 0 == result.exit_code
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert [snapshot["block"] for snapshot in wanted] == [line["block"] for line in lines]
    assert [] == [d for snapshot, line in zip(wanted, lines, strict=True) for d in differences(snapshot, line)]


def test_fold_command_prints_the_last_block_when_none_is_asked_for() -> None:
    result = CliRunner().invoke(fold, [str(GOLDEN_LOGS)])

    assert 0 == result.exit_code
    assert _blocks()[-1].number == json.loads(result.output)["block"]


def test_fold_command_refuses_a_file_of_another_kind() -> None:
    result = CliRunner().invoke(fold, [str(GOLDEN_STATES)])

    assert "expected recorded logs" in str(result.exception)


def test_fold_command_refuses_what_is_no_block_number() -> None:
    result = CliRunner().invoke(fold, [str(GOLDEN_LOGS), "--at", "latest"])

    assert 2 == result.exit_code
    assert "expected block numbers" in result.output
