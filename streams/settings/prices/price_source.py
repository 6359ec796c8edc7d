"""Settings that the source of every kind has, and how the kinds of sources are found.

A package brings a kind by an entry point of the group ``tidemark.prices``, whose name is the kind and whose object is a
``PricePackage``.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from pydantic import ConfigDict, PositiveInt

from streams.settings.installed import Kinds
from streams.settings.values import Name, Section

DEFAULT_KIND = "binance-futures"
"""The kind of a source that names none."""

KINDS = Kinds(
    "tidemark.prices",
    {
        "binance-futures": "streams.settings.prices.binance_source:BINANCE",
        "bitfinex": "streams.settings.prices.bitfinex_source:BITFINEX",
        "pyth-lazer": "streams.settings.prices.pyth_source:LAZER",
        "pyth-hermes": "streams.settings.prices.pyth_source:HERMES",
        "flash-oracle": "streams.settings.flash.oracle_source:ORACLE",
    },
)


class SourceSettings(Section):
    """One price venue. Each kind has a class of its own that adds what it needs.

    The marks of a source called NAME get the key ``NAME:SYMBOL``, the middles of its book ``NAME-book:SYMBOL``. A
    source that says nothing for ``silent_after_ms`` is connected to anew, and its marks are then stale. A mark whose
    event happened more than ``max_late_ms`` before it was received is stale from the beginning; ingest writes the bound
    into its ticks, so it is the one that reads it.
    """

    kind: Name = DEFAULT_KIND
    silent_after_ms: PositiveInt = 5_000
    max_late_ms: PositiveInt = 5_000


class UnavailableSource(SourceSettings):
    """A source of a kind that is not installed here: nothing of it is checked, and it cannot be followed."""

    model_config = ConfigDict(extra="ignore")


class PricePackage(NamedTuple):
    """A kind of price source.

    Attributes:
        kind: Its kind, which sections name.
        settings: The class that its sections are read by.
        follower: Where the function is that makes its follower (``streams.ingest.prices.price_site``), as
            ``module:NAME``. It is imported by the process that follows the source and by no other.
    """

    kind: str
    settings: type[SourceSettings]
    follower: str


@cache
def price_package(kind: str) -> PricePackage | None:
    """Find the kind of a source; None where none is installed.

    Raises:
        BadPackage: Two packages bring this kind, or its object is no ``PricePackage`` of this kind.
    """
    return KINDS.find(kind, PricePackage)
