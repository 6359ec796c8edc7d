"""``tidemark audit``: hold the tables against the node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.audit.account_audit import Report
    from streams.audit.log_audit import LogReport
    from streams.settings import Settings

_EXIT_DIFFERS = 1
_EXIT_INCOMPLETE = 3


@click.command
@click.argument("deployment", required=False)
@click.option("--repair", is_flag=True, help="Write a checkpoint for every account that differs or is suspect.")
@click.option(
    "--block",
    type=click.IntRange(min=0),
    metavar="N",
    help="A block that is final in the tables; their newest final one if not given.",
)
@click.option(
    "--logs",
    nargs=2,
    type=click.IntRange(min=0),
    metavar="FROM TO",
    help="Compare the recorded logs of these blocks with the node's instead; blocks that are not final are left out.",
)
def audit(deployment: str | None, repair: bool, block: int | None, logs: tuple[int, int] | None) -> None:
    """Compare every account of DEPLOYMENT, or of all of them, with what its contracts answer at a final block.

    Each value that differs is printed with ours and the node's. With --repair such an account gets a checkpoint record,
    which replaces its row, unless it was touched after that block. An account that was not compared is printed with the
    reason. With --logs the records in chain-blocks are compared, log by log; they are what everything else is made of.

    \b
    Exit codes:
        0  every account, or every block, was compared, and all agree
        1  an account differs or is suspect, a deployment is unsupported, or a log differs
        2  nothing could be audited: the configuration, Kafka, the node or the block is not as it should be
        3  all that was compared agrees, and some accounts or blocks were not compared, or are not proven
    Where the configuration names no Kafka, that of the `tidemark up` which runs in the same data directory is audited.

    \b
    Everything at the newest final block:
        tidemark audit
    One deployment at a block of your choice, repaired where needed:
        tidemark audit NAME --block 17000000 --repair
    \b
    The logs that were recorded, where logs may have been lost:
        tidemark audit NAME --logs 17000000 17100000
    """  # noqa: D301 - click wants its \b as it is
    from streams.audit.log_audit import LogReport
    from streams.settings import BadSettings, symmio_deployments
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.local_stack import settings_here

    if logs is not None and (repair or block is not None or logs[0] > logs[1]):
        msg = "--logs takes the lower block first, and neither --repair nor --block"
        raise click.UsageError(msg)
    settings = settings_here()
    names = [deployment] if deployment else sorted(symmio_deployments(settings))
    if not names:
        msg = (
            "expected a deployment in the configuration, found none; add one, or say this where `tidemark up` runs, "
            f"with its data in {settings.data_dir}"
        )
        raise BadSettings(msg)
    with naming_the_broker(require_broker(settings.bootstrap)):
        reports: Sequence[Report | LogReport] = asyncio.run(
            _audit(settings, names, block, repair=repair) if logs is None else _audit_logs(settings, names, *logs)
        )
    for name, report in zip(names, reports, strict=True):
        _print_logs(name, report) if isinstance(report, LogReport) else _print(name, report)
    if not all(report.is_clean for report in reports):
        raise SystemExit(_EXIT_DIFFERS)
    if not all(report.is_complete for report in reports):
        raise SystemExit(_EXIT_INCOMPLETE)


async def _audit(settings: Settings, names: list[str], block: int | None, *, repair: bool) -> list[Report]:
    from streams.audit.account_audit import audit as audit_one
    from streams.process.clock import SystemClock

    return [await audit_one(settings, name, SystemClock(), block=block, is_repairing=repair) for name in names]


async def _audit_logs(settings: Settings, names: list[str], first: int, last: int) -> list[LogReport]:
    from streams.audit.log_audit import audit_logs

    return [await audit_logs(settings, name, first, last) for name in names]


def _print_logs(name: str, report: LogReport) -> None:
    for one in report.differences:
        click.echo(
            f"{name}: block {one.block} {one.block_hash} log {one.log_index} of {one.tx}: only "
            f"{'at the node' if one.where == 'node' else 'recorded'}"
        )
    for (first, last), reason in sorted(report.skipped.items()):
        click.echo(f"{name}: blocks {first} to {last} not compared or not proven: {reason}")
    click.echo(
        f"{name}: blocks {report.first} to {report.last}, {report.logs} logs agree, {len(report.differences)} differ"
    )


def _print(name: str, report: Report) -> None:
    if report.unsupported is not None:
        click.echo(f"{name}: unsupported {report.unsupported}")
    for account, cause in report.suspects.items():
        click.echo(f"{name}: {account} is suspect: {cause}")
    for difference in report.differences:
        click.echo(f"{name}: {difference.account} {difference.name} ours={difference.ours} node={difference.node}")
    for account, reason in report.skipped.items():
        click.echo(f"{name}: {account} not compared: {reason}")
    for account in report.repaired:
        click.echo(f"{name}: {account} checkpoint written")
    for account, reason in report.unrepaired.items():
        click.echo(f"{name}: {account} not repaired: {reason}")
    differing = len({difference.account for difference in report.differences})
    click.echo(
        f"{name}: block {report.block}, {report.accounts} accounts compared, {differing} differ, "
        f"{len(report.suspects)} suspect, {len(report.skipped)} not compared"
    )
