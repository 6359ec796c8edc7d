"""What packages of venues import, and nothing else of Tidemark but for tests (docs/adding-a-venue.md).

A package offers a ``VenuePackage`` under the entry point group ``tidemark.venues``, by the name of its kind.
"""

from models.account_events import RolledBack
from models.book_figures import MOVE_MAX, Exposure, Shown
from models.bookings import Booked, Booking, TellsBookings
from models.chain_records import LogOffset
from models.codec import ORDER_BYTES, decode_order
from models.errors import BadNumber, BadRecord, BadRow
from models.money import E18, divide_toward_zero, format_e18, parse_e18
from models.moves import Move, TellsMoves
from models.plain_venue import Holds, Own, PlainAccount, PlainVenue, Position
from models.prices import OracleTerms, UsedMark
from models.references import UsedReference
from models.valuations import NO_ACCOUNT, SUSPECT, UNPRICED, UNSUPPORTED, VALUED, distance_bps
from models.venue import Account, Held, Inputs, Settled, TopicSpec, Valued, ValuedWhole, Valuer, Venue
from models.watermarks import DeploymentWatermark
from models.what_if import ChargesFunding
from streams.settings.deployment import DeploymentSettings
from streams.settings.venues import VenuePackage

__all__ = [
    "E18",
    "MOVE_MAX",
    "NO_ACCOUNT",
    "ORDER_BYTES",
    "SUSPECT",
    "UNPRICED",
    "UNSUPPORTED",
    "VALUED",
    "Account",
    "BadNumber",
    "BadRecord",
    "BadRow",
    "Booked",
    "Booking",
    "ChargesFunding",
    "DeploymentSettings",
    "DeploymentWatermark",
    "Exposure",
    "Held",
    "Holds",
    "Inputs",
    "LogOffset",
    "Move",
    "OracleTerms",
    "Own",
    "PlainAccount",
    "PlainVenue",
    "Position",
    "RolledBack",
    "Settled",
    "Shown",
    "TellsBookings",
    "TellsMoves",
    "TopicSpec",
    "UsedMark",
    "UsedReference",
    "Valued",
    "ValuedWhole",
    "Valuer",
    "Venue",
    "VenuePackage",
    "decode_order",
    "distance_bps",
    "divide_toward_zero",
    "format_e18",
    "parse_e18",
]
