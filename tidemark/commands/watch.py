"""``tidemark watch``."""

from __future__ import annotations

import click

# This is the protocol's default; api.dialects.native.protocol is imported only when it is used.
_CHANNELS = ("account", "valuations", "positions", "position-states", "alerts", "marks", "totals", "funding")


@click.command
@click.argument("keys", nargs=-1, required=True, metavar="ACCOUNT…")
@click.option("--channel", type=click.Choice(_CHANNELS), default="account", show_default=True, help="What of it.")
@click.option("--url", help="Of the api; by default of the `tidemark up` that runs here, or as the configuration says.")
@click.option(
    "--interval-ms",
    type=click.IntRange(0, 60_000),
    default=100,
    show_default=True,
    help="The shortest time between two lines of a key; 0: each change as it comes.",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each message instead.")
@click.option(
    "--token", envvar="TIDEMARK_TOKEN", help="Where the api wants one; better given as the variable TIDEMARK_TOKEN."
)
def watch(
    *, keys: tuple[str, ...], channel: str, url: str | None, interval_ms: int, as_json: bool, token: str | None
) -> None:
    """Print accounts as they change, until Ctrl-C, over restarts of the api and lost connections.

    An ACCOUNT is DEPLOYMENT:0x…; with --channel marks it is SOURCE:SYMBOL, with --channel totals a DEPLOYMENT.

    \b
        tidemark watch demo:0x5b38da6a701c568545dcfcb03fcb875f56beddc4
        tidemark watch --channel marks binance-futures:BTCUSDT
        tidemark watch --channel totals demo --json | jq .data.upnl
    """  # noqa: D301 - click wants its \b as it is
    from rich.console import Console

    from streams.process.clock import SystemClock
    from tidemark.local_stack import api_url
    from tidemark.running import run_until_stopped
    from tidemark.watch import JsonLines, PlainLines
    from tidemark.watch import watch as follow

    output = JsonLines(click.echo) if as_json else PlainLines(Console(highlight=False), SystemClock().now_ms)
    run_until_stopped(follow(api_url(url), channel, keys, interval_ms=interval_ms, token=token, output=output))
