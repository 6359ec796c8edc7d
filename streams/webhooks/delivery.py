"""Sends every transition of every account to one receiver: in order of each account, again until it is taken.

A transition that was taken is on record before the next one of its account is sent. So after any end each is sent at
least once, and what is sent again has the same id and the same bytes.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import Counter, Gauge

from models.alerts import HEDGER_KINDS, KINDS, TRANSITIONS_OF_ONE_ALARM, alerts_of_row
from models.engine.tables import ALERTS
from models.errors import BadRow
from models.ids import split_key
from models.webhook_messages import messages_of
from streams.process.unreadable_rows import note_unreadable
from streams.webhooks.due_keys import DueKeys, back_off_s
from streams.webhooks.posting import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from models.webhook_messages import WebhookMessage
    from streams.process.clock import Clock
    from streams.settings.webhooks import WebhookSettings
    from streams.webhooks.posting import Attempt, Poster

_log = logging.getLogger(__name__)

_ATTEMPTS = Counter(
    "tidemark_webhook_attempts_total", "Attempts to post, by what came of them.", ("webhook", "outcome")
)
_MISSED = Counter(
    "tidemark_webhook_missed_total",
    "Transitions that newer ones took the place of before they were seen.",
    ("webhook",),
)
_WAITING = Gauge("tidemark_webhook_waiting_accounts", "Accounts with a message that is not taken yet.", ("webhook",))
_OLDEST = Gauge(
    "tidemark_webhook_oldest_seconds", "How long the message has waited that has waited for longest.", ("webhook",)
)

_AT_ONCE = 8
_MEASURED_EVERY_S = 1.0


class Progress(Protocol):
    """The ordinal of the last transition of each account that the receiver took."""

    def of(self, key: bytes) -> int:
        """Return it, 0 where it took none."""

    async def advance(self, key: bytes, ordinal: int) -> None:
        """Put it on record.

        Raises:
            NotWritten: The broker did not take it.
        """


class Delivery:
    """Follows the rows of ``alerts`` for one receiver.

    Args:
        name: The webhook's name.
        settings: Which transitions are sent.
        rows: The current rows of ``alerts`` by key, encoded.
        epoch: That of the tables.
        progress: What the receiver took already.
        poster: Makes attempts.
        clock: Tells how old messages are.
        chance: Spreads attempts that are made again.
    """

    def __init__(
        self,
        name: str,
        settings: WebhookSettings,
        *,
        rows: Mapping[bytes, bytes],
        epoch: int,
        progress: Progress,
        poster: Poster,
        clock: Clock,
        chance: Random,
    ) -> None:
        self._name = name
        self._kinds = frozenset(settings.kinds)
        self._deployments = frozenset(settings.deployments)
        self._rows = rows
        self._epoch = epoch
        self._progress = progress
        self._poster = poster
        self._clock = clock
        self._chance = chance
        self._due = DueKeys()
        self._failed: dict[bytes, int] = {}
        self._waiting: dict[bytes, int] = {}
        # Up to where it was told which transitions are gone.
        self._known: dict[bytes, int] = {}
        self._busy: set[bytes] = set()
        self._changed_meanwhile: set[bytes] = set()
        # One that does not answer is asked by one attempt at a time, until it does.
        self._probing = asyncio.Lock()
        self._is_silent = False

    def changed(self, keys: Sequence[bytes]) -> None:
        """Take in that rows are new."""
        for key in keys:
            if self._deployments and split_key(key)[0] not in self._deployments:
                continue
            if key in self._busy:
                self._changed_meanwhile.add(key)
            else:
                # One that is here already stays where it is: what is new is no reason to try again sooner.
                self._due.add(key)

    async def run(self) -> None:
        """Send, until cancelled.

        Raises:
            NotWritten: What the receiver took could not be put on record.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._work())
            group.create_task(self._measure())

    async def _work(self) -> None:
        while True:
            key = await self._due.take()
            self._busy.add(key)
            try:
                after_s = await self._send_next(key)
            finally:
                self._busy.discard(key)
            if after_s is not None or key in self._changed_meanwhile:
                self._changed_meanwhile.discard(key)
                self._due.add(key, after_s or 0.0)

    async def _send_next(self, key: bytes) -> float | None:
        """Send the oldest message of an account, and return after how many s to come back; None if nothing waits."""
        message = self._next(key)
        if message is None:
            self._waiting.pop(key, None)
            self._failed.pop(key, None)
            return None
        self._waiting[key] = message.as_of_ms
        attempt = await self._attempted(message)
        _ATTEMPTS.labels(self._name, attempt.outcome).inc()
        if attempt.outcome is Outcome.DELIVERED:
            await self._progress.advance(key, message.ordinal)
            self._failed.pop(key, None)
            return 0.0
        failed = self._failed[key] = self._failed.get(key, 0) + 1
        after_s = back_off_s(failed, self._chance.random())
        if attempt.retry_after_s is not None:
            after_s = max(after_s, attempt.retry_after_s)
        told = "message is not taken webhook=%s id=%s outcome=%s said=%s attempts=%d next_in_s=%.1f"
        _log.warning(told, self._name, message.id, attempt.outcome, attempt.said, failed, after_s)
        return after_s

    async def _attempted(self, message: WebhookMessage) -> Attempt:
        if self._is_silent:
            async with self._probing:
                attempt = await self._poster.post(message)
        else:
            attempt = await self._poster.post(message)
        self._is_silent = attempt.outcome not in {Outcome.DELIVERED, Outcome.REFUSED}
        return attempt

    def _next(self, key: bytes) -> WebhookMessage | None:
        """The oldest message of an account that was not taken and is wanted."""
        value = self._rows.get(key)
        if value is None:
            return None
        after = self._progress.of(key)
        try:
            # A row that cannot be read concerns its account alone, also where something else wrote it.
            body = alerts_of_row(value)
            found = messages_of(key.decode(), body, epoch=self._epoch, after=after)
        except BadRow as error:
            note_unreadable(ALERTS, key, value, error)
            return None
        known = max(after, self._known.get(key, 0))
        if found and (missed := found[0].ordinal - known - 1) > 0 and self._may_lack(found, body, known):
            self._known[key] = found[0].ordinal - 1
            _MISSED.labels(self._name).inc(missed)
            _log.warning("transitions are gone webhook=%s account=%s count=%d", self._name, key.decode(), missed)
        return next((message for message in found if message.kind in self._kinds), None)

    def _may_lack(self, found: Sequence[WebhookMessage], body: Mapping[str, Any], known: int) -> bool:
        """Whether any that are gone may have been wanted: a row is without one of an alarm only if it has all newer."""
        if body.get("hedger_transitions_gone", 0) > known and not self._kinds.isdisjoint(HEDGER_KINDS):
            return True
        wanted = {kinds[0] for kinds in KINDS.values() if not self._kinds.isdisjoint(kinds)}
        counts = collections.Counter(message.alarm for message in found if message.alarm[0] in wanted)
        return any(count >= TRANSITIONS_OF_ONE_ALARM for count in counts.values())

    async def _measure(self) -> None:
        while True:
            oldest_ms = min(self._waiting.values(), default=None)
            age_ms = 0 if oldest_ms is None else max(0, self._clock.now_ms() - oldest_ms)
            _WAITING.labels(self._name).set(len(self._waiting))
            _OLDEST.labels(self._name).set(age_ms / 1_000)
            await asyncio.sleep(_MEASURED_EVERY_S)
