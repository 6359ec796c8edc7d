"""The exit codes of ``tidemark audit``, which a scheduled job acts on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from streams.audit.account_audit import Report
from streams.audit.comparison import Difference
from tidemark.commands import audit as module

if TYPE_CHECKING:
    from streams.settings import Settings

DIFFERENCE = Difference("0xa", "allocated", "1", "2")


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
    monkeypatch.setattr("tidemark.kafka.require_broker", lambda bootstrap: bootstrap)
    monkeypatch.setenv("TIDEMARK_KAFKA", "127.0.0.1:1")
    names = [f"d{number}" for number in range(len(reports))]
    deployments = dict.fromkeys(names, f'{{"chain_id": 1, "diamond": "0x{"ab" * 20}"}}')
    monkeypatch.setenv("TIDEMARK_DEPLOYMENTS", "{" + ",".join(f'"{n}": {d}' for n, d in deployments.items()) + "}")

    result = CliRunner().invoke(module.audit, [])

    assert code == result.exit_code, result.output
    assert all(
        f"{account} not compared: {reason}" in result.output for r in reports for account, reason in r.skipped.items()
    )


def test_help_names_each_exit_code() -> None:
    said = CliRunner().invoke(module.audit, ["--help"]).output
    assert all(f"  {code}  " in said for code in range(4))
