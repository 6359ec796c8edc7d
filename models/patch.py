"""The difference between two JSON objects, as a merge patch (RFC 7396) that carries absolute values.

The objects hold no null, so a null in a patch means that a field is gone. A client need not get every patch: a single
one, from the object that it last saw to the current one, has the same effect as all those between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """Make the patch that turns ``before`` into ``after``; it is empty where they are equal."""
    patch: Json = {} if before.keys() == after.keys() else dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        former = before.get(name)
        # Two views share what did not move, which Python would compare with itself field by field.
        if former is value or former == value:
            continue
        if isinstance(value, dict) and isinstance(former, dict):
            patch[name] = merge_patch(former, value)
        else:
            patch[name] = value
    return patch
