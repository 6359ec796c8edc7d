"""The status of the local stack: a table redrawn in place on a terminal, and single lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidemark.ports import url_host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from streams.settings import Settings
    from tidemark.child import Child
    from tidemark.status import Status

_PLAIN_EVERY_S = 10.0
_UNKNOWN = "not known yet"


class Display(Protocol):
    """Shows the status to the user."""

    def show(self, status: Status, children: Sequence[Child], broker: str) -> None:
        """Show the newest status.

        Args:
            status: What the processes report.
            children: The processes.
            broker: Where the broker is, or how it is.
        """


class LiveDisplay:
    """Redraws one table in place."""

    def __init__(self, live: Live, urls: dict[str, str]) -> None:
        self._live = live
        self._urls = urls

    def show(self, status: Status, children: Sequence[Child], broker: str) -> None:
        """Redraw the table.

        Args:
            status: What the processes report.
            children: The processes.
            broker: Where the broker is, or how it is.
        """
        figures = Table.grid(padding=(0, 3))
        for name, value in _figures(status):
            figures.add_row(Text(name, style="dim"), value)
        processes = Table.grid(padding=(0, 3))
        processes.add_row(Text("broker", style="dim"), broker)
        for child in children:
            style = "" if child.pid is not None else "yellow"
            processes.add_row(
                Text(child.name, style="dim"), Text(child.state, style=style, no_wrap=True, overflow="ellipsis")
            )
        urls = Table.grid(padding=(0, 3))
        for name, url in self._urls.items():
            urls.add_row(Text(name, style="dim"), Text(url, style="cyan"))
        headline = Text("Tidemark is up. Ctrl-C stops everything." if status.api_ready else "Tidemark is starting …")
        self._live.update(Group(headline, "", figures, "", processes, "", urls), refresh=True)


class PlainDisplay:
    """Prints lines: the URLs once, every change of a process, and the figures every ten seconds."""

    def __init__(self, console: Console, urls: dict[str, str]) -> None:
        self._console = console
        self._urls = urls
        self._announced = False
        self._next_s = 0.0
        self._said: dict[str, tuple[int, bool]] = {}
        self._broker = ""

    def show(self, status: Status, children: Sequence[Child], broker: str) -> None:
        """Print what is new.

        Args:
            status: What the processes report.
            children: The processes.
            broker: Where the broker is, or how it is.
        """
        for child in children:
            # A process that ended and was started again between two looks shows in the number of starts.
            state = child.restarts, child.pid is None and child.exit_code is not None
            if state != self._said.get(child.name, (0, False)):
                self._said[child.name] = state
                self._print(f"{child.name}: {child.state}")
        if broker != self._broker:
            if self._broker:
                self._print(f"broker: {broker}")
            self._broker = broker
        if status.api_ready and not self._announced:
            self._announced = True
            self._print(f"up: broker {broker}, " + ", ".join(f"{name} {url}" for name, url in self._urls.items()))
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _PLAIN_EVERY_S
            self._print(", ".join(f"{name} {value}" for name, value in _figures(status)))

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


def live_if_terminal(console: Console) -> AbstractContextManager[Live | None]:
    """Make the context of a live display, or of None where the console is no terminal."""
    return _LiveOrNot(console)


class _LiveOrNot:
    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Live | None:
        return self._live.__enter__() if self._live is not None else None

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()


def urls_of(settings: Settings) -> dict[str, str]:
    """Return what to open and what to connect to, by name."""
    api = settings.api
    host = url_host(api.host)
    return {
        "page": f"http://{host}:{api.port}/",
        "websocket": f"ws://{host}:{api.port}/upnl-ws",
        "metrics": f"http://{url_host(api.admin_host)}:{api.admin_port}/metrics",
        "logs": str(settings.data_dir / "logs"),
    }


def _figures(status: Status) -> list[tuple[str, str]]:
    rates = "  ".join(f"{value:,.0f} {name}/s" for name, value in status.per_s.items())
    age_s = status.oldest_mark_age_s
    unsupported = [("unsupported", ", ".join(status.unsupported))] if status.unsupported else []
    return [
        *unsupported,
        ("accounts", _number(status.accounts)),
        ("rates", rates or _UNKNOWN),
        ("lag in records", _number(status.lag_records)),
        ("oldest mark", _UNKNOWN if age_s is None else f"{age_s:.1f} s"),
        ("open sockets", _number(status.sockets)),
    ]


def _number(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"
