"""The section ``[dialects.NAME]`` of ``kind = "bitfinex"``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic resolves the annotations at run time
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from streams.settings.dialects import DialectSettings

Currency = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{2,20}$")]
Symbol = Annotated[str, Field(pattern=r"^t[A-Za-z0-9]{2,20}(:[A-Za-z0-9]{2,20})?$")]


class BitfinexSettings(DialectSettings):
    """One endpoint for clients of the Bitfinex WebSocket v2.

    Attributes:
        keys: The file of API keys, which ``tidemark keys`` changes; a mounted secret may be such a file.
        path: Where it is served.
        unknown: What becomes of a calculation of something that is not there: nothing, as clients know it, or an error.
        calculations_per_s: How many calculations a user has in any second, over all sockets and replicas.
        queued_calculations: How many more of a user's may wait, over all sockets and replicas; beside them as many as a
            second has at each replica but one.
        logins_per_minute: How often a key may log in within any minute, over all replicas.
        symbols: Symbols of markets of other venues, by the market's name, where the rule does not suit.
        currency: What the money of accounts of other venues is called.
    """

    keys: Path
    path: Annotated[str, Field(pattern=r"^(/[a-z0-9-]+)+$")] = "/ws/2"
    unknown: Literal["silence", "error"] = "silence"
    calculations_per_s: PositiveInt = 8
    queued_calculations: PositiveInt = 60
    logins_per_minute: PositiveInt = 60
    symbols: dict[str, Symbol] = Field(default_factory=dict)
    currency: Currency = "USTF0"
