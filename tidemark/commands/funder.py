"""``tidemark funder``: charge funding on chain."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from streams.settings import BadSettings, Settings, load_settings, symmio_deployments

if TYPE_CHECKING:
    from models.symmio.funding_plan import Window
    from models.symmio.funding_records import Epoch, FrozenMarket, TickRef
    from streams.funder.dry_run import ExpectedFees, Planned
    from streams.funder.epoch_replay import Replayed


class Instant(click.ParamType):
    """An instant: Unix seconds, or a date and time of ISO 8601, in UTC unless it says otherwise."""

    name = "instant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it as Unix s."""
        text = str(value)
        if text.isascii() and text.isdecimal():
            return int(text)
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"expected Unix seconds or a time such as 2026-01-31T16:00:00Z, found {text!r}", param, ctx)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


@click.command
@click.argument("deployment", required=False)
@click.option("--dry-run", is_flag=True, help="Print what would be charged in the next window, and send nothing.")
@click.option("--at", type=Instant(), help="With --dry-run: print the terms of the epoch that began then.")
def funder(deployment: str | None, *, dry_run: bool, at: int | None) -> None:
    """Charge the funding of DEPLOYMENT's open quotes on chain, in every epoch's window.

    DEPLOYMENT may be left out where only one has a funding.party_b. Of several that are started for a deployment one
    works and the others wait. It may be killed at any moment: what it sent is on record before, and the next one goes
    on from there.

    With --dry-run --at, the marks and rates of a past epoch are found in the topics anew, and compared with the record.
    """
    from streams.funder.dry_run import plan
    from streams.funder.epoch_replay import replay
    from streams.funder.funder_process import run
    from streams.process.clock import SystemClock
    from streams.process.logs import log_to_stderr
    from tidemark.admin_port import with_admin_port
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import run_until_stopped

    if at is not None and not dry_run:
        msg = "--at: expected --dry-run with it, found it alone"
        raise click.UsageError(msg)
    settings = load_settings()
    name = deployment or _only_one(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        if at is not None:
            for found in asyncio.run(replay(settings, name, SystemClock(), at)):
                _print_replayed(found)
            return
        if dry_run:
            planned = asyncio.run(plan(settings, name, SystemClock()))
            for one in planned:
                _print(one)
            if not planned:
                click.echo(f"{name}: no valid market with a funding epoch")
            return
        log_to_stderr(settings, "funder")
        run_until_stopped(with_admin_port(settings.ingest, run(settings, name, SystemClock())))


def _only_one(settings: Settings) -> str:
    names = [name for name, one in symmio_deployments(settings).items() if one.funding.party_b is not None]
    if len(names) != 1:
        found = ", ".join(sorted(names)) or "none"
        msg = (
            f"expected one deployment with a funding.party_b, or its name as an argument, found {found}; "
            "docs/funding.md says what to set in [deployments.NAME.funding]"
        )
        raise BadSettings(msg)
    return names[0]


def _print(planned: Planned) -> None:
    from models.money import format_e18
    from models.symmio.funding_plan import Charge

    frozen = planned.frozen
    _print_epoch(frozen.epoch, frozen.window)
    for symbol_id, market in frozen.markets.items():
        click.echo(f"  symbol {symbol_id}: {_terms(market)}")
    for symbol_id, reason in frozen.left_out.items():
        click.echo(f"  symbol {symbol_id} left out: {reason}")
    if planned.fees.transactions:
        click.echo(f"  {_fees(planned.fees)}")
    for party_a, charges in planned.charges.items():
        click.echo(f"  {party_a}: {len(charges)} quotes")
        for quote_id, charge in charges:
            match charge:
                case Charge(rate_e18=rate, wanted_e18=wanted):
                    clipped = f", clipped from {format_e18(wanted)}" if charge.is_clipped else ""
                    click.echo(f"    quote {quote_id}: rate {format_e18(rate)}{clipped}")
                case reason:
                    click.echo(f"    quote {quote_id}: not charged, {reason}")


def _fees(fees: ExpectedFees) -> str:
    from models.money import format_e18

    count = "1 transaction" if fees.transactions == 1 else f"{fees.transactions} transactions"
    charged = f"{count} to charge {format_e18(fees.moved_e18)} in all"
    if fees.cost_wei is None:
        return f"{charged}; their fees are known once a first one is on record"
    share = "set coin_price to see them as a share" if fees.share is None else f"{fees.share} bps of that"
    return f"{charged}; fees of about {format_e18(fees.cost_wei)} of the chain's coin, {share}"


def _print_replayed(replayed: Replayed) -> None:
    _print_epoch(replayed.epoch, replayed.window)
    for symbol_id, market in replayed.markets.items():
        said = f"left out: {market}" if isinstance(market, str) else _terms(market)
        click.echo(f"  symbol {symbol_id}: {said}")
        for frozen in replayed.recorded:
            charged = frozen.markets.get(symbol_id)
            if charged is None:
                click.echo(f"    on record: left out, {frozen.left_out.get(symbol_id, 'it had no open quotes')}")
            elif replayed.differs(symbol_id):
                click.echo(f"    on record, and not the same: {_terms(charged)}")
            else:
                click.echo("    on record: the same")
    if not replayed.recorded:
        click.echo("  nothing is on record of it in the last three days")


def _print_epoch(epoch: Epoch, window: Window) -> None:
    opens, closes, begins = (
        datetime.fromtimestamp(one_s, UTC).isoformat() for one_s in (window.opens_s, window.closes_s, epoch.pays_s)
    )
    click.echo(f"epoch {begins} of {epoch.epoch_s} s, window {opens} to {closes}")


def _terms(market: FrozenMarket) -> str:
    from models.money import show_e18

    mark, venue, long, short = (show_e18(text) for text in (market.mark, market.venue_rate, market.long, market.short))
    interval = "" if market.interval_s is None else f" of {market.interval_s} s"
    rate = f"rate {venue}{interval}{_tick(market.rate_tick)}, " if market.rate_tick else ""
    source = _tick(market.mark_tick) or f" ({market.mark_key})"
    return f"mark {mark}{source}, {rate}long {long}, short {short}"


def _tick(tick: TickRef | None) -> str:
    if tick is None:
        return ""
    at = datetime.fromtimestamp(tick.event_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    return f" of {at} ({tick.key} at {tick.partition}:{tick.offset})"
