"""Settings of how old what is shown may be; docs/freshness.md."""

from __future__ import annotations

from pydantic import PositiveFloat

from streams.settings.values import Section


class FreshnessSettings(Section):
    """How old, in s, things may be before what is made of them is shown as stale.

    ``broker_s`` is the broker's newest answer: one is asked for every 2 s and waited for 3 s. ``process_s`` is a
    process's newest heartbeat, of which it writes one a second. ``outside_s`` is the newest word of a node or a venue.
    ``head_s`` is a deployment's newest block, by its own time. ``row_s`` is the oldest mark that an account's row was
    valued at.
    """

    broker_s: PositiveFloat = 6.0
    process_s: PositiveFloat = 6.0
    outside_s: PositiveFloat = 15.0
    head_s: PositiveFloat = 120.0
    row_s: PositiveFloat = 120.0
