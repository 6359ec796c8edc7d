"""The funding of every market of a deployment, made once a second for whoever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.dialects.symmio.funding_info import funding_views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from api.dialects.symmio.listing import Listings
    from streams.settings import Settings


class FundingBoard:
    """Funding of valid markets by name.

    Args:
        settings: How rates come about.
        listings: The markets.
        clock_ms: Our own time, in Unix ms.
    """

    def __init__(self, settings: Settings, listings: Listings, clock_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._listings = listings
        self._clock_ms = clock_ms
        self._made: dict[str, tuple[int, Mapping[str, Any]]] = {}

    @property
    def is_warm(self) -> bool:
        """Whether a market that is not there is known not to be."""
        return self._listings.is_warm

    def of(self, deployment: str) -> Mapping[str, Any]:
        """The markets' funding as of this second; the same object within it."""
        now_ms = self._clock_ms()
        made_s, views = self._made.get(deployment, (-1, {}))
        if now_ms // 1000 != made_s:
            funding = self._settings.deployments[deployment].funding
            views = funding_views(self._listings.of(deployment), funding, now_ms=now_ms, asked=None)
            self._made[deployment] = now_ms // 1000, views
        return views
