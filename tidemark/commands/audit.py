"""``tidemark audit``: hold the tables against the node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from streams.audit.account_audit import Report
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
def audit(deployment: str | None, repair: bool, block: int | None) -> None:
    """Compare every account of DEPLOYMENT, or of all of them, with what its contracts answer at a final block.

    Each value that differs is printed with ours and the node's. With --repair such an account gets a checkpoint record,
    which replaces its row, unless it was touched after that block. An account that was not compared is printed with the
    reason.

    \b
    Exit codes:
        0  every account was compared, and all agree
        1  an account differs or is suspect, or a deployment is unsupported
        2  nothing could be audited: the configuration, Kafka, the node or the block is not as it should be
        3  all that was compared agrees, and some accounts were not compared
    Where the configuration names no Kafka, that of the `tidemark up` which runs in the same data directory is audited.

    \b
    Everything at the newest final block:
        tidemark audit
    One deployment at a block of your choice, repaired where needed:
        tidemark audit NAME --block 17000000 --repair
    """  # noqa: D301 - click wants its \b as it is
    from streams.settings import BadSettings
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.local_stack import settings_here

    settings = settings_here()
    names = [deployment] if deployment else sorted(settings.deployments)
    if not names:
        msg = (
            "expected a deployment in the configuration, found none; add one, or say this where `tidemark up` runs, "
            f"with its data in {settings.data_dir}"
        )
        raise BadSettings(msg)
    with naming_the_broker(require_broker(settings.bootstrap)):
        reports = asyncio.run(_audit(settings, names, block, repair=repair))
    for name, report in zip(names, reports, strict=True):
        _print(name, report)
    if not all(report.is_clean for report in reports):
        raise SystemExit(_EXIT_DIFFERS)
    if not all(report.is_complete for report in reports):
        raise SystemExit(_EXIT_INCOMPLETE)


async def _audit(settings: Settings, names: list[str], block: int | None, *, repair: bool) -> list[Report]:
    from streams.audit.account_audit import audit as audit_one
    from streams.process.clock import SystemClock

    return [await audit_one(settings, name, SystemClock(), block=block, is_repairing=repair) for name in names]


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
