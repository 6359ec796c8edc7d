"""What packages of venues import, and nothing else of Tidemark (docs/adding-a-venue.md).

A package offers a ``VenuePackage`` under the entry point group ``tidemark.venues``, by the name of its kind.
"""

from models.errors import BadNumber, BadRecord, BadRow
from models.money import E18, divide_toward_zero, format_e18, parse_e18
from models.plain_venue import Holds, PlainVenue, Position
from models.venue import Exposure, Inputs, Settled, TopicSpec, Valued, Venue
from streams.settings.deployment import DeploymentSettings
from streams.settings.venues import VenuePackage

__all__ = [
    "E18",
    "BadNumber",
    "BadRecord",
    "BadRow",
    "DeploymentSettings",
    "Exposure",
    "Holds",
    "Inputs",
    "PlainVenue",
    "Position",
    "Settled",
    "TopicSpec",
    "Valued",
    "Venue",
    "VenuePackage",
    "divide_toward_zero",
    "format_e18",
    "parse_e18",
]
