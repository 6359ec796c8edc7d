"""``tidemark explain``: why an account's uPnL is another than before, event by event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tidemark.log_source import checkpoints_option, log_options
from tidemark.replay_window import EXIT_NOTHING, ending_by_code

if TYPE_CHECKING:
    from pathlib import Path

    from models.explaining import Term
    from streams.replay.explained import Explained
    from streams.replay.shown_terms import Summary
    from tidemark.log_source import LogSource

_TOP = 20


@click.command
@click.argument("deployment")
@click.argument("account")
@click.option("--from", "since", metavar="TIME", required=True, help="2026-11-20T10:30:00Z, -15m (s, m, h, d), or now.")
@click.option("--to", "until", metavar="TIME", default="now", help="The later instant; now, if not given.")
@click.option(
    "--top", type=click.IntRange(min=0), default=_TOP, metavar="N", help="Print so many of the largest terms."
)
@log_options
@checkpoints_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a term, and a last one that sums them up.")
@click.option("--dry-run", is_flag=True, help="Only print which offsets would be read.")
@ending_by_code
def explain(
    *, deployment: str, account: str, since: str, until: str, top: int, source: LogSource,
    checkpoints: Path | None, as_json: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Say by which events ACCOUNT's uPnL as of --to is another than as of --from, in the order of the log.

    The engine folds the account up to --from, as `tidemark asof` does, and goes on record by record. Each term is what
    one event did to one position: its size, opened price and mark before and after, and the uPnL that this came to,
    truncated for each position as the venue does; or what it did to the balance. Terms add up to the whole change, with
    nothing left: prices, fills, funding, settlements, fees, liquidations, transfers, rollbacks.

    \b
    Exit codes:
        0  the terms were printed, or there was nothing to explain
        1  there was no such account at any time of the window
        2  it cannot be said: the window is inverted or out of retention, first records of the raw topic are gone, or
           deployment, topic or Kafka is missing
        3  it broke off: the log changed, or the broker stopped, so what was printed is not all
    \b
        tidemark explain demo 0x5b38da6a701c568545dcfcb03fcb875f56beddc4 --from -30m
        tidemark explain demo 0x5b38da6a701c568545dcfcb03fcb875f56beddc4 --from -30m --json | jq 'select(.name=="fill")'
    """  # noqa: D301 - click wants its \b as it is
    from streams.process.clock import SystemClock
    from streams.replay.checkpoints import found_in
    from streams.replay.explained import explain_account, explained_vector
    from streams.replay.log_window import read_past, write_offsets
    from streams.replay.shown_terms import Summary, term_body
    from tidemark.local_stack import settings_here
    from tidemark.replay_progress import Progress
    from tidemark.replay_window import open_log, run_reading

    settings, clock = settings_here(), SystemClock()
    now_ms = clock.now_ms()
    since_ms, until_ms = (read_past(one, now_ms) for one in (since, until))
    log, summary, stdout = open_log(settings, source, clock), Summary(top), click.get_text_stream("stdout")

    def take(term: Term) -> None:
        summary.take(term)
        if as_json:
            stdout.write(json.dumps(term_body(term)) + "\n")

    async def explained() -> Explained | None:
        vector = await explained_vector(log, settings, deployment, account, since_ms=since_ms, until_ms=until_ms)
        click.echo(f"window: {write_offsets(vector) or 'none'}", err=True)
        if dry_run:
            return None
        progress = Progress(vector, clock)
        found = await explain_account(
            log, settings, deployment, account, since_ms=since_ms, until_ms=until_ms,
            on_term=take, on_record=progress.take, checkpoints=await found_in(checkpoints, log),
        )  # fmt: skip
        progress.finish()
        return found

    try:
        found = run_reading(settings, source, explained)
    finally:
        stdout.flush()
    if found is not None:
        _finish(found, summary, as_json=as_json, nobody=f"no such account of {deployment} in that time: {account}")


def _finish(found: Explained, summary: Summary, *, as_json: bool, nobody: str) -> None:
    from models.explaining import NOWHERE
    from streams.replay.shown_terms import standing_body

    for doubt in found.doubts:
        click.echo(f"not certain: {doubt}", err=True)
    if not summary.terms and found.begin == found.end == NOWHERE:
        click.echo(nobody, err=True)
        raise SystemExit(EXIT_NOTHING)
    if as_json:
        said = {
            "begin": standing_body(found.begin),
            "end": standing_body(found.end),
            "terms": summary.terms,
            "upnl": {f"{name} {market}": str(value) for (name, market), value in sorted(summary.upnl_e18.items())},
            "balance": {name: str(value) for name, value in sorted(summary.balance_e18.items())},
            "refused": list(found.refused),
            "doubts": list(found.doubts),
        }
        click.echo(json.dumps({"summary": said}))
        return
    _print(found, summary)


def _print(found: Explained, summary: Summary) -> None:
    from models.instants import rfc3339
    from models.money import format_e18

    for name, standing in (("from", found.begin), ("to", found.end)):
        upnl, equity = (
            "unknown" if one is None else format_e18(one) for one in (standing.upnl_e18, standing.equity_e18)
        )
        click.echo(f"{name:<5}{standing.status}: uPnL {upnl}, equity {equity}")
    total_e18 = found.end.counted_upnl_e18 - found.begin.counted_upnl_e18
    click.echo(f"change of uPnL {format_e18(total_e18)}, in {summary.terms} terms:")
    for (name, market), value in sorted(summary.upnl_e18.items(), key=lambda item: (-abs(item[1]), item[0])):
        click.echo(f"  {name:<12} {market:<16} {format_e18(value):>32}")
    click.echo(f"change of balance {format_e18(found.end.balance_e18 - found.begin.balance_e18)}:")
    for name, value in sorted(summary.balance_e18.items(), key=lambda item: (-abs(item[1]), item[0])):
        click.echo(f"  {name:<12} {'':<16} {format_e18(value):>32}")
    for term in summary.largest:
        event = term.event
        what = "balance" if term.quote is None else f"position {term.quote}"
        change = format_e18(term.balance_e18 if term.quote is None else term.upnl_e18)
        places = " ".join(one for one in (event.place, event.at) if one)
        click.echo(f"{rfc3339(event.time_ms)} {event.name:<12} {what:<14} {change:>28} {places}")
