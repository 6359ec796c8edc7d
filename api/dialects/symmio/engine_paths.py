"""The paths and methods of a solver's engine that clients may reach through us. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

# By name, and by how many segments follow it, the methods that are passed on.
_ORDERS = {0: ("GET", "POST"), 1: ("GET", "DELETE"), 2: ("DELETE",)}
_ALLOWED: dict[str, dict[int, tuple[str, ...]]] = {
    "login": {0: ("POST",)},
    "nonce": {1: ("GET",)},
    "instant_open": _ORDERS,
    "instant_close": _ORDERS,
    "conditional-order": _ORDERS,
    "conditional-orders": _ORDERS,
}
# Names, addresses and ids. Without dots, slashes and percent signs no segment means anything but itself to any engine.
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,128}")


class EnginePath(NamedTuple):
    """A path that clients may reach, normalised, and its methods."""

    path: str
    methods: tuple[str, ...]


def engine_path(local_path: str) -> EnginePath | None:
    """Normalise a path and look it up among those that clients may reach.

    Args:
        local_path: The path below the deployment, percent-encoded or not, without its query.

    Returns:
        None where it is none of them. A slash at its end is left out.
    """
    segments = [unquote(segment) for segment in local_path.removeprefix("/").removesuffix("/").split("/")]
    if not all(map(_SEGMENT.fullmatch, segments)):
        return None
    methods = _ALLOWED.get(segments[0], {}).get(len(segments) - 1)
    return None if methods is None else EnginePath("/" + "/".join(segments), methods)
