"""What an epoch's terms come to, read from the topics anew: ``tidemark funder --dry-run --at``.

* ``NoEpoch``: none begins at the instant that was asked for. The error says what the deployment's epochs are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from models.errors import TidemarkError
from models.symmio.funding_plan import window_of
from models.symmio.funding_records import Epoch, Frozen
from streams.funder.funding_inputs import Tables
from streams.funder.funding_journal import read_journal
from streams.kafka.topics import FUNDING, require_topic

if TYPE_CHECKING:
    from models.symmio.funding_plan import Window
    from models.symmio.funding_records import FrozenMarket
    from streams.process.clock import Clock
    from streams.settings import Settings


# Where windows open before their epoch, they open a day before at most.
_FROZEN_BEFORE_MS = 86_400_000


class NoEpoch(TidemarkError):
    """No funding epoch begins at the instant."""


class Replayed(NamedTuple):
    """An epoch's terms as the topics have them now, and as they were put on record when it was charged.

    ``markets`` has a market's terms, or why it has none, by its id, of ticks in ``ticks_topic``. ``recorded`` has a
    record a hedger.
    """

    epoch: Epoch
    window: Window
    markets: dict[int, FrozenMarket | str]
    recorded: list[Frozen]
    ticks_topic: str

    def differs(self, symbol_id: int) -> bool:
        """Whether a market was charged at other terms than the topics have."""
        found = self.markets[symbol_id]
        return any(
            isinstance(found, str)
            or not found.is_same(one.markets[symbol_id], by_offset=one.ticks_topic == self.ticks_topic)
            for one in self.recorded
            if symbol_id in one.markets
        )


async def replay(settings: Settings, name: str, clock: Clock, at_s: int) -> list[Replayed]:
    """Find the terms of the epochs that begin at an instant, of the topics alone: no node is asked, nothing is sent.

    Args:
        settings: The configuration.
        name: The deployment, a SYMMIO one.
        clock: Tells how far back the journal is read.
        at_s: When the epochs begin, Unix s.

    Raises:
        NoEpoch: None of the deployment's epochs begins then.
        NotRead: The broker does not answer.
        BadTopic: The topic of the records is missing.
    """
    failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()

    def fatal(error: BaseException) -> None:
        if not failed.done():
            failed.set_exception(error)

    await require_topic(settings, FUNDING)
    tables = Tables(settings, name, clock, fatal)
    await tables.start()
    try:
        kinds = sorted(kind for kind in tables.kinds if at_s % kind[0] == 0)
        if not kinds:
            lengths = (
                ", ".join(f"{epoch_s} s" for epoch_s in sorted({epoch_s for epoch_s, _ in tables.kinds})) or "none"
            )
            msg = f"expected the beginning of a funding epoch of {name} (of {lengths}), found {at_s}"
            raise NoEpoch(msg)
        # Terms are put on record when the window has opened, and again later. By our clock the chain's may be ahead.
        since_ms = min(at_s * 1_000, clock.now_ms()) - _FROZEN_BEFORE_MS
        frozen = [one async for one in read_journal(settings, name, since_ms) if isinstance(one, Frozen)]
        found = []
        for epoch_s, window_s in kinds:
            epoch, window = Epoch(epoch_s, window_s, at_s), window_of(at_s, epoch_s, window_s, tables.when)
            ticks = await tables.read_prices(window)
            markets = {
                symbol_id: tables.freeze(ticks, symbol_id, window) for symbol_id in sorted(tables.markets(epoch))
            }
            # The newest record of each key holds.
            recorded = {one.party_b: one for one in frozen if one.epoch == epoch}
            found.append(Replayed(epoch, window, markets, list(recorded.values()), tables.ticks_topic))
        return found
    finally:
        await tables.stop()
