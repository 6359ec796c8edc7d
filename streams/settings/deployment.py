"""Settings that the deployment of every venue has: of which kind it is, and where its prices come from."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, PositiveInt

from models.engine.board import PriceSource
from models.ids import canonical_id, is_account_id, mark_key
from streams.settings.values import Name, Section
from streams.settings.venues import package_of


class PriceRef(Section):
    """One price for a market: a source, that source's symbol, and the age in ms beyond which it is stale."""

    source: Name
    symbol: str
    max_age_ms: PositiveInt = 5_000


class DeploymentSettings(Section):
    """One deployment of a venue; each venue has a class of its own that adds what it needs.

    ``kind`` names the venue. ``markets`` maps the name of a market to its prices in order of preference; a name that is
    not listed is looked up under the same name at each of ``default_sources``.

    ``figure_fields`` are the settings that figures follow from; a venue adds its own. They are on record, so no secret
    and no endpoint may be among them.
    """

    figure_fields: ClassVar[tuple[str, ...]] = ("kind", "default_sources", "default_max_age_ms", "markets")

    kind: Name
    default_sources: tuple[Name, ...] = ()
    default_max_age_ms: PositiveInt = 5_000
    markets: dict[str, tuple[PriceRef, ...]] = Field(default_factory=dict)

    @property
    def own(self) -> object:
        """What the venue's pure part is told of the deployment; by default all of its settings."""
        return self

    def replayed(self) -> Self:
        """The deployment as a replay serves it, which reaches nothing outside; one that would overrides it."""
        return self

    def account_id(self, text: str) -> str | None:
        """The one spelling of an account's id, from any that users write; None where it can be none of the venue."""
        package = package_of(self.kind)
        account = canonical_id(text)
        return None if package is None or not is_account_id(account) else package.venue.account_id(account)

    @property
    def is_installed(self) -> bool:
        """Whether its venue is installed here; otherwise nothing of it is folded, valued or served."""
        return package_of(self.kind) is not None

    @property
    def says_heads(self) -> bool:
        """Whether its venue says how far it is known; otherwise an account exists as soon as a record names it."""
        package = package_of(self.kind)
        return package is not None and package.venue.routed is not None

    @property
    def is_followed(self) -> bool:
        """Whether an ingest follows its chain, and says so in heartbeats; otherwise it writes its records itself."""
        return self.says_heads

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
