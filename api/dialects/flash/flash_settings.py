"""The section ``[dialects.NAME]`` of ``kind = "flash"``."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt  # noqa: TC002 - pydantic resolves the annotations at run time

from streams.settings.dialects import DialectSettings


class FlashDialectSettings(DialectSettings):
    """One endpoint for clients of Flash Trade v2.

    Attributes:
        pnl: What gains are calculated at: ``venue`` as the venue's programme would close a position, through its
            spread; ``mark`` at the mark itself, as its interface shows them (docs/flash.md).
        sockets: How many sockets may be open in all, over all replicas.
        sockets_per_owner: How many of one owner's may be open from one address, over all replicas.
    """

    pnl: Literal["venue", "mark"] = "venue"
    sockets: PositiveInt = 10_000
    sockets_per_owner: PositiveInt = 5
