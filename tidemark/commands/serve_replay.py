"""``tidemark serve-replay``: the api over a log that is replayed, so that a frontend can be pointed at last Tuesday."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from tidemark.log_source import checkpoints_option, log_options
from tidemark.replay_window import ending_by_code

if TYPE_CHECKING:
    from pathlib import Path

    from streams.process.clock import Clock
    from streams.replay.bounded_log import Log
    from streams.replay.replayed_log import ReplayWindow
    from streams.settings import Settings
    from tidemark.log_source import LogSource


@click.command("serve-replay")
@click.option("--from", "since", metavar="TIME", required=True, help="2026-11-20T10:30:00Z, or -15m (s, m, h, d).")
@click.option("--to", "until", metavar="TIME", help="Where it ends; at the newest record, if not given.")
@click.option(
    "--speed", type=click.IntRange(1, 1_000), default=1, metavar="N", help="How many seconds pass in one; 1 to 1000."
)
@click.option("--step", "is_stepwise", is_flag=True, help="Go on only when a line on stdin says so.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", help="Where to listen; on the loopback, if not given.")
@click.option("--port", type=click.IntRange(1, 65_535), default=8_090, metavar="PORT", help="8090, if not given.")
@log_options
@checkpoints_option
@ending_by_code
def serve_replay(
    *, since: str, until: str | None, speed: int, is_stepwise: bool, host: str, port: int, source: LogSource,
    checkpoints: Path | None,
) -> None:  # fmt: skip
    """Serve what was served at a time of the past: websockets, REST and page, in every dialect that is configured.

    Accounts are folded up to --from as `tidemark asof` does; from there on, records are folded and valued in the order
    of the log while a clock of its own goes on, which is the only clock that is shown. It reads with the rights of an
    analyst, and writes nothing to the cluster: what a client says that would change something is refused, and nothing
    is forwarded to a solver's engine. Tokens are checked, and end by the time of now. Every answer has the header
    Tidemark-Replay-Of.

    Lines on stdin steer it: an empty one goes on to the next record, `10s` by so much (s, m, h, d), `-10s` back, an
    instant to it; `pause`, `go`, `speed 100`. To go back is to begin anew: sockets are closed as at a restart.

    \b
    Exit codes:
        0  it was stopped
        2  it cannot be served: no such window, deployment, topic or Kafka, first records of the raw topic are gone, or
           the port is taken
        3  it broke off: the log changed, or the broker stopped
    \b
        tidemark serve-replay --from 2026-11-20T10:30:00Z --speed 10
        tidemark serve-replay --from -1h --step --log incident/
    """  # noqa: D301 - click wants its \b as it is
    from streams.process.clock import SystemClock
    from streams.process.logs import log_to_stderr
    from tidemark import kafka
    from tidemark.local_stack import settings_here
    from tidemark.replay_window import open_log
    from tidemark.running import run_until_stopped

    settings, clock = settings_here(), SystemClock()
    log_to_stderr(settings, "serve-replay")
    own = settings.model_copy(update={"api": settings.api.model_copy(update={"host": host, "port": port})})
    log = open_log(settings, source, clock)
    served = _serve(
        log, own, clock, since=since, until=until, speed=None if is_stepwise else speed,
        directory=checkpoints,
    )  # fmt: skip
    if not source.needs_kafka:
        run_until_stopped(served)
        return
    with kafka.naming_the_broker(kafka.require_broker(settings.bootstrap)):
        run_until_stopped(served)


async def _serve(
    log: Log, settings: Settings, clock: Clock, *, since: str, until: str | None, speed: int | None,
    directory: Path | None,
) -> None:  # fmt: skip
    from api.replay.replay_server import Replay, ReplayServer
    from streams.replay.checkpoints import found_in

    window = await _window(log, settings, since, until, clock.now_ms())
    read = [0]

    def count(_: object) -> None:
        read[0] += 1

    def say(sentence: str) -> None:
        click.echo(sentence, err=True)

    replay = Replay(log, settings, window, speed, await found_in(directory, log))
    server = ReplayServer(replay, clock, _lines_of_stdin(), say=say, on_record=count)
    await server.run()


async def _window(log: Log, settings: Settings, since: str, until: str | None, now_ms: int) -> ReplayWindow:
    from streams.kafka.topics import PRICE_TICKS, topic_name
    from streams.replay.cut import cut_of
    from streams.replay.log_window import read_instant
    from streams.replay.raw_fold import RawFold
    from streams.replay.replayed_log import ReplayWindow

    since_ms = read_instant(since, now_ms)
    if until is not None:
        return ReplayWindow(since_ms, min(read_instant(until, now_ms), now_ms))
    raw = {RawFold(settings, name, ()).topic for name, one in settings.deployments.items() if one.is_installed}
    newest = await cut_of(log, [*sorted(raw), topic_name(settings, PRICE_TICKS)])
    return ReplayWindow(since_ms, newest.time_ms)


def _lines_of_stdin() -> asyncio.Queue[str]:
    """What is typed, a line at a time; nothing more where stdin ends."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        # A thread, since stdin may be anything, and not all of it can be waited for by a loop.
        for line in sys.stdin:
            with suppress(RuntimeError):  # the loop is closed, and the process about to end
                loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return lines
