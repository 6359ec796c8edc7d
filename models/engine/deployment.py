"""What the engine is told of a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.engine.board import PriceSource


def _no_prices(_name: str) -> Sequence[PriceSource]:
    return ()


@dataclass(frozen=True, slots=True)
class EngineDeployment:
    """What the engine is told of a deployment.

    ``diamond`` and ``multi_accounts`` are the addresses whose logs make it up, in any case. ``states`` says of which of
    its logs position states are made: ``off``, ``gaps`` or ``on``. ``prices_of`` says where the price of a market comes
    from, by the market's name, in order of preference.
    """

    diamond: str
    multi_accounts: frozenset[str] = frozenset()
    states: str = "off"
    prices_of: Callable[[str], Sequence[PriceSource]] = _no_prices
