"""``tidemark funder``: charge funding on chain."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from streams.settings import BadSettings, Settings, load_settings, symmio_deployments

if TYPE_CHECKING:
    from streams.funder.funder_process import Planned


@click.command
@click.argument("deployment", required=False)
@click.option("--dry-run", is_flag=True, help="Print what would be charged in the next window, and send nothing.")
def funder(deployment: str | None, dry_run: bool) -> None:
    """Charge the funding of DEPLOYMENT's open quotes on chain, in every epoch's window.

    DEPLOYMENT may be left out where only one has a funding.party_b. Of several that are started for a deployment one
    works and the others wait. It may be killed at any moment: what it sent is on record before, and the next one goes
    on from there.
    """
    from streams.funder.funder_process import plan, run
    from streams.process.clock import SystemClock
    from streams.process.logs import log_to_stderr
    from tidemark.admin_port import with_admin_port
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import run_until_stopped

    settings = load_settings()
    name = deployment or _only_one(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        if dry_run:
            planned = asyncio.run(plan(settings, name, SystemClock()))
            for one in planned:
                _print(one)
            if not planned:
                click.echo(f"{name}: no valid market with a funding epoch")
            return
        log_to_stderr(settings.log, "funder")
        run_until_stopped(with_admin_port(settings.ingest, run(settings, name, SystemClock())))


def _only_one(settings: Settings) -> str:
    names = [name for name, one in symmio_deployments(settings).items() if one.funding.party_b is not None]
    if len(names) != 1:
        found = ", ".join(sorted(names)) or "none"
        msg = f"expected one deployment with a funding.party_b, or its name as an argument, found {found}"
        raise BadSettings(msg)
    return names[0]


def _print(planned: Planned) -> None:
    from models.money import format_e18
    from models.symmio.funding_plan import Charge

    frozen = planned.frozen
    opens, closes, begins = (
        datetime.fromtimestamp(one_s, UTC).isoformat()
        for one_s in (frozen.opens_s, frozen.closes_s, frozen.epoch.pays_s)
    )
    click.echo(f"epoch {begins} of {frozen.epoch.epoch_s} s, window {opens} to {closes}")
    for symbol_id, market in frozen.markets.items():
        mark, long, short = (format_e18(int(text)) for text in (market.mark, market.long, market.short))
        click.echo(f"  symbol {symbol_id}: mark {mark} ({market.mark_key}), long {long}, short {short}")
    for symbol_id, reason in frozen.left_out.items():
        click.echo(f"  symbol {symbol_id} left out: {reason}")
    for party_a, charges in planned.charges.items():
        click.echo(f"  {party_a}: {len(charges)} quotes")
        for quote_id, charge in charges:
            match charge:
                case Charge(rate_e18=rate, wanted_e18=wanted):
                    clipped = f", clipped from {format_e18(wanted)}" if charge.is_clipped else ""
                    click.echo(f"    quote {quote_id}: rate {format_e18(rate)}{clipped}")
                case _:
                    click.echo(f"    quote {quote_id}: not charged, {charge.value}")
