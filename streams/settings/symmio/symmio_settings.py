"""Settings of a SYMMIO deployment: its Diamond, where its prices come from, and whom its solver serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import PositiveInt, SecretStr

from models.symmio.deployment import SymmioDeployment
from models.symmio.venue import SYMMIO as VENUE
from streams.settings.deployment import DeploymentSettings
from streams.settings.symmio.funding import FundingSettings
from streams.settings.symmio.solver import SolverSettings
from streams.settings.symmio.whitelist import WhitelistSettings
from streams.settings.values import Address, Host, IngestKey, Name
from streams.settings.venues import VenuePackage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings.effective import Settings


class SymmioSettings(DeploymentSettings):
    """One SYMMIO Diamond. ``rpc`` endpoints are tried in order; http(s) ones are polled, ws(s) ones subscribed to.

    ``finality_depth`` is in blocks; a deeper reorganisation stops ingest. Backfill begins at ``start_block``.
    ``witness`` says for which final blocks the logs of two endpoints are compared, where there are two: ``all``, a
    ``share`` of them, or ``off`` for none, where these are also read only once.
    A market's name is its name on chain. ``position_states`` says for which logs position states are
    made: ``off`` for none, ``gaps`` for those of which the solver's engine says nothing, ``on`` for all. ``hosts`` are
    the host names under which frontends that use no path prefix find this deployment. A client that sends
    ``ingest_key`` may write position states and change the whitelist. ``open_paths`` name endpoints, such as
    ``upnl-ws``, that show the accounts on the whitelist to everybody, also where ``auth.mode`` is ``tokens``.
    """

    figure_fields: ClassVar[tuple[str, ...]] = (
        *DeploymentSettings.figure_fields,
        "chain_id",
        "diamond",
        "multi_accounts",
        "position_states",
    )
    kind: Literal["symmio"] = "symmio"
    chain_id: PositiveInt
    diamond: Address
    multi_accounts: tuple[Address, ...] = ()
    hedgers: tuple[Address, ...] = ()
    rpc: tuple[SecretStr, ...] = ()
    start_block: int | None = None
    finality_depth: PositiveInt = 64
    poll_interval_ms: PositiveInt = 1_000
    witness: Literal["off", "share", "all"] = "share"
    default_sources: tuple[Name, ...] = ("binance-futures", "binance-futures-book")
    position_states: Literal["off", "gaps", "on"] = "gaps"
    funding: FundingSettings = FundingSettings()
    hosts: tuple[Host, ...] = ()
    whitelist: WhitelistSettings = WhitelistSettings()
    ingest_key: IngestKey | None = None
    open_paths: tuple[str, ...] = ()
    solver: SolverSettings = SolverSettings()

    def replayed(self) -> Self:
        """The deployment without its solver's engine: whoever looks at the past must not trade by it."""
        return self.model_copy(update={"solver": self.solver.model_copy(update={"upstream": None})})

    @property
    def own(self) -> SymmioDeployment:
        """What the fold is told of it."""
        return SymmioDeployment(self.diamond, frozenset(self.multi_accounts), self.position_states)


SYMMIO = VenuePackage(VENUE, SymmioSettings)
"""The venue, as it is built in."""


def symmio_deployments(settings: Settings) -> Mapping[str, SymmioSettings]:
    """The SYMMIO deployments of a configuration, by name."""
    return {name: one for name, one in settings.deployments.items() if isinstance(one, SymmioSettings)}
