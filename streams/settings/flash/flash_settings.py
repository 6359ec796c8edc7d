"""Settings of a deployment of Flash Trade: the nodes of its two chains, and where its prices come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt, SecretStr

from models.flash.flash_venue import FLASH as VENUE
from streams.settings.deployment import DeploymentSettings
from streams.settings.values import Name
from streams.settings.venues import VenuePackage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings.effective import Settings

ORACLE_SOURCE = "flash-oracle"
"""The source of prices that is made of the venue's own oracle accounts, where a configuration names no other."""


class FlashSettings(DeploymentSettings):
    """One deployment of Flash.

    ``base_rpc`` are nodes of Solana, ``rollup_rpc`` those of the venue's rollup, tried in order: of each chain http(s)
    endpoints are asked, and ws(s) endpoints subscribed to. ``base_grpc`` and ``rollup_grpc`` are subscribed to as well,
    over Yellowstone gRPC, which needs the extra ``yellowstone``: ``https://TOKEN@HOST:PORT``. ``commitment`` is how
    sure a node has to be of what it says. ``table`` is a file that ``tidemark flash refresh`` made; by default the one
    that Tidemark was made with.

    Accounts that values depend on change with every trade of anybody, so changes of one are written no oftener than
    ``reference_interval_ms``, and the time of the chain, up to which fees accrue, every ``clock_interval_ms``.
    All accounts are read anew every ``reread_interval_ms``, should a node have kept a change to itself.
    """

    kind: Literal["flash"] = "flash"
    base_rpc: tuple[SecretStr, ...] = ()
    rollup_rpc: tuple[SecretStr, ...] = ()
    base_grpc: tuple[SecretStr, ...] = ()
    rollup_grpc: tuple[SecretStr, ...] = ()
    commitment: Literal["processed", "confirmed", "finalized"] = "confirmed"
    table: Path | None = None
    default_sources: tuple[Name, ...] = (ORACLE_SOURCE,)
    default_max_age_ms: PositiveInt = 30_000
    reference_interval_ms: PositiveInt = 10_000
    clock_interval_ms: PositiveInt = 60_000
    reread_interval_ms: PositiveInt = 60_000

    @property
    def is_followed(self) -> bool:
        """Always: the chains do not write records."""
        return True


FLASH = VenuePackage(VENUE, FlashSettings)
"""The venue, as it is built in."""


def flash_deployments(settings: Settings) -> Mapping[str, FlashSettings]:
    """The deployments of Flash of a configuration, by name."""
    return {name: one for name, one in settings.deployments.items() if isinstance(one, FlashSettings)}
