"""What packages of dialects import, and nothing else of Tidemark (docs/adding-a-venue.md).

A package offers a ``DialectPackage`` under the entry point group ``tidemark.dialects``, by the name of its kind.
"""

from api.access.gate import (
    AllAccounts,
    Door,
    Filtered,
    InProtocol,
    Markets,
    OneAccount,
    OwnKey,
    Public,
    known_principal_of,
    principal_of,
)
from api.access.tokens import NotAuthenticated, Principal
from api.delivery.dialect import Dialect
from api.dialects.mounting import DialectPackage, Mounted, Resource, Site
from api.http.bodies import read_plain
from api.http.error_bodies import error_response
from api.http.keys import CLOCK, CONNECTIONS, FEEDS, FRESHNESS, HUB, METRICS, PRICES, RECORDS, STANDINGS, TOTALS, VIEWS
from api.tables.standing import CurrentRow, NoSuchAccount, NotKnown, Unsupported
from models.codec import Row, decode_row
from models.errors import BadRow
from models.ids import account_key
from models.statements import Event, Statement, decode_statement
from streams.kafka.reader import TopicReader
from streams.kafka.single_records import NotWritten
from streams.settings import BadSettings
from streams.settings.dialects import DialectSettings

__all__ = [
    "CLOCK",
    "CONNECTIONS",
    "FEEDS",
    "FRESHNESS",
    "HUB",
    "METRICS",
    "PRICES",
    "RECORDS",
    "STANDINGS",
    "TOTALS",
    "VIEWS",
    "AllAccounts",
    "BadRow",
    "BadSettings",
    "CurrentRow",
    "Dialect",
    "DialectPackage",
    "DialectSettings",
    "Door",
    "Event",
    "Filtered",
    "InProtocol",
    "Markets",
    "Mounted",
    "NoSuchAccount",
    "NotAuthenticated",
    "NotKnown",
    "NotWritten",
    "OneAccount",
    "OwnKey",
    "Principal",
    "Public",
    "Resource",
    "Row",
    "Site",
    "Statement",
    "TopicReader",
    "Unsupported",
    "account_key",
    "decode_row",
    "decode_statement",
    "error_response",
    "known_principal_of",
    "principal_of",
    "read_plain",
]
