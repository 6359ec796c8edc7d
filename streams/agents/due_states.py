"""The rows of position-states, in which what the chain does and what a solver's engine says come together."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from functools import partial
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from models.codec import decode_row
from models.ids import split_key
from models.symmio.chain_states import states_of
from models.symmio.position_states import (
    EMPTY,
    YOUNG_MS,
    due_ms,
    released,
    with_chain_states,
    with_engine_state,
    without_blocks_above,
)
from streams.kafka.topics import POSITION_STATES
from streams.transport.tables import Uncharged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from models.account_events import RolledBack, Transaction
    from models.symmio.engine_states import EngineState
    from models.symmio.state import Quote
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.transport.publisher import Charge
    from streams.transport.tables import Rows

    Step = Callable[[Mapping[str, Any]], Mapping[str, Any]]

# A row without a state that waits is passed over in some 10 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 500
_WAITS = re.compile(rb'"due_ms":\d')
_OFF, _GAPS = "off", "gaps"


class PositionStates:
    """Makes steps of what is told, folds them into an account's row, and lets states stand that waited long enough.

    Args:
        settings: Say of each deployment which states are made of its chain.
        rows: The tables.
        clock: Tells what is news, and which states have waited long enough.
        fatal: Ends the process without a commit.
    """

    def __init__(self, settings: Settings, rows: Rows, clock: Clock, fatal: Callable[[BaseException], None]) -> None:
        self._modes = {name: deployment.position_states for name, deployment in settings.deployments.items()}
        self._rows = rows
        self._clock = clock
        self._fatal = fatal
        self._owned: set[int] = set()
        self._waiting: list[tuple[int, int, bytes]] = []
        self._waited = asyncio.Event()
        self._releasing: asyncio.Task[None] | None = None

    def knows(self, deployment: str) -> bool:
        """Whether a deployment is configured."""
        return deployment in self._modes

    def of_chain(self, key: bytes, transaction: Transaction, quotes: Mapping[int, Quote]) -> Step | None:
        """What a folded transaction changes, None where it makes no states; ``quotes`` are the account's after it."""
        deployment, _ = split_key(key)
        mode = self._modes.get(deployment, _OFF)
        made = () if mode == _OFF else states_of(deployment, transaction, quotes)
        if not made:
            return None
        now_ms = self._clock.now_ms()
        fresh = now_ms - transaction.time_s * 1000 <= YOUNG_MS
        return partial(with_chain_states, made=made, fresh=fresh, gaps=mode == _GAPS, now_ms=now_ms)

    def of_rollback(self, record: RolledBack) -> Step:
        """What a rollback changes in an account that it concerns."""
        return partial(without_blocks_above, ancestor=record.ancestor, position=record.position)

    def of_engine(self, key: bytes, state: EngineState, sent_ms: int) -> Step:
        """What an engine's record changes; ``sent_ms`` is the record's own time."""
        gaps = self._modes.get(split_key(key)[0]) == _GAPS
        fresh = self._clock.now_ms() - sent_ms <= YOUNG_MS
        return partial(with_engine_state, state=state, fresh=fresh, gaps=gaps)

    def change(self, partition: int, key: bytes, steps: Iterable[Step], charge: Charge) -> None:
        """Fold steps into an account's row; write it if they change it, else rest on it under our own term."""
        standing = self._rows.get(POSITION_STATES, partition, key)
        row = None if standing is None else decode_row(standing)
        before = after = EMPTY if row is None else row.body
        for step in steps:
            after = step(after)
        if after is before:
            self._rows.restate(POSITION_STATES, partition, key, charge)
            return
        self._rows.write(POSITION_STATES, partition, key, (1 if row is None else row.version + 1, after), charge)
        until_ms = due_ms(after)
        if until_ms is not None and partition in self._owned:
            heappush(self._waiting, (until_ms, partition, key))
            self._waited.set()

    async def start(self, partition: int) -> None:
        """Find the states of a recovered partition that wait."""
        for at, (key, value) in enumerate(self._rows.items(POSITION_STATES, partition)):
            if _WAITS.search(value) and (until_ms := due_ms(decode_row(value).body)) is not None:
                self._waiting.append((until_ms, partition, key))
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        heapify(self._waiting)
        self._owned.add(partition)
        if self._releasing is None:
            self._releasing = asyncio.create_task(self._release(), name="position states")
            self._releasing.add_done_callback(self._ended)
        self._waited.set()

    async def stop(self) -> None:
        """Release nothing more, in any partition; slices may still finish."""
        releasing, self._releasing = self._releasing, None
        self._owned, self._waiting = set(), []
        if releasing is not None:
            releasing.cancel()
            await asyncio.wait((releasing,))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    async def _release(self) -> None:
        while True:
            self._waited.clear()
            now_ms = self._clock.now_ms()
            while self._waiting and self._waiting[0][0] <= now_ms:
                _, partition, key = heappop(self._waiting)
                self.change(partition, key, (partial(released, now_ms=now_ms),), Uncharged())
            self._rows.flush()
            wait_s = (self._waiting[0][0] - now_ms) / 1000 if self._waiting else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._waited.wait()
