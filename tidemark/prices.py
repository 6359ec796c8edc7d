"""What packages import that bring a kind of price source, and nothing else of Tidemark (docs/adding-a-venue.md).

A package offers a ``PricePackage`` under the entry point group ``tidemark.prices``, by the name of its kind.
"""

from models.prices import BookTick, MarkTick, OracleSaid, PriceTick
from streams.ingest.outlet import NotAcknowledged, Outlet
from streams.ingest.prices.frame_sink import PriceSink
from streams.ingest.prices.price_frames import BadFrame, BadTick, Frame, Refused, number_text
from streams.ingest.prices.price_site import Follower, PriceSite
from streams.ingest.prices.price_tasks import RECONNECT_S, together
from streams.ingest.prices.rest_answers import FAILURES, fetch
from streams.ingest.prices.venue_clock import VenueClock
from streams.ingest.prices.venue_socket import SessionEnded, VenueProtocol, VenueSocket
from streams.process.backoff import Backoff
from streams.process.clock import Clock
from streams.settings.prices.price_source import PricePackage, SourceSettings

__all__ = [
    "FAILURES",
    "RECONNECT_S",
    "Backoff",
    "BadFrame",
    "BadTick",
    "BookTick",
    "Clock",
    "Follower",
    "Frame",
    "MarkTick",
    "NotAcknowledged",
    "OracleSaid",
    "Outlet",
    "PricePackage",
    "PriceSink",
    "PriceSite",
    "PriceTick",
    "Refused",
    "SessionEnded",
    "SourceSettings",
    "VenueClock",
    "VenueProtocol",
    "VenueSocket",
    "fetch",
    "number_text",
    "together",
]
