"""What changed between two JSON objects, as a merge patch (RFC 7396) that carries absolute values.

The objects hold no null, so a null in a patch says that a field is gone. Patches that follow one another may be left
out: one from what the client last saw to what stands now says the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """The patch that turns ``before`` into ``after``, empty where they are equal; objects are patched inside."""
    patch: Json = dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        standing = before.get(name)
        if standing == value:
            continue
        if isinstance(value, dict) and isinstance(standing, dict):
            patch[name] = merge_patch(standing, value)
        else:
            patch[name] = value
    return patch


def patched(before: Mapping[str, Any], patch: Mapping[str, Any]) -> Json:
    """``before`` with the patch applied; neither is changed."""
    after = dict(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict):
            standing = after.get(name)
            after[name] = patched(standing if isinstance(standing, dict) else {}, value)
        else:
            after[name] = value
    return after
