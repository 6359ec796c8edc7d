"""Whose pages may open a websocket: browsers let any page try, and say whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_ANY = "*"


def is_origin_allowed(origin: str | None, allowed: Collection[str]) -> bool:
    """Whether a page of ``origin`` may; what sends no ``Origin`` is no browser, and may.

    Args:
        origin: The header as it came.
        allowed: Origins in lower case such as ``https://app.example``, or ``*`` for any, the opaque ``null`` included.
    """
    return origin is None or _ANY in allowed or origin.lower() in allowed
