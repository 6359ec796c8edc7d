"""Settings of a source of the kind ``flash-oracle``: the accounts of Flash's own oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt, SecretStr

from streams.settings.flash.market_sessions import SessionRule
from streams.settings.prices.price_source import PricePackage, SourceSettings


class FlashOracleSource(SourceSettings):
    """The oracle accounts of the venue's custodies: price, exponent, confidence, average and time of each token.

    ``rpc`` are nodes of the chain on which the oracles stand: http(s) endpoints are asked, every ``poll_interval_ms``
    and after a gap, ws(s) endpoints subscribed to. Which account is whose token's the ``table`` says, a file that
    ``tidemark flash refresh`` made, by default the one that Tidemark was made with; ``symbols`` are the tokens that are
    followed, by default all. An oracle says its time in seconds, and none of when its market is open: ``sessions`` say
    that.
    """

    kind: Literal["flash-oracle"] = "flash-oracle"
    rpc: tuple[SecretStr, ...] = ()
    commitment: Literal["processed", "confirmed", "finalized"] = "confirmed"
    table: Path | None = None
    symbols: tuple[str, ...] = ()
    poll_interval_ms: PositiveInt = 5_000
    sessions: tuple[SessionRule, ...] = ()
    silent_after_ms: PositiveInt = 15_000
    max_late_ms: PositiveInt = 30_000


ORACLE = PricePackage("flash-oracle", FlashOracleSource, "streams.ingest.flash.oracle_prices:OracleFollower")
"""The kind, as it is built in."""
