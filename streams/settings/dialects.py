"""Settings that every dialect has: of which kind it is, and which deployments it shows."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from streams.settings.values import Name, Section


class DialectSettings(Section):
    """One dialect of the api. Each kind has a class of its own that adds what it needs.

    ``kind`` names the dialect, ``deployments`` those that it is mounted on, which may be of any kind of venue.
    """

    kind: Name
    deployments: Annotated[tuple[str, ...], Field(min_length=1)]


class UnreadDialect(DialectSettings):
    """A dialect's section as it was written: the api checks it by the settings of its kind when it starts."""

    model_config = ConfigDict(extra="allow")
