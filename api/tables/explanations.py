"""Why an account's figures moved, worked out by a process beside the replica: it reads the log, which takes its time.

What is asked again is answered with how far the process is, or with what it found. So that no client keeps a replica
busy, a user has one question at a time, few are worked on at once, and each ends after a time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AT_ONCE = 2
"""How many processes run at a time beside one replica."""

ENDS_AFTER_S = 120.0
KEPT_S = 300.0
_KEPT = 64
_LINE_BYTES_MAX = 2**20
_COMMAND = (sys.executable, "-m", "streams.replay.explain_process")


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
    """It cannot be explained, for a reason."""

    reason: str


class Explained(NamedTuple):
    """What was found, as ``streams.replay.explain_process`` writes it."""

    body: dict[str, Any]


Outcome = Running | Refused | Explained


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
        for asked, work in list(self._works.items()):
            is_old = work.ended_s is not None and self._clock_s() - work.ended_s > KEPT_S
            if is_old or (len(self._works) > _KEPT and not work.is_running):
                del self._works[asked]

    def _give_up(self, question: Question) -> None:
        work = self._works.pop(question)
        if work.task is not None:
            work.task.cancel()

    async def _run(self, work: _Work, question: Question) -> None:
        refused = Refused(f"expected an answer within {self._ends_after_s:.0f} s, found none: choose a shorter span")
        try:
            async with asyncio.timeout(self._ends_after_s):
                work.outcome = await self._worked_out(work, question)
        except TimeoutError:
            work.outcome = refused
        except (OSError, ValueError) as error:
            work.outcome = Refused(f"the process that explains could not be run, or was not understood: {error}")
        finally:
            work.ended_s = self._clock_s()

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
                    case {"explained": dict(body)}:
                        return Explained(body)
                    case other:
                        msg = f"expected a line of an explanation, found {other!r:.200}"
                        raise ValueError(msg)
            code = await process.wait()
            return Refused(f"it took too much time or memory, or broke off (code {code}): choose a shorter span")
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
