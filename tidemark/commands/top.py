"""``tidemark top``."""

from __future__ import annotations

import asyncio
import contextlib

import click

# These are the names in tidemark.top, which is imported only when it is used.
_SORTS = ("notional", "upnl", "distance")


@click.command
@click.option("--url", help="Of the api; by default of the `tidemark up` that runs here, or as the configuration says.")
@click.option("--sort", type=click.Choice(_SORTS), default="notional", show_default=True, help="Of accounts.")
@click.option(
    "--token", envvar="TIDEMARK_TOKEN", help="Where the api wants one; better given as the variable TIDEMARK_TOKEN."
)
def top(url: str | None, sort: str, token: str | None) -> None:
    """Show totals, accounts and markets of a running api, redrawn in place; what is unknown is said to be.

    Keys: n, u and d order accounts by notional, uPnL or distance to liquidation; q quits. Where the output is no
    terminal everything is printed once.
    """
    from rich.console import Console

    from tidemark.keyboard import Keyboard
    from tidemark.local_stack import api_url
    from tidemark.top import show, show_once

    console, address = Console(), api_url(url)
    if not console.is_terminal:
        asyncio.run(show_once(console, address, sort, token))
        return
    with Keyboard() as keyboard, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(show(console, address, sort, token, keyboard))
