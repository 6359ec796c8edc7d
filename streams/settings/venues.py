"""The kinds of venues: those built in, and those that installed packages bring.

A package brings one by an entry point of the group ``tidemark.venues``, whose name is the kind and whose object is a
``VenuePackage``. A kind is loaded when a configuration first names it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

from models.engine.deployment import EngineDeployment, Venues
from models.errors import TidemarkError
from models.views import AccountViews
from streams.settings.figures import figure_settings, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.venue import Venue
    from streams.settings.deployment import DeploymentSettings
    from streams.settings.effective import Settings

GROUP = "tidemark.venues"
DEFAULT_KIND = "symmio"
"""The kind of a deployment that names none."""

# Where the object of each kind that is built in is found.
_BUILT_IN = {"symmio": "streams.settings.symmio.symmio_settings:SYMMIO"}


class BadVenue(TidemarkError):
    """What is installed as a venue is none, or two packages bring one kind."""


class VenuePackage(NamedTuple):
    """A kind of venue, and the settings that each of its deployments has."""

    venue: Venue[Any, Any, Any]
    settings: type[DeploymentSettings]


def installed_kinds() -> list[str]:
    """Every kind that a configuration may name, in the order of the alphabet."""
    return sorted({*_BUILT_IN, *(one.name for one in entry_points(group=GROUP))})


@cache
def package_of(kind: str) -> VenuePackage | None:
    """Find the venue of a kind; None where none is installed.

    Raises:
        BadVenue: Two packages bring this kind, or its object is no ``VenuePackage`` of this kind.
    """
    found = [one for one in entry_points(group=GROUP) if one.name == kind]
    sources = [one.value for one in found] + ([_BUILT_IN[kind]] if kind in _BUILT_IN else [])
    if not sources:
        return None
    if len(sources) > 1:
        msg = f"expected one venue of kind {kind!r}, found {', '.join(sources)}: uninstall all but one package"
        raise BadVenue(msg)
    module, _, name = sources[0].partition(":")
    package = getattr(import_module(module), name, None)
    if not isinstance(package, VenuePackage) or package.venue.kind != kind:
        msg = f"expected a VenuePackage of kind {kind!r} at {sources[0]}, found {package!r:.200}"
        raise BadVenue(msg)
    return package


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


def account_views(settings: Settings) -> AccountViews:
    """What makes views of a configuration's accounts."""
    venues = venues_of(settings)

    def own_of(deployment: str) -> Callable[[Mapping[str, Any]], dict[str, Any]] | None:
        venue = venues.of(deployment)
        return None if venue is None else venue.view

    return AccountViews(own_of)


def _venue(kind: str) -> Venue[Any, Any, Any] | None:
    package = package_of(kind)
    return None if package is None else package.venue
