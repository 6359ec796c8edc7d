"""Settings of sources of the kinds ``pyth-lazer`` and ``pyth-hermes``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, SecretStr

from streams.settings.prices.price_source import PricePackage, SourceSettings

Symbol = Annotated[str, Field(min_length=1, max_length=64)]
FeedId = Annotated[str, Field(pattern=r"^(0x)?[0-9a-fA-F]{64}$")]


class PythLazerSource(SourceSettings):
    """Pyth's paid stream, called Lazer or Pyth Pro, with an access ``token``.

    ``feeds`` are the numbers of its price feeds by the symbols that marks are to have: ``{ SOL = 6 }``. All of
    ``websockets`` are heard at the same time, since each of them goes away now and then. ``channel`` says how often a
    price comes.
    """

    kind: Literal["pyth-lazer"] = "pyth-lazer"
    websockets: tuple[str, ...] = tuple(f"wss://pyth-lazer-{number}.dourolabs.app/v1/stream" for number in range(3))
    token: SecretStr = SecretStr("")
    channel: Literal["real_time", "fixed_rate@50ms", "fixed_rate@200ms", "fixed_rate@1000ms"] = "fixed_rate@200ms"
    feeds: dict[Symbol, PositiveInt] = Field(min_length=1)


class PythHermesSource(SourceSettings):
    """A Hermes service of Pyth; ``feeds`` are the ids of its price feeds by the symbols that marks are to have.

    It says its time in seconds. A quiet market says the same price again and again.
    """

    kind: Literal["pyth-hermes"] = "pyth-hermes"
    websocket: str = "wss://hermes.pyth.network/ws"
    feeds: dict[Symbol, FeedId] = Field(min_length=1)


_FOLLOWERS = "streams.ingest.prices.pyth.pyth_followers"
LAZER = PricePackage("pyth-lazer", PythLazerSource, f"{_FOLLOWERS}:LazerFollower")
HERMES = PricePackage("pyth-hermes", PythHermesSource, f"{_FOLLOWERS}:HermesFollower")
"""The kinds, as they are built in."""
