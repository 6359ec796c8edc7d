"""The funding of markets, as far as a venue of those that are served charges any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from models.views import View


class MarketFunding(Protocol):
    """Views of the next funding of each market, worked out once a second for all who show them."""

    @property
    def is_warm(self) -> bool:
        """Whether a market that is not there is known not to be."""

    def next_of(self, deployment: str) -> Mapping[str, View]:
        """The markets' next funding by name, without those whose rows cannot be read; for a second the same object."""

    def unreadable(self, deployment: str) -> int:
        """How many of the markets are left out since a row that their funding is made of cannot be read."""


class FundingOfDialects:
    """The funding of every deployment that some dialect knows the funding of; it is a ``MarketFunding`` itself."""

    def __init__(self) -> None:
        self._of: dict[str, MarketFunding] = {}

    def add(self, deployments: Iterable[str], funding: MarketFunding) -> None:
        """Take the funding of some deployments from a dialect."""
        self._of |= dict.fromkeys(deployments, funding)

    @property
    def is_warm(self) -> bool:
        """Whether a market that is not there is known not to be."""
        return all(one.is_warm for one in self._of.values())

    def next_of(self, deployment: str) -> Mapping[str, View]:
        """The markets' next funding by name; none where no dialect knows of any."""
        funding = self._of.get(deployment)
        return {} if funding is None else funding.next_of(deployment)

    def unreadable(self, deployment: str) -> int:
        """How many markets are left out for want of a row that can be read; none where no dialect knows of any."""
        funding = self._of.get(deployment)
        return 0 if funding is None else funding.unreadable(deployment)
