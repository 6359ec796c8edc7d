"""What the engine is told of a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.engine.board import PriceSource
    from models.venue import Venue


def no_prices(_name: str) -> Sequence[PriceSource]:
    """Say that no market has a price."""
    return ()


@dataclass(frozen=True, slots=True)
class EngineDeployment:
    """What the engine is told of a deployment.

    ``venue`` is of which kind it is, None where that kind is not installed: its accounts are left as they are then.
    ``own`` is what the venue itself is told of it.
    ``price_sources`` says where the price of a market comes from, by the market's name, in order of preference.
    ``settings`` is the name of the settings that figures follow from, as provenance gives it.
    """

    venue: Venue[Any, Any, Any] | None
    own: Any
    price_sources: Callable[[str], Sequence[PriceSource]] = no_prices
    settings: str = ""


class InstalledVenue(NamedTuple):
    """A venue, with what it is told of each of its deployments, by name."""

    venue: Venue[Any, Any, Any]
    deployments: Mapping[str, Any]


class Venues:
    """The venue of each account, by its deployment.

    Args:
        deployments: Those that are configured, by name.
        fallback: The venue of deployments that are not configured any more, whose accounts are still in the tables.
    """

    def __init__(self, deployments: Mapping[str, EngineDeployment], fallback: Venue[Any, Any, Any] | None) -> None:
        self._deployments = deployments
        self._fallback = fallback
        named = (*(deployment.venue for deployment in deployments.values()), fallback)
        venues = {venue.kind: venue for venue in named if venue is not None}
        self._installed = [
            InstalledVenue(
                venue, {name: deployment.own for name, deployment in deployments.items() if deployment.venue is venue}
            )
            for venue in venues.values()
        ]

    def priced(self, deployment: str) -> EngineDeployment | None:
        """What says where a deployment's prices come from, None where it is not configured."""
        return self._deployments.get(deployment)

    @property
    def installed(self) -> Sequence[InstalledVenue]:
        """Every venue that is installed and configured, or that is the fallback."""
        return self._installed

    def of(self, deployment: str) -> Venue[Any, Any, Any] | None:
        """The venue of a deployment, None where it is not installed."""
        configured = self._deployments.get(deployment)
        return self._fallback if configured is None else configured.venue
