"""The exit codes of ``tidemark audit``, which a scheduled job acts on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from streams.audit.account_audit import Report
from streams.audit.comparison import Difference
from streams.audit.log_audit import LogDifference, LogReport
from tidemark.commands import audit as module

if TYPE_CHECKING:
    from streams.settings import Settings

DIFFERENCE = Difference("0xa", "allocated", "1", "2")


LOST = LogDifference(7, "0xb", "0xt", 3, "node")


def configure(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """So many deployments, d0 and on, at a broker that is there."""
    monkeypatch.setattr("tidemark.kafka.require_broker", lambda bootstrap: bootstrap)
    monkeypatch.setenv("TIDEMARK_KAFKA", "127.0.0.1:1")
    names = [f"d{number}" for number in range(count)]
    deployments = dict.fromkeys(names, f'{{"chain_id": 1, "diamond": "0x{"ab" * 20}"}}')
    monkeypatch.setenv("TIDEMARK_DEPLOYMENTS", "{" + ",".join(f'"{n}": {d}' for n, d in deployments.items()) + "}")


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ([Report(5, accounts=2)], 0),
        ([Report(5, accounts=2, differences=[DIFFERENCE])], 1),
        ([Report(5, accounts=2, suspects={"0xa": "odd"})], 1),
        ([Report(5, accounts=1, skipped={"0xb": "its undo is gone"})], 3),
        ([Report(5, accounts=1, skipped={"0xb": "its undo is gone"}, differences=[DIFFERENCE])], 1),
        ([Report(5, accounts=1), Report(5, skipped={"0xb": "its undo is gone"})], 3),
    ],
)
def test_the_exit_code_says_whether_all_agree_and_all_were_compared(
    monkeypatch: pytest.MonkeyPatch, reports: list[Report], code: int
) -> None:
    async def found(settings: Settings, names: list[str], block: int | None, *, repair: bool) -> list[Report]:
        del settings, names, block, repair
        return reports

    monkeypatch.setattr(module, "_audit", found)
    configure(monkeypatch, len(reports))

    result = CliRunner().invoke(module.audit, [])

    assert code == result.exit_code, result.output
    assert all(
        f"{account} not compared: {reason}" in result.output for r in reports for account, reason in r.skipped.items()
    )


def test_help_names_each_exit_code() -> None:
    said = CliRunner().invoke(module.audit, ["--help"]).output
    assert all(f"  {code}  " in said for code in range(4))


@pytest.mark.parametrize(
    ("report", "code", "said"),
    [
        (LogReport(5, 9, logs=4), 0, "blocks 5 to 9, 4 logs agree, 0 differ"),
        (LogReport(5, 9, differences=[LOST]), 1, "block 7 0xb log 3 of 0xt: only at the node"),
        (LogReport(5, 9, skipped={(6, 8): "never recorded"}), 3, "blocks 6 to 8 not compared or not proven: never rec"),
    ],
)
def test_logs_have_the_same_exit_codes(
    monkeypatch: pytest.MonkeyPatch, report: LogReport, code: int, said: str
) -> None:
    async def found(_settings: Settings, _names: list[str], first: int, last: int) -> list[LogReport]:
        assert (5, 9) == (first, last)
        return [report]

    monkeypatch.setattr(module, "_audit_logs", found)
    configure(monkeypatch, 1)

    result = CliRunner().invoke(module.audit, ["--logs", "5", "9"])

    assert code == result.exit_code, result.output
    assert said in result.output


@pytest.mark.parametrize("options", [["--repair"], ["--block", "3"]])
def test_logs_are_not_repaired(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    configure(monkeypatch, 1)

    assert 2 == CliRunner().invoke(module.audit, ["--logs", "5", "9", *options]).exit_code
    assert 2 == CliRunner().invoke(module.audit, ["--logs", "9", "5"]).exit_code
