"""The funding of markets, as far as a venue of those that are served charges any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.views import View


class MarketFunding(Protocol):
    """Views of the next funding of each market, worked out once a second for all who show them."""

    @property
    def is_warm(self) -> bool:
        """Whether a market that is not there is known not to be."""

    def next_of(self, deployment: str) -> Mapping[str, View]:
        """The markets' next funding by name; within a second it is the same object.

        Raises:
            BadRow: A row of a market does not decode.
        """
