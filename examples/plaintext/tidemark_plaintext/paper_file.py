"""The ingest of a package: it writes the records of paper accounts from a file, a line each: the account, and one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemark.ingest import (
    BadSettings,
    IngestPackage,
    account_key,
    opened_outlet,
    require_topic,
    run_ingest,
    topic_name,
)

if TYPE_CHECKING:
    from tidemark.ingest import Clock, Settings

_TOPIC = "paper-records"


@click.command
@click.argument("deployment")
@click.option("--file", type=click.Path(path_type=Path), default=Path("paper.txt"))
def paper(deployment: str, file: Path) -> None:
    """Write what a file says of the accounts of DEPLOYMENT."""
    run_ingest(lambda settings, clock: _write(settings, deployment, file, clock))


async def _write(settings: Settings, deployment: str, file: Path, _clock: Clock) -> None:
    if deployment not in settings.deployments:
        msg = f"expected a deployment of the configuration, found {deployment!r}"
        raise BadSettings(msg)
    await require_topic(settings, _TOPIC)
    async with opened_outlet(settings.bootstrap) as outlet:
        for line in (await asyncio.to_thread(file.read_text)).splitlines():
            account, _, record = line.partition(" ")
            await outlet.put(topic_name(settings, _TOPIC), account_key(deployment, account), record.encode())
        await outlet.flush()


INGEST = IngestPackage("paper", paper)
