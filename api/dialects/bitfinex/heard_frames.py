"""What a login hears: the frames that its key opens and that its filters name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from api.dialects.bitfinex.api_keys import PERMISSIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from api.dialects.bitfinex.api_keys import ApiKey


class Frame(NamedTuple):
    """A frame of the account: its type, such as ``pu``, and its array."""

    type: str
    payload: Sequence[Any]


class _Kind(NamedTuple):
    # Which permissions a key must have.
    permissions: tuple[str, ...]
    filter: str
    # Where a payload says what it is about, which filters may name.
    subject_at: tuple[int, ...]


_POSITION = _Kind(("positions",), "trading", (0,))
_ORDER = _Kind(("orders",), "trading", (3,))
_WALLET = _Kind(("wallets",), "wallet", (0, 1))
_FUNDING = _Kind(("funding",), "funding", (1,))
_KINDS = {
    **dict.fromkeys(("ps", "pn", "pu", "pc"), _POSITION),
    **dict.fromkeys(("os", "on", "ou", "oc"), _ORDER),
    **dict.fromkeys(("ws", "wu"), _WALLET),
    **{f"{kind}{what}": _FUNDING for kind in ("fo", "fc", "fl") for what in "snuc"},
    "bu": _Kind(("wallets",), "balance", ()),
    # What a venue tells the holder may be about anything.
    "n": _Kind(PERMISSIONS, "notify", ()),
}
SNAPSHOTS = ("ps", "ws", "os", "fos", "fcs", "fls")
"""Types of the snapshots after a login, in the order in which they are sent."""

_CALC_PERMISSIONS = {
    "margin_base": "positions",
    "margin_sym": "positions",
    "position": "positions",
    "funding_sym": "funding",
    "wallet": "wallets",
    "balance": "wallets",
}


class Hearing:
    """What one login hears.

    Args:
        key: What it may.
        filters: What it wants, such as ``trading-tBTCUSD``, ``wallet`` or ``wallet-exchange-BTC``; empty for all.
    """

    def __init__(self, key: ApiKey, filters: Collection[str]) -> None:
        self._key = key
        self._filters = frozenset(filters)

    def may_calculate(self, calculation: str) -> bool:
        """Whether the key opens a calculation; filters do not matter, since it was asked for."""
        return self._key.opens(_CALC_PERMISSIONS[calculation])

    def hears(self, frame: Frame) -> bool:
        """Whether a frame about one thing is to be sent."""
        return self._hears(_KINDS[frame.type], frame.payload)

    def snapshot(self, frame: Frame) -> Frame | None:
        """A snapshot without what is not to be sent; None where none of its kind is."""
        kind = _KINDS[frame.type]
        if not self._opens(kind) or not self._wants_any(kind):
            return None
        return Frame(frame.type, [one for one in frame.payload if self._hears(kind, one)])

    def _opens(self, kind: _Kind) -> bool:
        return all(map(self._key.opens, kind.permissions))

    def _hears(self, kind: _Kind, payload: Sequence[Any]) -> bool:
        if not self._opens(kind):
            return False
        subject = "-".join([kind.filter, *(str(payload[at]) for at in kind.subject_at)])
        return not self._filters or kind.filter in self._filters or subject in self._filters

    def _wants_any(self, kind: _Kind) -> bool:
        return not self._filters or any(
            one == kind.filter or one.startswith(f"{kind.filter}-") for one in self._filters
        )
