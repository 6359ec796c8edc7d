"""A process with a socket for each account, which looks again and again at how old is what they show.

``python -m bench.load.watching_crowd PORT SOCKETS POSITIONS`` says ``open`` once every account has been shown with
prices, and then reads lines, each a ``Round`` of ``bench.load.tick_sender``. It answers each with a line of JSON: what
was shown in that time.

*The age of what is shown* of an account's market is how long ago the first tick was due that is not shown yet; 0 where
all are shown. It is sampled by time: a tick that is never shown, because a later one was shown in its place, makes what
was shown before it old for as long as it stood.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import orjson
import uvloop

from bench.load.crowd import Crowd, subscribe
from bench.load.rows import DEPLOYMENT, account_row, address, number_of
from bench.load.tick_sender import SYMBOLS, Round
from models.money import parse_e18
from streams.process.garbage import collect_rarely

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_EVERY_S = 0.05
_OPEN_AT_ONCE = 500
# Ages are counted by the millisecond, up to a minute.
_LONGEST_MS = 60_000


class Shown:
    """The newest tick that is shown of each market of each account.

    Args:
        accounts: How many; numbered from 1.
        positions: How many markets each holds.

    Attributes:
        all_priced: Set once every account has been shown with prices.
        frames: How many snapshots and deltas have come.
    """

    def __init__(self, accounts: int, positions: int) -> None:
        held = [account_row(number, positions, SYMBOLS).state.quotes for number in range(1, accounts + 1)]
        self._places = [{str(quote): at for at, quote in enumerate(quotes)} for quotes in held]
        self._markets: NDArray[np.int64] = np.array(
            [[quote.symbol_id - 1 for quote in quotes.values()] for quotes in held], dtype=np.int64
        )
        self._newest: NDArray[np.int64] = np.full((accounts, positions), -1, dtype=np.int64)
        self._unpriced = set(range(1, accounts + 1))
        self.all_priced = asyncio.Event()
        self.frames = 0

    def on_frame_of(self, account: int) -> Callable[[bytes, float], None]:
        """Take in the frames of one account.

        Args:
            account: Its number, from 1.
        """
        places, newest = self._places[account - 1], self._newest[account - 1]

        def on_frame(payload: bytes, _now_s: float) -> None:
            for message in orjson.loads(payload):
                if message["type"] not in {"snapshot", "delta"}:
                    continue
                self.frames += 1
                for quote, position in message["data"].get("positions", {}).items():
                    if (mark := position.get("mark")) is not None:
                        newest[places[quote]] = number_of(parse_e18(mark))
                        self._unpriced.discard(account)
            if not self._unpriced:
                self.all_priced.set()

        return on_frame

    def ages_ms(self, told: Round, passed_s: float) -> NDArray[np.int64]:
        """How old what is shown of each account's markets is, in ms.

        Args:
            told: The ticks that are sent.
            passed_s: How long ago the first one was due, in s.
        """
        missing = np.maximum(self._newest - told.first + SYMBOLS, self._markets)
        ages: NDArray[np.int64] = np.maximum(0.0, (passed_s - missing / told.rate) * 1000).astype(np.int64)
        return np.minimum(ages, _LONGEST_MS)


class Ages:
    """How often each age was seen."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_LONGEST_MS + 1, dtype=np.int64)

    def seen(self, ages_ms: NDArray[np.int64]) -> None:
        """Count one sample."""
        self._counts += np.bincount(ages_ms.ravel(), minlength=_LONGEST_MS + 1)

    def at_share(self, share: float) -> int:
        """The age, in ms, that such a share of what was seen did not exceed."""
        upto = np.cumsum(self._counts)
        return int(np.searchsorted(upto, share * upto[-1]))


async def _watched(shown: Shown, told: Round) -> dict[str, float]:
    ages, frames = Ages(), shown.frames
    await asyncio.sleep(max(0.0, told.began_s - time.monotonic()))
    while (passed_s := time.monotonic() - told.began_s) < told.seconds:
        ages.seen(shown.ages_ms(told, passed_s))
        await asyncio.sleep(_EVERY_S)
    return {
        "frames_per_s": round((shown.frames - frames) / told.seconds, 1),
        **{f"age_p{share * 100:g}_ms": ages.at_share(share) for share in (0.5, 0.99, 0.999)},
    }


async def _main(port: int, sockets: int, positions: int) -> None:
    crowd, shown = Crowd(port), Shown(sockets, positions)
    for begin in range(1, sockets + 1, _OPEN_AT_ONCE):
        numbers = range(begin, min(sockets + 1, begin + _OPEN_AT_ONCE))
        opened = await asyncio.gather(*(crowd.open(shown.on_frame_of(number)) for number in numbers))
        for number, socket in zip(numbers, opened, strict=True):
            socket.send(subscribe("positions", f"{DEPLOYMENT}:{address(number)}", 0))
    await shown.all_priced.wait()
    print("open", flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await _watched(shown, Round.of(line))), flush=True)
    crowd.close()


if __name__ == "__main__":
    collect_rarely()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(*map(int, sys.argv[1:])))
