"""What the follower of a price source is given, and what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import aiohttp

    from streams.ingest.outlet import Outlet
    from streams.process.clock import Clock
    from streams.settings import Settings


class PriceSite(NamedTuple):
    """Where a follower stands.

    Attributes:
        settings: The configuration.
        name: The source's name.
        source: The source's section, of the settings class of its kind.
        session: HTTP client.
        outlet: The way to Kafka.
        clock: Tells when something was received.
    """

    settings: Settings
    name: str
    source: Any
    session: aiohttp.ClientSession
    outlet: Outlet
    clock: Clock


class Follower(Protocol):
    """Follows one source; its kind's package makes it of a ``PriceSite``."""

    @property
    def heard_ms(self) -> int:
        """When what the newest tick says happened, in Unix ms by our clock; 0 before the first."""

    async def run(self) -> None:
        """Hand what the source says to the outlet, until cancelled.

        Raises:
            NotAcknowledged: The broker did not take a record.
        """
