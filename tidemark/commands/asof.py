"""``tidemark asof``: what an account was worth at an instant, recomputed from the raw topics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tidemark.log_source import checkpoints_option, log_options
from tidemark.replay_window import EXIT_NOTHING, ending_by_code

if TYPE_CHECKING:
    from pathlib import Path

    from streams.replay.account_at import AccountAt
    from streams.replay.served_at import ServedRow
    from tidemark.account_then import AccountThen, CalculatedFrame
    from tidemark.log_source import LogSource


@click.command
@click.argument("deployment")
@click.argument("account")
@click.option(
    "--time", "time_text", metavar="TIME", help="An instant: 2026-11-20T10:30:00Z, -15m (s, m, h, d), or now."
)
@click.option(
    "--block", type=click.IntRange(min=0), metavar="N", help="As this block left it, where its venue has any."
)
@click.option("--offset", type=click.IntRange(min=0), metavar="N", help="As this record of its raw topic left it.")
@click.option("--served", "is_served", is_flag=True, help="Print beside it what was shown then.")
@log_options
@checkpoints_option
@click.option("--json", "as_json", is_flag=True, help="Print it in one line.")
@ending_by_code
def asof(
    *, deployment: str, account: str, time_text: str | None, block: int | None, offset: int | None, is_served: bool,
    source: LogSource, checkpoints: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Recompute the valuation of ACCOUNT as of an instant, from raw records and prices, by the engine of the workers.

    Raw records are read from the first one on; what had been written by --time counts. With --block or --offset, the
    account is as these left it, and prices are those that had been written when the last of its raw records was. The
    row is printed with its provenance; account_order has the term 0, since no worker wrote it. With --served the row
    that was shown last by then stands beside it, and the columns in which the two differ: a row that nobody watched may
    be some time old, anything else is a finding. Under `calculated` stands what a replica of the api had calculated of
    it last by then, where a dialect of its deployment calculates: of which marks and references, and the frame that
    comes of these again.

    \b
    Exit codes:
        0  the row was printed
        1  there was no such account then
        2  it cannot be said: first records of the raw topic are gone, or deployment, block, topic or Kafka is missing
        3  it broke off: the log changed, or the broker stopped
    \b
        tidemark asof demo 0x5b38da6a701c568545dcfcb03fcb875f56beddc4 --time -1h
        tidemark asof demo 0x5b38da6a701c568545dcfcb03fcb875f56beddc4 --block 1777 --json | jq .row.upnl
    """  # noqa: D301 - click wants its \b as it is
    from streams.process.clock import SystemClock
    from streams.replay.account_at import At
    from streams.replay.checkpoints import found_in
    from streams.replay.log_window import read_past
    from tidemark.account_then import account_then
    from tidemark.local_stack import settings_here
    from tidemark.replay_window import open_log, run_reading

    if [time_text, block, offset].count(None) != 2:  # noqa: PLR2004 - one of three is given
        msg = "expected one of --time, --block and --offset"
        raise click.UsageError(msg)
    settings, clock = settings_here(), SystemClock()
    time_ms = None if time_text is None else read_past(time_text, clock.now_ms())
    log, read = open_log(settings, source, clock), [0]

    async def found_then() -> AccountThen:
        def count(_: object) -> None:
            read[0] += 1

        return await account_then(
            log, settings, deployment, account, At(time_ms, block, offset), is_served=is_served,
            checkpoints=await found_in(checkpoints, log), on_record=count,
        )  # fmt: skip

    then = run_reading(settings, source, found_then)
    click.echo(f"{read[0]} records read", err=True)
    if then.recomputed is None and then.shown is None:
        click.echo(f"no such account of {deployment} then: {account}", err=True)
        raise SystemExit(EXIT_NOTHING)
    said = {"deployment": deployment, **_recomputed(then.recomputed)}
    if is_served:
        for one in then.unreadable:
            click.echo(f"unreadable: {one.topic}:{one.partition}:{one.offset} {one.cause}", err=True)
        said["unreadable"] = [msgspec.to_builtins(one) for one in then.unreadable]
        said["served"] = None if then.shown is None else _shown(then.shown, then.differs)
    if then.calculated is not None:
        said["calculated"] = [_again(one) for one in then.calculated]
    click.echo(json.dumps(said) if as_json else json.dumps(said, indent=2))


def _recomputed(found: AccountAt | None) -> dict[str, Any]:
    from models.instants import rfc3339

    if found is None:
        return {"row": None}
    for doubt in found.doubts:
        click.echo(f"not certain: {doubt}", err=True)
    return {
        "at": rfc3339(found.at_ms),
        "at_ms": found.at_ms,
        "offset": found.offset,
        "refused": list(found.refused),
        "doubts": list(found.doubts),
        "row": found.body,
    }


def _shown(shown: ServedRow, differs: tuple[str, ...]) -> dict[str, Any]:
    from models.codec import decode_order
    from models.instants import rfc3339

    record = shown.record
    term, version = decode_order(record.value or b"")
    return {
        "record": f"{record.topic}:{record.partition}:{record.offset}",
        "at": rfc3339(record.time_ms),
        "at_ms": record.time_ms,
        "term": term,
        "version": version,
        "differs": differs,
        "row": shown.body,
    }


def _again(one: CalculatedFrame) -> dict[str, Any]:
    from models.instants import rfc3339

    record, made = one.calculated.record, one.calculated.made
    if one.doubt is not None:
        click.echo(f"not certain: {one.doubt}", err=True)
    return {
        "record": f"{record.topic}:{record.partition}:{record.offset}",
        "at": rfc3339(made.at_ms),
        "at_ms": made.at_ms,
        "asked": one.calculated.asked,
        "marks": {
            market: None if mark is None else {"mark_key": mark.key, "mark_offset": mark.offset, "stale": mark.stale}
            for market, mark in made.marks.items()
        },
        "references": made.references,
        "frame": one.frame,
    }
