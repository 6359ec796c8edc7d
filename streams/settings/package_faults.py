"""What the packages of venues raise that they should not: counted each time, and logged with its traceback once."""

from __future__ import annotations

import logging

import prometheus_client

_log = logging.getLogger(__name__)
_FAULTS = prometheus_client.Counter(
    "tidemark_package_faults_total",
    "Times that the package of a venue raised what it should not, or gave what cannot be used.",
    ("kind", "hook"),
)
# An account is valued with every tick: a line for each would say the same some thousand times a second.
_logged: set[tuple[str, str, str]] = set()


def note_fault(kind: str, hook: str, error: BaseException) -> None:
    """Take note that a package failed.

    Args:
        kind: The venue's kind.
        hook: What it was asked for, as ``models.venue.Venue`` names it.
        error: What it raised, or what is wrong with what it gave.
    """
    _FAULTS.labels(kind, hook).inc()
    what = kind, hook, type(error).__name__
    if what not in _logged:
        _logged.add(what)
        _log.error("package of venue %s failed at %s; more of this is counted only", kind, hook, exc_info=error)
