"""Why an embedded broker does not run."""

from __future__ import annotations

from models.errors import TidemarkError


class BrokerFailed(TidemarkError):
    """The embedded broker cannot be fetched, started or reached; the message says what to install or where to look.

    Another way out is always a cluster of one's own, given by ``TIDEMARK_KAFKA`` or ``tidemark up --bootstrap``.
    """


class PortTaken(BrokerFailed):
    """Somebody else took the port between the look for a free one and the broker's own start."""
