"""The kinds of venues: those built in, and those that installed packages bring.

A package brings one by an entry point of the group ``tidemark.venues``, whose name is the kind and whose object is a
``VenuePackage``. A kind is loaded when a configuration first names it, and what is not built in is guarded from then on
(``models.guarded_venue``).
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from models.bookings import TellsBookings
from models.engine.deployment import EngineDeployment, Venues
from models.guarded_venue import GuardedVenue
from models.views import AccountViews
from streams.settings.figures import figure_settings, name_of
from streams.settings.installed import BadPackage, Kinds
from streams.settings.package_faults import note_fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.venue import Venue
    from streams.settings.deployment import DeploymentSettings
    from streams.settings.effective import Settings

_log = logging.getLogger(__name__)

DEFAULT_KIND = "symmio"
"""The kind of a deployment that names none."""

KINDS = Kinds(
    "tidemark.venues",
    {
        "symmio": "streams.settings.symmio.symmio_settings:SYMMIO",
        "ledger": "streams.settings.ledger.ledger_deployment:LEDGER",
        "flash": "streams.settings.flash.flash_settings:FLASH",
    },
)


class VenuePackage(NamedTuple):
    """A kind of venue, and the settings that each of its deployments has."""

    venue: Venue[Any, Any, Any]
    settings: type[DeploymentSettings]

    @property
    def kind(self) -> str:
        """The venue's kind."""
        return self.venue.kind


@cache
def package_of(kind: str) -> VenuePackage | None:
    """Find the venue of a kind; None where none is installed.

    Raises:
        BadPackage: Two packages bring this kind, its object is no ``VenuePackage`` of this kind, or the venue is none.
    """
    package = KINDS.find(kind, VenuePackage)
    if package is None or kind in KINDS.built_in:
        return package
    try:
        return package._replace(venue=GuardedVenue(package.venue, note_fault))
    except (AttributeError, ValueError) as error:
        msg = f"expected a venue as docs/adding-a-venue.md says of the package of kind {kind!r}, found: {error}"
        raise BadPackage(msg) from error


def engine_deployments(deployments: Mapping[str, DeploymentSettings]) -> dict[str, EngineDeployment]:
    """What the engine is told of deployments, by name."""
    return {
        name: EngineDeployment(
            _venue(one.kind), one.own, one.price_sources, settings=name_of(figure_settings(name, one))
        )
        for name, one in deployments.items()
    }


def venues_of(settings: Settings) -> Venues:
    """The venues of a configuration's deployments; of those that it does not name any more, the default kind."""
    return Venues(engine_deployments(settings.deployments), _venue(DEFAULT_KIND))


def missing_venues(deployments: Mapping[str, DeploymentSettings]) -> dict[str, str]:
    """Say of each deployment whose venue is not installed here what follows and what to do, by name."""
    return {
        name: f"deployment {name} is not folded, valued or known: {KINDS.missing(one.kind)}"
        for name, one in deployments.items()
        if not one.is_installed
    }


def log_missing_venues(deployments: Mapping[str, DeploymentSettings]) -> None:
    """Log a line for each deployment whose venue is not installed in this process."""
    for said in missing_venues(deployments).values():
        _log.error("%s", said)


def booking_names(deployment: DeploymentSettings) -> Sequence[str]:
    """The names of what is booked of a deployment's accounts; none where its venue does not say what happens."""
    venue: object = _venue(deployment.kind)
    return venue.booking_names if isinstance(venue, TellsBookings) else ()


def account_views(settings: Settings) -> AccountViews:
    """What makes views of a configuration's accounts."""
    return AccountViews(venues_of(settings).of)


def _venue(kind: str) -> Venue[Any, Any, Any] | None:
    package = package_of(kind)
    return None if package is None else package.venue
