"""An ingest as a process: its logs and metrics, the broker that it writes to, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from streams.process.clock import Clock
    from streams.settings import Settings


def run_ingest(follow: Callable[[Settings, Clock], Coroutine[object, object, None]]) -> None:
    """Run an ingest until the process is told to stop.

    Args:
        follow: Writes what the outside world says to Kafka until cancelled, given the configuration and the clock.

    Raises:
        BadSettings: The configuration is wrong, or the admin port is taken.
        TidemarkError: The broker does not answer, or what ``follow`` raises.
    """
    # Imported here, so that --help and the shell's completion need not wait for it.
    from streams.process.clock import SystemClock  # noqa: PLC0415
    from tidemark.admin_port import with_admin_port  # noqa: PLC0415
    from tidemark.kafka import naming_the_broker, require_broker  # noqa: PLC0415
    from tidemark.running import log_to_stderr, run_until_stopped  # noqa: PLC0415

    settings = load_settings()
    log_to_stderr(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        run_until_stopped(with_admin_port(settings.ingest, follow(settings, SystemClock())))
