"""The errors of an embedded broker that does not run."""

from __future__ import annotations

from models.errors import TidemarkError


class BrokerFailed(TidemarkError):
    """The embedded broker cannot be fetched, started or reached. The message says what to install or where to look.

    A cluster of one's own can be used instead, by ``TIDEMARK_KAFKA`` or ``tidemark up --bootstrap``.
    """


class PortTaken(BrokerFailed):
    """Another process took the port after it was found free and before the broker listened on it."""


class DiskFull(BrokerFailed):
    """There is no room for the broker's data. Make room: it can be started again then."""
