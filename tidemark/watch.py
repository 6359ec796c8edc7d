"""What ``tidemark watch`` shows: keys of one channel as they change, followed over the api's websocket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import orjson
from rich.text import Text

from api.dialects.native.client import Model, follow
from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rich.console import Console

    from api.dialects.native.client import Held, Message

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


class WatchRefused(TidemarkError):
    """The api refuses what it was asked for. The message says what it expects instead."""


class Output(Protocol):
    """Shows all that comes to the user."""

    def state(self, message: Message, watched: tuple[str, str], held: Held) -> None:
        """Show the newest state of a key.

        Args:
            message: The message that brought it.
            watched: The channel and the key.
            held: The state.
        """

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
    model = Model()
    gaps = 0
    async with aiohttp.ClientSession() as session:
        subscriptions = {channel: list(keys)}
        address = f"{url.rstrip('/')}/v1/ws"
        async for message in follow(session, address, model, subscriptions, interval_ms=interval_ms, token=token):
            if model.gaps > gaps:
                gaps = model.gaps
                output.message({"type": "gap", "sub": message["sub"], "gaps": gaps})
            elif message["type"] in {"snapshot", "delta"}:
                watched = model.watched(message["sub"])
                output.state(message, watched, model.held[watched])
            else:
                output.message(message)
            if message["type"] == "error" and not message["temporary"]:
                msg = f"the api refused with {message['code']}: {message['message']}"
                raise WatchRefused(msg)


class JsonLines:
    """Writes a line of JSON for each message; a ``state`` holds the whole state of a key.

    Args:
        write: Takes a line without its end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def state(self, message: Message, watched: tuple[str, str], held: Held) -> None:
        """Write the whole state, however little of it is new.

        Args:
            message: The message that brought it.
            watched: The channel and the key.
            held: The state.
        """
        del message
        channel, key = watched
        said = {"type": "state", "channel": channel, "key": key, "epoch": held.epoch, "seq": held.seq}
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

    def state(self, message: Message, watched: tuple[str, str], held: Held) -> None:
        """Print the figures that a line has room for, in bold where they are new.

        Args:
            message: The message that brought the state.
            watched: The channel and the key.
            held: The state.
        """
        channel, key = watched
        line = Text(key)
        for name in _SHOWN[channel]:
            if name in held.data:
                is_new = message["type"] == "delta" and name in message["data"]
                line.append(f"  {name} ", style="dim").append(_short(held.data[name]), style="bold" if is_new else "")
        if message["type"] == "snapshot":
            line.append("  snapshot", style="dim")
        self._print(line)

    def message(self, message: Message) -> None:
        """Print what is worth a line, which an answer that all is well is not."""
        match message["type"]:
            case "hello":
                # A warning that still holds is printed again on a new connection.
                self._warnings = None
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
                self._print(Text(f"disconnected: {message['reason']}; connecting again", "yellow"))
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
    for name, deployment in heartbeat["deployments"].items():
        if deployment["status"] != "followed":
            yield f"deployment {name} is {deployment['status']}"
    for name, state in heartbeat["sources"].items():
        if state != "live":
            yield f"prices of {name} are {state}"


def _short(value: object) -> str:
    if isinstance(value, dict | list):
        return str(len(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
