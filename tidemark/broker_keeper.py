"""Keeps the broker of a local stack running, and knows whether it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tidemark.broker import BrokerFailed, DiskFull
from tidemark.child import started_again
from tidemark.kafka import does_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Bootstrap
    from tidemark.broker import Broker
    from tidemark.presence import Presence

_LOOK_EVERY_S = 0.25
_READY_POLL_S = 0.05
_AGAIN_S = 1.0
# A start on a full disk may take a JVM seconds before it fails.
_ROOM_AGAIN_S = 3.0
_ANSWER_WITHIN_S = 1.0


class BrokerKeeper:
    """Starts the broker again when it is gone, on the same port and data, however long that takes.

    Args:
        broker: The local one, started before; None where a cluster was given.
        bootstrap: How the broker or the cluster is reached.
        presence: Hears whether it answers.
        say: Tells the user what keeps the broker from coming back.
    """

    def __init__(
        self, broker: Broker | None, bootstrap: Bootstrap, presence: Presence, say: Callable[[str], None]
    ) -> None:
        self._broker = broker
        self._bootstrap = bootstrap
        self._presence = presence
        self._say = say
        self._restarts = 0
        self._trouble = ""

    @property
    def state(self) -> str:
        """Where the broker is, or how it is, in a few words."""
        if self._broker is None:
            return f"{self._bootstrap} (given)" + ("" if self._presence.is_here else ", does not answer")
        if self._broker.pid is None:
            return f"ended, starting again: {self._trouble}" if self._trouble else "ended, starting again"
        if not self._presence.is_here:
            doing = self._broker.doing
            return f"{self._bootstrap}, does not answer yet" + (f": {doing}" if doing else "")
        return f"{self._bootstrap}, {started_again(self._restarts)}" if self._restarts else str(self._bootstrap)

    async def keep(self) -> None:
        """Keep the broker running until cancelled."""
        while True:
            if self._broker is not None and self._broker.pid is None:
                await self._start_again(self._broker)
            elif await asyncio.to_thread(does_answer, self._bootstrap, _ANSWER_WITHIN_S):
                self._presence.came()
            else:
                self._presence.went()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _start_again(self, broker: Broker) -> None:
        self._presence.went()
        try:
            # It is started here and not in a thread, since the kernel ends it together with the thread that started it.
            broker.spawn()
            await _ready(broker)
        except (BrokerFailed, OSError) as error:
            await asyncio.to_thread(broker.kill)
            self._tell(str(error))
            await asyncio.sleep(_ROOM_AGAIN_S if isinstance(error, DiskFull) else _AGAIN_S)
        else:
            self._restarts += 1
            self._trouble = ""
            self._presence.came()

    def _tell(self, trouble: str) -> None:
        headline = trouble.partition("\n")[0]
        if headline != self._trouble:
            self._trouble = headline
            self._say(f"broker: {trouble}")


async def _ready(broker: Broker) -> None:
    # A thread that waited for the broker could not be cancelled, and would hold up the end of everything.
    while True:
        if await asyncio.to_thread(broker.is_ready):
            return
        await asyncio.sleep(_READY_POLL_S)
