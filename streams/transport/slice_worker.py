"""How a worker process ends: crash-only on a fault, within a bound on a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import Any, Protocol

import faust

EXIT_FATAL = 70
EXIT_DEADLINE = 75
# Leaving the group spares the others the session timeout; a broker that does not answer must not keep us.
_LEAVE_GROUP_S = 1.0
# Kubernetes and the local stack wait longer; within 3 s a restart is not felt.
_STOP_DEADLINE_S = 2.8

_log = logging.getLogger(__name__)


class GroupMember(Protocol):
    """The consumer whose process is to end; ``dead`` is why, None while it lives."""

    dead: BaseException | None

    @property
    def membership(self) -> Any:
        """Aiokafka's consumer and its coordinator."""


def crash(consumer: GroupMember | None, error: BaseException) -> None:
    """End the process without committing anything more: leave the group, then exit 70. Safe to call again."""
    if consumer is not None:
        if consumer.dead is not None:
            return
        consumer.dead = error
    _log.critical("worker ends without commit error=%r", error, exc_info=error)
    sys.stderr.flush()

    def leave(*_: object) -> None:
        os._exit(EXIT_FATAL)

    timer = threading.Timer(_LEAVE_GROUP_S, leave)
    timer.daemon = True
    timer.start()
    membership = None if consumer is None else consumer.membership
    if membership is None or membership.coordinator is None:
        leave()
        return
    closing = asyncio.run_coroutine_threadsafe(membership.coordinator.close(), membership.thread_loop)
    closing.add_done_callback(leave)


class SliceWorker(faust.Worker):  # type: ignore[misc]
    """Faust's worker, with a thread that ends the process in time even where the loop is blocked."""

    def _install_signal_handlers_unix(self) -> None:
        # Stock handlers run in the loop only: an agent that blocks it would keep the process for ever.
        super()._install_signal_handlers_unix()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.remove_signal_handler(number)
            signal.signal(number, self._on_stop_signal)

    def _on_stop_signal(self, number: int, frame: Any) -> None:
        del number, frame
        timer = threading.Timer(_STOP_DEADLINE_S, self._end_at_deadline)
        timer.daemon = True
        timer.start()
        self.loop.call_soon_threadsafe(self._on_sigterm)

    def _end_at_deadline(self) -> None:
        consumer = self.app._consumer
        os._exit(0 if consumer is None or consumer.settled else EXIT_DEADLINE)
