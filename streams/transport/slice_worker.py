"""How a worker process ends: crash-only on a fault, closed where it could not start, within a bound on a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import faust

from streams.process.faults import EXIT_FAULT, print_last_line, print_traceback

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_DEADLINE = 75
# Other workers need not wait for the session timeout if we leave the group; a broker that does not answer must not keep
# the process from ending.
_LEAVE_GROUP_S = 1.0
# Kubernetes and the local stack wait longer; users do not notice a restart within 3 s.
_STOP_DEADLINE_S = 2.8

_log = logging.getLogger(__name__)


class GroupMember(Protocol):
    """The consumer whose process is to end; ``dead`` is the error that ends it, None before."""

    dead: BaseException | None

    @property
    def membership(self) -> Any:
        """The membership of the group, which holds aiokafka's consumer and its coordinator."""


def crash(consumer: GroupMember | None, error: BaseException) -> None:
    """End the process without committing anything more: leave the group, then exit 70. A second call does nothing."""
    if consumer is not None:
        if consumer.dead is not None:
            return
        consumer.dead = error

    def leave(*_: object) -> None:
        print_last_line(error)
        os._exit(EXIT_FAULT)

    # First of all, so that the process ends whatever becomes of the log.
    _after(_LEAVE_GROUP_S, leave)
    _log.critical("worker ends without commit error=%r", error, exc_info=error)
    membership = None if consumer is None else consumer.membership
    if membership is None or membership.coordinator is None:
        leave()
        return
    closing = asyncio.run_coroutine_threadsafe(membership.coordinator.close(), membership.thread_loop)
    closing.add_done_callback(leave)


class SliceWorker(faust.Worker):  # type: ignore[misc]
    """Faust's worker, with a thread that ends the process in time even if the loop is blocked."""

    def run(self) -> None:
        """Run until told to stop.

        Raises:
            BaseException: What kept the worker from starting or ended it; everything that it had opened is closed.
        """
        # Stock ends with 1 on a fault, and says what failed while it stopped instead of what came before.
        fault: BaseException | None = None
        self._starting_fut = asyncio.ensure_future(self.start(), loop=self.loop)
        try:
            self.loop.run_until_complete(self._starting_fut)
        except asyncio.CancelledError:
            _log.info("stopped while starting")
        except BaseException as error:  # noqa: BLE001 - it is raised again when everything is closed
            fault = error
            _after(_STOP_DEADLINE_S, partial(self._end_at_deadline_of, error))
        try:
            self.on_worker_shutdown()
            self.stop_and_shutdown()
        except BaseException as error:  # noqa: BLE001 - what fails after a fault is a consequence of it
            fault = fault or error
        if fault is not None:
            raise fault

    def _install_signal_handlers_unix(self) -> None:
        # Faust's own handlers run in the loop only: an agent that blocks it would keep the process running for ever.
        super()._install_signal_handlers_unix()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.remove_signal_handler(number)
            signal.signal(number, self._on_stop_signal)

    def _on_stop_signal(self, number: int, frame: Any) -> None:
        del number, frame
        _after(_STOP_DEADLINE_S, self._end_at_deadline)
        self.loop.call_soon_threadsafe(self._on_sigterm)

    def _end_at_deadline(self) -> None:
        consumer = self.app._consumer
        if consumer is None or consumer.settled:
            os._exit(0)
        print_last_line(TimeoutError(f"expected the worker to stop in {_STOP_DEADLINE_S} s, found slices not settled"))
        os._exit(EXIT_DEADLINE)

    def _end_at_deadline_of(self, fault: BaseException) -> None:
        print_traceback(fault)
        print_last_line(fault)
        os._exit(EXIT_FAULT)


def _after(wait_s: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(wait_s, act)
    timer.daemon = True
    timer.start()
