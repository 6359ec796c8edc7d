"""Serves a replayed log, at a speed or step by step, until it is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from api.http.listening import public_door
from api.replay.replay_pace import ReplayPace
from api.replay.replay_replica import ReplayReplica
from api.server import listening
from models.instants import rfc3339
from streams.replay.bounded_log import BadWindow
from streams.replay.replay_clock import ReplayClock
from streams.replay.replay_controls import Go, NextRecord, Pause, StandAt, read_control
from streams.replay.replayed_log import replaying

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from streams.process.clock import Clock
    from streams.replay.bounded_log import Log, LogRecord
    from streams.replay.checkpoints import Checkpoints
    from streams.replay.replayed_log import ReplayedLog, ReplayWindow
    from streams.settings import Settings


class Replay(NamedTuple):
    """What is replayed, and how.

    Attributes:
        log: Where the topics are.
        settings: Have the deployments, and say where is listened.
        window: From when until when.
        speed: How many seconds pass in one, None for a replay that goes on only when it is told to.
        checkpoints: Where checkpoints are.
    """

    log: Log
    settings: Settings
    window: ReplayWindow
    speed: int | None
    checkpoints: Checkpoints | None = None


class ReplayServer:
    """Serves a replay.

    Args:
        replay: What is replayed.
        machine: The machine's clock.
        lines: What somebody says who watches, as ``read_control`` reads it.
        say: Is told a sentence for a person, whenever something else than time goes on.
        on_record: Is told each record that is read before the replay begins.
    """

    def __init__(
        self,
        replay: Replay,
        machine: Clock,
        lines: asyncio.Queue[str],
        *,
        say: Callable[[str], None],
        on_record: Callable[[LogRecord], None],
    ) -> None:
        self._replay = replay
        self._machine = machine
        self._pace = ReplayPace(machine, lines, replay.speed)
        self._say = say
        self._on_record = on_record

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ReplayError: The window cannot be replayed, or it broke off.
            BadSettings: What is configured cannot be served.
            PortTaken: The port cannot be listened on.
        """
        begin_ms = self._replay.window.since_ms
        while True:
            # To go back is to begin anew: a client comes back as after a restart, and sees no version fall.
            begin_ms = await self._serve_from(begin_ms)

    async def _serve_from(self, begin_ms: int) -> int:
        """Serve from an instant, Unix ms, on; return at which to begin anew."""
        replay, api, clock = self._replay, self._replay.settings.api, ReplayClock(begin_ms)
        replica = ReplayReplica(replay.settings, clock, self._machine)
        async with replaying(
            replay.log, replay.settings, replay.window._replace(since_ms=begin_ms), clock, told=replica.topics,
            on_record=self._on_record, checkpoints=replay.checkpoints,
        ) as replayed:  # fmt: skip
            replica.take(await replayed.begin())
            for doubt in replayed.doubts:
                self._say(f"not certain: {doubt}")
            async with listening(replica.app, public_door(replica.app), "port", api.host, api.port):
                self._say(f"serving on http://{api.host}:{api.port}")
                return await self._play(replayed, replica, clock)

    async def _play(self, replayed: ReplayedLog, replica: ReplayReplica, clock: ReplayClock) -> int:
        """Go on as time passes and as is said, until the replay is to be begun anew; return from when."""
        self._tell(replayed, clock)
        while True:
            line, passed_ms = await self._pace.turn()
            was_over = replayed.is_over
            try:
                wanted_ms = clock.at_ms + passed_ms if line is None else self._wanted(line, replayed, clock)
            except BadWindow as error:
                self._say(str(error))
                continue
            if wanted_ms < clock.at_ms:
                return wanted_ms
            if not was_over:
                replica.take(await replayed.advance(wanted_ms))
            if line is not None or replayed.is_over != was_over:
                self._tell(replayed, clock)

    def _wanted(self, line: str, replayed: ReplayedLog, clock: ReplayClock) -> int:
        """The instant at which a line has the replay stand, Unix ms."""
        match read_control(line, clock.at_ms):
            case NextRecord():
                self._pace.stand()
                return replayed.next_ms
            case StandAt(wanted_ms):
                first_ms = self._replay.window.since_ms
                if wanted_ms < first_ms:
                    msg = f"expected an instant within the window, found one before {rfc3339(first_ms)}"
                    raise BadWindow(msg)
                return wanted_ms
            case Pause():
                self._pace.stand()
            case Go(speed):
                self._pace.go(speed)
            case control:
                assert_never(control)
        return clock.at_ms

    def _tell(self, replayed: ReplayedLog, clock: ReplayClock) -> None:
        how = "the end of the window" if replayed.is_over else str(self._pace)
        self._say(f"at {rfc3339(clock.at_ms)}, {how}")
