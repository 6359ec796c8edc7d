"""``tidemark doctor``: check a deployment and say what to do."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from models.findings import Finding
    from streams.settings import Settings

_EXIT_BY_VERDICT = {"fine": 0, "warning": 3, "unknown": 4, "wrong": 5}
# One that has no answer by then is not going to have one: a broker that answers some questions and not others, or a
# partition without a leader, of which nothing can be read.
_WITHIN_S = 120.0
_COLOURS = {"fine": "green", "warning": "yellow", "unknown": "yellow", "wrong": "red"}


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the verdict on all, and every finding.")
def doctor(as_json: bool) -> None:
    """Check a deployment: broker, topics, rights, lag, parts, clocks, nodes, contracts, prices, signer and disk.

    It changes nothing. What is not as it should be is printed with what to do. Run it as the user of the tools
    (`tidemark topics acls`), which may see what is needed.

    \b
    Exit codes:
        0  everything is as it should be
        2  nothing could be checked: the configuration is wrong
        3  something should be looked at
        4  something could not be checked
        5  something is wrong
    """  # noqa: D301 - click wants its \b as it is
    from models.findings import worst
    from tidemark.local_stack import settings_here

    settings = settings_here()
    findings = [*_broker(settings), *asyncio.run(_outside(settings))]
    verdict = worst(findings)
    if as_json:
        click.echo(json.dumps({"verdict": verdict, "findings": [finding._asdict() for finding in findings]}, indent=2))
    else:
        for finding in findings:
            _print(finding)
    raise SystemExit(_EXIT_BY_VERDICT[verdict])


def _print(finding: Finding) -> None:
    click.echo(f"{click.style(f'{finding.verdict:8}', fg=_COLOURS[finding.verdict])}{finding.check}: {finding.found}")
    if finding.to_do:
        click.echo(f"        → {finding.to_do}")


def _broker(settings: Settings) -> list[Finding]:
    from models.errors import TidemarkError
    from models.findings import Finding, Verdict, fine
    from tidemark.kafka import require_broker

    try:
        bootstrap = require_broker(settings.bootstrap)
    except TidemarkError as error:
        return [Finding("broker", Verdict.WRONG, str(error), "nothing that needs it was checked")]
    return [fine("broker", f"{bootstrap} answers"), *asyncio.run(_inside(settings))]


async def _inside(settings: Settings) -> list[Finding]:
    """Check what the broker knows."""
    from models.heartbeats import chain_key, funder_key
    from streams.checks.access_checks import check_access
    from streams.checks.part_checks import check_lag, check_parts
    from streams.checks.topic_checks import check_registry
    from streams.process.clock import SystemClock
    from streams.settings import symmio_deployments
    from streams.settings.flash.flash_settings import flash_deployments

    deployments = symmio_deployments(settings)
    funded = [name for name, one in deployments.items() if one.funding.party_b is not None]
    parts = [*map(chain_key, (*deployments, *flash_deployments(settings))), *map(funder_key, funded)]

    async def access() -> list[Finding]:
        return [await check_access(settings)]

    async def lag() -> list[Finding]:
        return [await check_lag(settings)]

    return [
        *await _checked("topics", lambda: check_registry(settings)),
        *await _checked("access", access),
        *await _checked("parts", lambda: check_parts(settings, SystemClock(), parts)),
        *await _checked("lag", lag),
    ]


async def _checked(
    check: str, make: Callable[[], Awaitable[list[Finding]]], within_s: float = _WITHIN_S
) -> list[Finding]:
    from aiokafka.errors import KafkaError

    from models.errors import TidemarkError
    from models.findings import Finding, Verdict

    to_do = "see `tidemark topics acls` for the rights that this needs, and the broker's log"
    try:
        async with asyncio.timeout(within_s):
            return await make()
    except TimeoutError:
        return [Finding(check, Verdict.UNKNOWN, "nobody answered in time", to_do)]
    except (KafkaError, TidemarkError) as error:
        return [Finding(check, Verdict.UNKNOWN, f"not told: {error!r}", to_do)]


async def _outside(settings: Settings) -> list[Finding]:
    """Check what is asked elsewhere: nodes, and this machine."""
    from streams.audit.deployment_checks import check_deployment
    from streams.checks.disk_checks import check_disk
    from streams.ingest.flash.node_checks import check_flash_nodes
    from streams.process.clock import SystemClock
    from streams.settings import symmio_deployments
    from streams.settings.flash.flash_settings import flash_deployments

    clock = SystemClock()
    found = [check_disk(settings.data_dir)]
    for name, deployment in symmio_deployments(settings).items():
        found += await check_deployment(settings, name, deployment, clock)
    for name, flash in flash_deployments(settings).items():
        found += await check_flash_nodes(name, flash, settings.api.freshness.head_s, clock)
    return found
