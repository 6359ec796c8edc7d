"""Whose pages may open a websocket. Browsers let any page try, and send the page's origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_ANY = "*"
_USUAL_PORTS = {"http": ":80", "https": ":443"}


def is_origin_allowed(origin: str | None, host: str, allowed: Collection[str]) -> bool:
    """Whether a page of ``origin`` may open a websocket; a client that sends no ``Origin`` is not a browser, and may.

    A page that this server itself served may always: what it is shown is what its reader's token opens.

    Args:
        origin: The header as it came.
        host: The header ``Host`` as it came, which a browser fills with where it connects to.
        allowed: Origins in lower case such as ``https://app.example``, or ``*`` for any, the opaque ``null`` included.
    """
    return origin is None or _ANY in allowed or origin.lower() in allowed or _is_of_host(origin.lower(), host.lower())


def _is_of_host(origin: str, host: str) -> bool:
    """Whether an origin is that of a host; its scheme may be https, where a proxy before this server speaks TLS."""
    scheme, _, authority = origin.partition("://")
    usual = _USUAL_PORTS.get(scheme)
    return usual is not None and authority.removesuffix(usual) == host.removesuffix(usual)
