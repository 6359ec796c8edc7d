"""Whose pages may open a websocket. Browsers let any page try, and send the page's origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_ANY = "*"


def is_origin_allowed(origin: str | None, allowed: Collection[str]) -> bool:
    """Whether a page of ``origin`` may open a websocket; a client that sends no ``Origin`` is not a browser, and may.

    Args:
        origin: The header as it came.
        allowed: Origins in lower case such as ``https://app.example``, or ``*`` for any, the opaque ``null`` included.
    """
    return origin is None or _ANY in allowed or origin.lower() in allowed
