"""``tidemark whatif``: what would become of all accounts if marks or funding were others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tidemark.log_source import checkpoints_option, log_options
from tidemark.replay_window import EXIT_NOTHING, ending_by_code

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from models.what_if import Figures
    from streams.replay.what_if_at import WhatIf
    from tidemark.log_source import LogSource


@click.command
@click.argument("deployment")
@click.option(
    "--shock", "shocks", multiple=True, metavar="BTC=-30%", help="Move the marks of a market; again for more."
)
@click.option("--mark", "marks", multiple=True, metavar="BTC=25000", help="Set the marks of a market.")
@click.option(
    "--funding", metavar="0.1%", help="Charge all positions: longs pay so much of their opened price to shorts."
)
@click.option("--time", "time_text", metavar="TIME", default="now", help="As of 2026-11-20T10:30:00Z, -15m, or now.")
@click.option("--all", "is_all", is_flag=True, help="Print every account that is another, not only new liquidations.")
@log_options
@checkpoints_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object an account, and a last one that sums them up.")
@click.option("--dry-run", is_flag=True, help="Only print which offsets would be folded.")
@ending_by_code
def whatif(
    *, deployment: str, shocks: tuple[str, ...], marks: tuple[str, ...], funding: str | None, time_text: str,
    is_all: bool, source: LogSource, checkpoints: Path | None, as_json: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Say which accounts of DEPLOYMENT could be liquidated if marks or funding were others.

    All accounts are folded and valued as of --time by the engine of the workers; then ticks of other prices are put to
    it, and the accounts that they concern are valued anew, to the last digit. A market is named by its symbol, without
    USD, USDT or USDC if you like, NAME* for all that begin so, or * for all; the first that matches counts, those of
    --mark first. Accounts that could be liquidated then and could not before are printed, first those that lack most.

    \b
    Exit codes:
        0  the scenario was worked out
        1  there was no account then
        2  it cannot be said: no such market, shock, deployment, topic or Kafka, or first records of the raw topic are
           gone
        3  it broke off: the log changed, or the broker stopped
    \b
        tidemark whatif demo --shock BTC=-30% --shock '*=-20%'
        tidemark whatif demo --mark BTCUSDT=25000 --funding 0.1% --time 2026-11-20T10:30:00Z --json
    """  # noqa: D301 - click wants its \b as it is
    from models.what_if import BadScenario
    from streams.process.clock import SystemClock
    from streams.replay.accounts_at import raw_vector
    from streams.replay.checkpoints import found_in
    from streams.replay.log_window import read_past, write_offsets
    from streams.replay.what_if_at import read_scenario, what_if_at
    from tidemark.local_stack import settings_here
    from tidemark.replay_progress import Progress
    from tidemark.replay_window import open_log, run_reading

    shocked, set_to = _given(shocks, "--shock such as BTC=-30%"), _given(marks, "--mark such as BTC=25000")
    try:
        scenario = read_scenario(shocked, set_to, funding)
    except BadScenario as error:
        raise click.UsageError(str(error)) from error
    settings, clock = settings_here(), SystemClock()
    at_ms = read_past(time_text, clock.now_ms())
    log = open_log(settings, source, clock)

    async def worked_out() -> WhatIf | None:
        vector = await raw_vector(log, settings, deployment, at_ms)
        click.echo(f"window: {write_offsets(vector) or 'none'}", err=True)
        if dry_run:
            return None
        progress = Progress(vector, clock)
        found = await what_if_at(
            log,
            settings,
            deployment,
            scenario,
            at_ms=at_ms,
            on_record=progress.take,
            checkpoints=await found_in(checkpoints, log),
        )
        progress.finish()
        return found

    found = run_reading(settings, source, worked_out)
    if found is None:
        return
    for doubt in found.doubts:
        click.echo(f"not certain: {doubt}", err=True)
    if not found.before:
        click.echo(f"no account of {deployment} then", err=True)
        raise SystemExit(EXIT_NOTHING)
    _print_marks(found.moved)
    _print(found, is_all=is_all, as_json=as_json)


def _given(texts: tuple[str, ...], expected: str) -> list[tuple[str, str]]:
    """Markets and what is said of each, as ``MARKET=WHAT``."""
    pairs = [text.rpartition("=") for text in texts]
    if wrong := next((text for text, (market, _, _) in zip(texts, pairs, strict=True) if not market), None):
        msg = f"expected {expected}, found {wrong!r}"
        raise click.UsageError(msg)
    return [(market, what) for market, _, what in pairs]


def _print_marks(moved: Mapping[str, tuple[int, int]]) -> None:
    from models.money import format_e18

    for key, (old_e18, new_e18) in sorted(moved.items()):
        click.echo(f"{key}: {format_e18(old_e18)} -> {format_e18(new_e18)}", err=True)


def _print(found: WhatIf, *, is_all: bool, as_json: bool) -> None:
    from models.money import format_e18
    from models.what_if import is_liquidatable

    before, after, changed = found.before, found.after, found.changed
    new = [one for one in changed if is_liquidatable(one.after) and not is_liquidatable(one.before)]
    for key, was, is_now in changed if is_all else new:
        if as_json:
            said = {"account": key.decode(), "before": _body(was), "after": _body(is_now)}
            click.echo(json.dumps({**said, "liquidatable": is_liquidatable(is_now)}))
            continue
        figures = " ".join(
            f"{name} {'unknown' if value is None else format_e18(value)}"
            for name, value in (("available", is_now.available_e18), ("was", was.available_e18),
                                ("uPnL", is_now.upnl_e18), ("notional", is_now.notional_e18))
        )  # fmt: skip
        click.echo(f"{key.decode()} {figures}{' liquidatable' if is_all and is_liquidatable(is_now) else ''}")
    lacking_e18 = -sum(one.after.available_e18 or 0 for one in new)
    summary = {
        "accounts": len(before),
        "changed": len(changed),
        "liquidatable_before": sum(map(is_liquidatable, before.values())),
        "liquidatable_after": sum(map(is_liquidatable, after.values())),
        "new": len(new),
        "lacking": str(lacking_e18),
    }
    if as_json:
        click.echo(json.dumps({"summary": summary}))
        return
    click.echo(
        f"{summary['accounts']} accounts: {summary['changed']} others than before, "
        f"{summary['liquidatable_before']} could be liquidated, {summary['liquidatable_after']} could then, "
        f"{summary['new']} of them only then, which lack {format_e18(lacking_e18)}"
    )


def _body(figures: Figures) -> dict[str, str | None]:
    names = ("upnl", "equity", "notional", "available_balance")
    return {name: None if one is None else str(one) for name, one in zip(names, figures, strict=True)}
