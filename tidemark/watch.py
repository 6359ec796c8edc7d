"""What ``tidemark watch`` shows: keys of one channel as they change, followed over the api's websocket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from rich.text import Text

from models.errors import TidemarkError
from tidemark_client import NOT_AUTHENTICATED, Changed, Client, Gap, Heard, Refused, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rich.console import Console

    from tidemark_client import Event, Message

# The figures of each channel for which a line has room.
_SHOWN = {
    "account": ("status", "upnl", "notional", "equity", "distance_bps", "open_positions", "liquidatable"),
    "valuations": ("status", "upnl", "notional", "equity", "distance_bps", "open_positions", "liquidatable"),
    "positions": ("positions",),
    "position-states": ("states",),
    "alerts": ("alarms", "transitions"),
    "marks": ("mark", "index", "funding_rate"),
    "totals": ("upnl", "notional", "positions", "unpriced"),
    "funding": ("long_rate", "short_rate", "next"),
}
_LATE_MS = 5_000
_HOW_TO_READ = "; give a reader's token with --token or as TIDEMARK_TOKEN (`tidemark token show` says what is in one)"
_NOBODY_YET = "; is an api there? Start `tidemark up`, or give another --url"


class WatchRefused(TidemarkError):
    """The api refuses what it was asked for. The message says what it expects instead."""


class Output(Protocol):
    """Shows all that comes to the user."""

    def state(self, changed: Changed) -> None:
        """Show the newest state of a key."""

    def message(self, message: Message) -> None:
        """Show any other message."""


async def watch(
    url: str, channel: str, keys: Iterable[str], *, interval_ms: int, token: str | None, output: Output
) -> None:
    """Follow keys until cancelled, over restarts and lost connections.

    Args:
        url: The api's address.
        channel: The channel's name.
        keys: Keys of the channel.
        interval_ms: The shortest time between two messages of one key, 0 to 60,000 ms.
        token: A reader's token; None where the api needs none.
        output: Where everything that comes is shown.

    Raises:
        WatchRefused: The api refuses a key or the token.
    """
    gaps = 0
    async with Client(f"{url.rstrip('/')}/v1/ws", token=token) as client:
        client.subscribe(channel, keys, interval_ms)
        async for event in client.events():
            if isinstance(event, Gap):
                gaps += 1
                output.message({"type": "gap", "channel": event.channel, "key": event.key, "gaps": gaps})
            else:
                _show(event, output)


def _show(event: Event, output: Output) -> None:
    match event:
        case Changed():
            output.state(event)
        case Heard(message) if message["type"] not in {"snapshot", "delta"}:
            output.message(message)
        case Status("waiting", reason, code):
            said = {"type": "disconnected", "reason": reason}
            output.message(said if code is None else {**said, "code": code})
        case Refused(error=error):
            hint = _HOW_TO_READ if error["code"] == "not_authenticated" else ""
            msg = f"the api refused with {error['code']}: {error['message']}{hint}"
            raise WatchRefused(msg)
        case Status("ended", reason, code):
            found = "not_authenticated" if code == NOT_AUTHENTICATED else f"close code {code}"
            hint = _HOW_TO_READ if code == NOT_AUTHENTICATED else ""
            msg = f"the api refused with {found}: {reason}{hint}"
            raise WatchRefused(msg)
        case _:
            pass


class JsonLines:
    """Writes a line of JSON for each message; a ``state`` holds the whole state of a key.

    Args:
        write: Takes a line without its end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def state(self, changed: Changed) -> None:
        """Write the whole state, however little of it is new."""
        held = changed.held
        said = {"type": "state", "channel": changed.channel, "key": changed.key, "epoch": held.epoch, "seq": held.seq}
        self.message({**said, "data": held.data})

    def message(self, message: Message) -> None:
        """Write the message as it came."""
        self._write(orjson.dumps(message).decode())


class PlainLines:
    """Prints a line for each change, and one for what a person should know of the connection.

    Args:
        console: Where lines are printed.
        now_ms: Our own time, in Unix ms.
    """

    def __init__(self, console: Console, now_ms: Callable[[], int]) -> None:
        self._console = console
        self._now_ms = now_ms
        self._warnings: list[str] | None = None
        self._was_connected = False

    def state(self, changed: Changed) -> None:
        """Print the figures that a line has room for, in bold where they are new."""
        data, patch = changed.held.data, changed.patch or {}
        line = Text(changed.key)
        for name in _SHOWN[changed.channel]:
            if name in data:
                line.append(f"  {name} ", style="dim").append(_short(data[name]), style="bold" if name in patch else "")
        if changed.patch is None:
            line.append("  snapshot", style="dim")
        self._print(line)

    def message(self, message: Message) -> None:
        """Print what is worth a line, which an answer that all is well is not."""
        match message["type"]:
            case "hello":
                # A warning that still holds is printed again on a new connection.
                self._warnings = None
                self._was_connected = True
                self._print(Text(f"connected, epoch {message['epoch']}", style="dim"))
            case "heartbeat":
                self._heartbeat(message)
            case "gap":
                self._print(
                    Text(f"gap: something was lost, asked for all of it again ({message['gaps']} so far)", "red")
                )
            case "goodbye":
                wait_s = message["reconnect_in_ms"] / 1000
                self._print(Text(f"goodbye: {message['reason']}, connecting again in {wait_s:.1f} s", "yellow"))
            case "disconnected":
                hint = "" if self._was_connected else _NOBODY_YET
                self._print(Text(f"disconnected: {message['reason']}; connecting again{hint}", "yellow"))
            case "error":
                self._print(Text(f"{message['code']}: {message['message']}", "red"))
            case _:
                pass

    def _heartbeat(self, message: Message) -> None:
        warnings = [*_warnings(message)]
        if warnings and warnings != self._warnings:
            self._print(Text(f"stale: {'; '.join(warnings)}", "yellow"))
        elif not warnings and self._warnings:
            self._print(Text("fresh again", "yellow"))
        self._warnings = warnings

    def _print(self, line: Text) -> None:
        now = datetime.fromtimestamp(self._now_ms() / 1000, UTC).isoformat(timespec="milliseconds")
        self._console.print(Text(f"{now[11:23]} ", style="dim") + line, soft_wrap=True)


def _warnings(heartbeat: Mapping[str, Any]) -> Iterable[str]:
    """Say why what is shown may be old, without numbers that change each time."""
    if not heartbeat["is_ready"]:
        yield "the tables are still being read"
    elif heartbeat["stale"]:
        yield f"no word of {', '.join(sorted(heartbeat['stale']))}"
    elif heartbeat["lag_ms"] > _LATE_MS:
        yield "the tables are behind"
    # Of which part there is no word says more than which deployments depend on it.
    known = {"followed", "stale"} if heartbeat["stale"] else {"followed"}
    for name, deployment in heartbeat["deployments"].items():
        if deployment["status"] not in known:
            yield f"deployment {name} is {deployment['status']}"
    for name, state in heartbeat["sources"].items():
        if state != "live":
            yield f"prices of {name} are {state}"


def _short(value: object) -> str:
    if isinstance(value, dict | list):
        return str(len(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
