"""The funding of every market of a deployment, worked out once a second for all who show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.kept_inputs import FundingMade, KeptFunding
from models.money import parse_e18
from models.symmio.funding import funding_rates, funding_view, next_funding_view
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from api.dialects.symmio.listing import Listed, Listings
    from streams.settings import FundingSettings, Settings


def _nothing(_deployment: str, _made: FundingMade) -> None:
    """Does nothing: nobody keeps what funding was made of."""


class FundingBoard:
    """The funding of valid markets by name.

    Args:
        settings: How rates come about.
        listings: The markets.
        clock_ms: Our own time, in Unix ms.
        keep: Called with a deployment and what its funding was made of, each time that it is worked out.
    """

    def __init__(
        self,
        settings: Settings,
        listings: Listings,
        clock_ms: Callable[[], int],
        keep: Callable[[str, FundingMade], None] = _nothing,
    ) -> None:
        self._keep = keep
        self._settings = settings
        self._listings = listings
        self._clock_ms = clock_ms
        self._made: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self._next: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}

    @property
    def is_warm(self) -> bool:
        """Whether a market that is not there is known not to be."""
        return self._listings.is_warm

    def of(self, deployment: str) -> Mapping[str, Any]:
        """Return the markets' funding as of this second; within a second it is the same object."""
        now_ms = self._clock_ms()
        made_s, views = self._made.get(deployment, (-1, {}))
        if now_ms // 1000 != made_s:
            funding = symmio_deployments(self._settings)[deployment].funding
            listed = tuple(self._listings.of(deployment))
            views = _funding_views(listed, funding, now_ms)
            self._keep(deployment, _made_of([one for one in listed if one.name in views], funding, now_ms))
            self._made[deployment] = now_ms // 1000, views
        return views

    def next_of(self, deployment: str) -> Mapping[str, Any]:
        """The same for our own protocol."""
        views = self.of(deployment)
        made_of, made = self._next.get(deployment, ({}, {}))
        if made_of is not views:
            made = {name: next_funding_view(f"{deployment}:{name}", view) for name, view in views.items()}
            self._next[deployment] = views, made
        return made

    def unreadable(self, deployment: str) -> int:
        """How many markets are left out since a row that their funding is made of cannot be read."""
        return self._listings.unreadable(deployment, self.of(deployment))


def _made_of(markets: Iterable[Listed], funding: FundingSettings, now_ms: int) -> FundingMade:
    """What the rates of markets were made of."""
    return FundingMade(
        now_ms,
        share=f"{funding.share:f}",
        max_rate=f"{funding.max_rate:f}",
        is_scaled=funding.scale,
        markets={
            one.name: KeptFunding(
                one.market.symbol_id,
                one.funding.offset,
                str(one.funding.funding_rate_e18),
                one.market.funding_rate_epoch_duration_s or 0,
                None if one.instrument.funding is None else one.instrument.funding.interval_s,
            )
            for one in markets
            if one.funding is not None
        },
    )


def _funding_views(markets: Iterable[Listed], funding: FundingSettings, now_ms: int) -> dict[str, Any]:
    """The funding of valid markets by name, where the chain charges any and the venue says a rate."""
    views = {one.name: _view(one, funding, now_ms) for one in markets}
    return {name: view for name, view in views.items() if view is not None}


def _view(one: Listed, funding: FundingSettings, now_ms: int) -> dict[str, Any] | None:
    epoch_s = one.market.funding_rate_epoch_duration_s
    if not one.is_valid or not epoch_s or one.funding is None or one.funding.funding_rate_e18 is None:
        return None
    terms = one.instrument.funding
    if funding.scale and terms is None:
        # A rate that is not scaled would be taken for the rate that will be charged.
        return None
    rates = funding_rates(
        one.funding.funding_rate_e18,
        epoch_s=epoch_s,
        interval_s=terms.interval_s if funding.scale and terms is not None else None,
        share_e18=parse_e18(f"{funding.share:f}"),
        max_rate_e18=parse_e18(f"{funding.max_rate:f}"),
    )
    return funding_view(rates, epoch_s=epoch_s, now_ms=now_ms)
