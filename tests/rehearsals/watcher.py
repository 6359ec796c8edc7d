"""Looks at every surface all the time, and remembers who claimed that figures are fresh, and when."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

from streams.process.http_bodies import WITHOUT_END
from tests.support.eventually import eventually
from tidemark_client import Client
from tidemark_client.actions import Changed, Heard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.rehearsals.cluster import Cluster
    from tests.rehearsals.pods import Pod

_POLL_S = 0.5
# A heartbeat comes every second, a look is made twice a second, and /v1/ws says it up to five seconds later
# (docs/freshness.md). What is beyond that is the room that a crowded machine gets.
_SAID_WITHIN_S = 6.5
# Heartbeats of /v1/ws come every five seconds, a look takes five at most: with room for a crowded machine.
_SPEAKS_WITHIN_S = 15.0


class Claim(NamedTuple):
    """What a surface said: ``stale`` are the parts that it named, ``dated_s`` of when its marks are, in Unix s.

    ``asked_s`` is when it was asked, or sent it, in Unix s; ``is_ready`` is None where it says nothing of that, and
    ``dated_s`` where it uses no mark.
    """

    surface: str
    asked_s: float
    is_ready: bool | None
    stale: frozenset[str]
    dated_s: float | None


class Absence(NamedTuple):
    """From when to when a part was gone, in Unix s, and for how long that may stay unnoticed, in s."""

    part: str
    from_s: float
    to_s: float
    bound_s: float


@dataclass
class Watcher:
    """Everything that was claimed.

    Args:
        cluster: What is looked at.
        room_s: How much later than documented a crowded machine may say it, in s.
    """

    cluster: Cluster
    room_s: float
    claims: list[Claim] = field(default_factory=list)
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    opened: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Begin to look, as soon as there is an account that has a position."""
        async with aiohttp.ClientSession(headers=self.cluster.headers) as session:
            keys = await self._accounts(session)
        watching = (self._poll(), self._native(keys), *(self._legacy(key.partition(":")[2]) for key in keys[:3]))
        self._tasks = [asyncio.create_task(one) for one in watching]
        await eventually(lambda: self.surfaces() >= {"readyz", "status", "native", "legacy"}, 60)

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def surfaces(self, since_s: float = 0) -> set[str]:
        """Those that said anything since an instant, in Unix s; fails with what ended a look, as one ended for good."""
        for task in self._tasks:
            if task.done():
                task.result()
        return {claim.surface for claim in self.claims if claim.asked_s >= since_s}

    def false_claims(self, absence: Absence) -> list[Claim]:
        """Claims of freshness that were made while a part was gone for longer than may stay unnoticed."""
        from_s = self._admitted_from_s(absence)
        meanwhile = [claim for claim in self.claims if from_s <= claim.asked_s < absence.to_s]
        return [claim for claim in meanwhile if not _is_honest(claim, absence)]

    def unheard(self, absence: Absence) -> set[str]:
        """Surfaces that said nothing while a part was gone for longer than may stay unnoticed: they admitted nothing.

        An absence that was over too soon for each of them to speak once more is not judged. Legacy clients are told of
        nothing where nothing changes.
        """
        from_s = self._admitted_from_s(absence)
        if absence.to_s - from_s < _SPEAKS_WITHIN_S:
            return set()
        said = {claim.surface for claim in self.claims if from_s <= claim.asked_s < absence.to_s}
        return {"readyz", "status", "native"} - said

    def _admitted_from_s(self, absence: Absence) -> float:
        return absence.from_s + absence.bound_s + _SAID_WITHIN_S + self.room_s

    async def _accounts(self, session: aiohttp.ClientSession) -> list[str]:
        found: list[str] = []

        async def is_there() -> bool:
            url = f"http://{self.cluster.address}/v1/accounts?status=valued&limit=50"
            try:
                async with session.get(url) as answer:
                    items = (await answer.json())["items"] if answer.status == 200 else []
            except aiohttp.ClientError:
                return False
            found[:] = [one["account"] for one in items if one["open_positions"]]
            return len(found) >= 3

        await eventually(is_there, 120)
        return found

    async def _poll(self) -> None:
        async with aiohttp.ClientSession(headers=self.cluster.headers, timeout=WITHOUT_END) as session:
            while True:
                await asyncio.gather(*(self._look(session, pod) for pod in self.cluster.of("api")))
                await asyncio.sleep(_POLL_S)

    async def _look(self, session: aiohttp.ClientSession, pod: Pod) -> None:
        asked_s = time.time()
        try:
            async with asyncio.timeout(5), session.get(pod.url("admin") + "/readyz") as answer:
                self.claims.append(Claim("readyz", asked_s, answer.status == 200, frozenset(), None))
            asked_s = time.time()
            async with asyncio.timeout(5), session.get(pod.url("public") + "/v1/status") as answer:
                stale = frozenset((await answer.json())["stale"])
            self.claims.append(Claim("status", asked_s, None, stale, None))
        except (aiohttp.ClientError, TimeoutError, KeyError):
            return

    async def _native(self, keys: list[str]) -> None:
        """What the page is made of: heartbeats, totals and accounts, by the client that we publish."""
        async with Client(f"ws://{self.cluster.address}/v1/ws", token=self.cluster.token) as client:
            client.subscribe("account", keys)
            async for event in client.events():
                match event:
                    case Heard(message) if message["type"] == "heartbeat":
                        self.claims.append(Claim("native", time.time(), None, frozenset(message["stale"]), None))
                    case Heard(message) if message["type"] == "hello":
                        self.opened += 1
                    case Changed():
                        self.held[event.key] = event.held.data
                    case _:
                        pass

    async def _legacy(self, address: str) -> None:
        """A client of before: it opens its socket again whenever it is closed."""
        async with aiohttp.ClientSession(headers=self.cluster.headers) as session:
            while True:
                try:
                    async with session.ws_connect(f"http://{self.cluster.address}/upnl-ws") as socket:
                        await socket.send_str(address)
                        async for frame in socket:
                            dated_s = dated_by_marks_s(json.loads(frame.data))
                            self.claims.append(Claim("legacy", time.time(), None, frozenset(), dated_s))
                except (aiohttp.ClientError, TypeError, ValueError):
                    pass
                await asyncio.sleep(_POLL_S)


def dated_by_marks_s(frame: Mapping[str, Any]) -> float | None:
    """When the marks of a legacy frame were true, in Unix s.

    A frame of an account without positions uses none. It is dated by the account's last record, however long ago that
    was, and claims nothing of how fresh figures are.
    """
    is_marked = Decimal(frame.get("notional", "0")) != 0
    return frame["timestamp"] if is_marked else None


def _is_honest(claim: Claim, absence: Absence) -> bool:
    """Whether a claim admits what was gone."""
    match claim.surface:
        case "readyz":
            return not claim.is_ready
        case "legacy":
            # Only what prices and blocks are of dates a frame; a second is lost in rounding.
            outside = absence.part.startswith(("prices", "broker"))
            return not outside or claim.dated_s is None or claim.dated_s <= absence.from_s + 1
        case _:
            return any(part.startswith(absence.part) for part in claim.stale)
