"""Whether the sources of prices answer, and agree with this machine about the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.findings import Finding, Verdict, fine
from streams.ingest.prices.binance import BadFrame, read_premium_index
from streams.ingest.prices.rest_answers import FAILURES, fetch

if TYPE_CHECKING:
    import aiohttp

    from streams.process.clock import Clock
    from streams.settings import Settings

# Marks whose event is so far from our clock are taken for late, or for events of the future.
_CLOCKS_DIFFER_MS = 1_000


class _Time(msgspec.Struct, rename="camel"):
    server_time: int


_time = msgspec.json.Decoder(_Time)


async def check_source(settings: Settings, name: str, session: aiohttp.ClientSession, clock: Clock) -> list[Finding]:
    """Ask a source for its marks and its time.

    Args:
        settings: Say where it is.
        name: The source's name.
        session: HTTP client.
        clock: Tells the instants of question and answer.
    """
    rest = settings.sources[name].rest
    try:
        frame = read_premium_index(await fetch(session, f"{rest}/fapi/v1/premiumIndex"), name, clock.now_ms())
        asked_ms = clock.now_ms()
        time_ms = _time.decode(await fetch(session, f"{rest}/fapi/v1/time")).server_time
        heard_ms = clock.now_ms()
    except (*FAILURES, BadFrame, msgspec.DecodeError) as error:
        to_do = f"look whether {rest} can be reached from here, and whether it refuses this address"
        return [Finding(f"source {name}", Verdict.WRONG, f"no marks: {type(error).__name__}: {error}", to_do)]
    answered = (
        fine(f"source {name}", f"{len(frame.ticks)} marks")
        if frame.ticks
        else Finding(f"source {name}", Verdict.WRONG, "it answers without a mark", f"look at {rest}")
    )
    # The time in the answer is that of some moment between question and answer.
    ahead_ms = time_ms - (asked_ms + heard_ms) // 2
    unsure_ms = (heard_ms - asked_ms) // 2
    said = f"{ahead_ms / 1_000:+.2f} s from this machine's clock, give or take {unsure_ms / 1_000:.2f} s"
    if abs(ahead_ms) <= _CLOCKS_DIFFER_MS + unsure_ms:
        return [answered, fine(f"clock of {name}", said)]
    return [answered, Finding(f"clock of {name}", Verdict.WRONG, said, "let this machine's time service (NTP) work")]
