"""Settings of a deployment: a SYMMIO Diamond, where its prices come from, and whom its solver serves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, SecretStr

from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.ids import mark_key
from streams.settings.funding import FundingSettings
from streams.settings.solver import SolverSettings
from streams.settings.values import Address, Host, Name, Section
from streams.settings.whitelist import WhitelistSettings


class PriceRef(Section):
    """One price for a market: a source, that source's symbol, and the age in ms beyond which it is stale."""

    source: Name
    symbol: str
    max_age_ms: PositiveInt = 5_000


class DeploymentSettings(Section):
    """One SYMMIO Diamond. ``rpc`` endpoints are tried in order; http(s) ones are polled, ws(s) ones subscribed to.

    ``finality_depth`` is in blocks; a deeper reorganisation stops ingest. Backfill begins at ``start_block``.
    ``markets`` maps a symbol's name on chain to its prices in order of preference; a name that is not listed is looked
    up under the same name at each of ``default_sources``. ``position_states`` says for which logs position states are
    made: ``off`` for none, ``gaps`` for those of which the solver's engine says nothing, ``on`` for all. ``hosts`` are
    the host names under which frontends that use no path prefix find this deployment. A client that sends
    ``ingest_key`` may write position states and change the whitelist. ``open_paths`` name endpoints, such as
    ``upnl-ws``, that show the accounts on the whitelist to everybody, also where ``auth.mode`` is ``tokens``.
    """

    chain_id: PositiveInt
    diamond: Address
    multi_accounts: tuple[Address, ...] = ()
    hedgers: tuple[Address, ...] = ()
    rpc: tuple[SecretStr, ...] = ()
    start_block: int | None = None
    finality_depth: PositiveInt = 64
    poll_interval_ms: PositiveInt = 1_000
    default_sources: tuple[Name, ...] = ("binance-futures", "binance-futures-book")
    default_max_age_ms: PositiveInt = 5_000
    markets: dict[str, tuple[PriceRef, ...]] = Field(default_factory=dict)
    position_states: Literal["off", "gaps", "on"] = "gaps"
    funding: FundingSettings = FundingSettings()
    hosts: tuple[Host, ...] = ()
    whitelist: WhitelistSettings = WhitelistSettings()
    ingest_key: SecretStr | None = None
    open_paths: tuple[str, ...] = ()
    solver: SolverSettings = SolverSettings()

    @property
    def engine(self) -> EngineDeployment:
        """What the engine is told of it."""
        return EngineDeployment(self.diamond, frozenset(self.multi_accounts), self.position_states, self.price_sources)

    def price_sources(self, name: str) -> tuple[PriceSource, ...]:
        """The same as ``prices_of``, as the engine's input board is told."""
        return tuple(PriceSource(mark_key(ref.source, ref.symbol), ref.max_age_ms) for ref in self.prices_of(name))

    def prices_of(self, name: str) -> tuple[PriceRef, ...]:
        """List where the price of the market ``name`` comes from, in order of preference."""
        if name in self.markets:
            return self.markets[name]
        return tuple(
            PriceRef(source=source, symbol=name, max_age_ms=self.default_max_age_ms) for source in self.default_sources
        )
