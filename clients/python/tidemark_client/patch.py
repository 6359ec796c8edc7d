"""What a delta does to the state that is held: JSON merge patches (RFC 7396)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def patched(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a patch; neither ``before`` nor the patch is changed."""
    after = dict(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict):
            former = after.get(name)
            after[name] = patched(former if isinstance(former, dict) else {}, value)
        else:
            after[name] = value
    return after
