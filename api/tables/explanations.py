"""Why an account's figures moved, worked out by a process beside the replica: it reads the log, which takes its time.

What is asked again is answered with how far the process is, or with what it found. So that no client keeps a replica
busy, a user has one question at a time and starts a process every few seconds at most, few are worked on at once, and
each ends after a time.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from models.errors import TidemarkError
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AT_ONCE = 2
"""How many processes run at a time beside one replica."""

ENDS_AFTER_S = 120.0
STARTS_EVERY_S = 3.0
"""After how long a user's next question is begun; until then it waits."""

KEPT_S = 300.0
FAILED_KEPT_S = 5.0
"""For how long it is answered that a question could not be worked out, where that may pass."""

_KEPT = 64
_LINE_BYTES_MAX = 2**20
_COMMAND = (sys.executable, "-m", "streams.replay.explain_within_bounds")
_PROCESSOR = (
    "it takes more of the processor than it may have, of which most goes to records before the span that no checkpoint "
    "spares: ask for a span soon after one (api.checkpoints), or tidemark explain, which has no bounds"
)
_KILLED = "the process was killed, as it is where memory is short: ask again, or choose a shorter span"


class NotNow(TidemarkError):
    """No question is taken up now, for a reason that the message says."""


class TooBusy(NotNow):
    """Others' questions are worked on. Ask again in some seconds."""


class Question(NamedTuple):
    """What is to be explained: an account, and the two instants in Unix ms."""

    deployment: str
    account: str
    since_ms: int
    until_ms: int


class Running(NamedTuple):
    """It is being worked on: so many records are read, of about so many."""

    read: int
    of: int


class Refused(NamedTuple):
    """It cannot be explained, for a reason that is one as well when it is asked again."""

    reason: str


class Failed(NamedTuple):
    """It could not be worked out, for a reason that may pass."""

    reason: str


class Explained(NamedTuple):
    """What was found, as ``streams.replay.explain_process`` writes it."""

    body: dict[str, Any]


Outcome = Running | Refused | Failed | Explained


class Explaining(Protocol):
    """Answers why figures moved, by whatever reads the log that they are of."""

    def ask(self, user: str, question: Question) -> Outcome:
        """Answer a question, as far as it is answered; the first time it is begun.

        Args:
            user: Who asks; what this user asked before is given up.
            question: What is asked.

        Raises:
            NotNow: It is not taken up.
        """

    async def stop(self) -> None:
        """End whatever is worked on."""


class _Work:
    """One question being worked on, or answered."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.outcome: Outcome = Running(0, 0)
        self.task: asyncio.Task[None] | None = None
        self.ended_s: float | None = None

    @property
    def is_running(self) -> bool:
        return isinstance(self.outcome, Running)


class Explanations:
    """Starts a process for each question, and keeps for a while what it found.

    Args:
        clock_s: A clock that does not go back, in s.
        command: The process; the question's parts are added.
        ends_after_s: How long one may take, in s.
    """

    def __init__(
        self, clock_s: Callable[[], float], command: Sequence[str] = _COMMAND, ends_after_s: float = ENDS_AFTER_S
    ) -> None:
        self._clock_s = clock_s
        self._command = command
        self._ends_after_s = ends_after_s
        self._works: dict[Question, _Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # When each user's newest process was started, as far as that matters still.
        self._started_s: dict[str, float] = {}

    def ask(self, user: str, question: Question) -> Outcome:
        """Answer a question, as far as it is answered; the first time it is begun.

        Args:
            user: Who asks; what this user asked before is given up.
            question: What is asked.

        Raises:
            TooBusy: So many questions of others are worked on.
        """
        self._forget()
        known = self._works.get(question)
        if known is not None:
            return known.outcome
        running = [work for work in self._works.values() if work.is_running]
        others = [work for work in running if work.user != user]
        if len(others) >= AT_ONCE:
            msg = f"expected fewer than {AT_ONCE} explanations under way, found {len(others)}: ask again soon"
            raise TooBusy(msg)
        for asked in [asked for asked, work in self._works.items() if work.is_running and work.user == user]:
            self._give_up(asked)
        work = self._works[question] = _Work(user)
        work.task = asyncio.create_task(self._run(work, question), name="explanation")
        self._tasks.add(work.task)
        work.task.add_done_callback(self._tasks.discard)
        return work.outcome

    async def stop(self) -> None:
        """End every process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self) -> None:
        now_s = self._clock_s()
        for user, started_s in list(self._started_s.items()):
            if now_s - started_s > STARTS_EVERY_S:
                del self._started_s[user]
        for asked, work in list(self._works.items()):
            kept_s = FAILED_KEPT_S if isinstance(work.outcome, Failed) else KEPT_S
            is_old = work.ended_s is not None and now_s - work.ended_s > kept_s
            if is_old or (len(self._works) > _KEPT and not work.is_running):
                del self._works[asked]

    def _give_up(self, question: Question) -> None:
        work = self._works.pop(question)
        if work.task is not None:
            work.task.cancel()

    async def _run(self, work: _Work, question: Question) -> None:
        try:
            while (wait_s := self._wait_s(work.user)) > 0:  # noqa: ASYNC110 - what is waited for is a clock
                await asyncio.sleep(wait_s)
            self._started_s[work.user] = self._clock_s()
            async with asyncio.timeout(self._ends_after_s):
                work.outcome = await self._worked_out(work, question)
        except TimeoutError:
            work.outcome = Failed(
                f"expected an answer within {self._ends_after_s:.0f} s, found none: choose a shorter span"
            )
        except (OSError, ValueError) as error:
            work.outcome = Failed(f"the process that explains could not be run, or was not understood: {error}")
        finally:
            work.ended_s = self._clock_s()

    def _wait_s(self, user: str) -> float:
        """After how many s a user may start a process."""
        started_s = self._started_s.get(user)
        return 0.0 if started_s is None else started_s + STARTS_EVERY_S - self._clock_s()

    async def _worked_out(self, work: _Work, question: Question) -> Outcome:
        process = await asyncio.create_subprocess_exec(
            *self._command, *map(str, question), stdout=asyncio.subprocess.PIPE, limit=_LINE_BYTES_MAX
        )
        out = process.stdout or asyncio.StreamReader()
        try:
            while line := await out.readline():
                match json.loads(line):
                    case {"read": int(read), "of": int(of)}:
                        work.outcome = Running(read, of)
                    case {"refused": str(reason)}:
                        return Refused(reason)
                    case {"failed": str(reason)}:
                        return Failed(reason)
                    case {"explained": dict(body)}:
                        return Explained(body)
                    case other:
                        msg = f"expected a line of an explanation, found {other!r:.200}"
                        raise ValueError(msg)
            return _broken_off(await process.wait())
        finally:
            # Who has given it up may be told to end before it has ended.
            await waited_out(_ended(process, out))


async def _ended(process: asyncio.subprocess.Process, out: asyncio.StreamReader) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        # To its end, or the pipe stays open for as long as the loop has not come round to it.
        await out.read()


def _broken_off(code: int) -> Outcome:
    """Why a process said no last word: a negative code is the number of the signal that ended it."""
    match -code:
        case signal.SIGXCPU:
            return Refused(_PROCESSOR)
        case signal.SIGKILL:
            return Failed(_KILLED)
        case _:
            return Failed(f"the process that explains broke off (code {code}); the server's log says why")
