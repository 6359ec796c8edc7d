"""Rows of ``position-states`` as whoever shows them reads them: an account's newest notices, numbered as they changed.

| column | meaning |
|---|---|
| ``states`` | the notices, newest first; each has ``seq``, its number, and ``modify_time``, Unix s |
| ``due_ms`` of a notice | it waits until then, and is shown to nobody before |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Body = dict[str, Any]

EMPTY: Mapping[str, Any] = {"applied": [-1, -1, -1], "count": 0, "quotes": {}, "states": []}
"""The body of an account without a row."""


def shown(body: Mapping[str, Any]) -> list[Body]:
    """The notices that stand, newest first; those that wait are not among them."""
    return [one for one in body["states"] if "due_ms" not in one]
