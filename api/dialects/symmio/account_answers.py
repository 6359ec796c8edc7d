"""What legacy clients are told about an account: its figures, that it does not exist, or that neither is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, assert_never

import orjson

from api.dialects.symmio.frames import upnl_object
from api.tables.standing import CurrentRow, NoSuchAccount, NotKnown, Unsupported, unsupported
from models.codec import decode_row
from models.errors import BadRow
from models.freshness import dated
from models.ids import account_key
from models.valuations import NO_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from api.delivery.interest_writer import InterestSink
    from api.tables.freshness import Freshness
    from api.tables.standing import Standings


class Account(NamedTuple):
    """One account of one deployment; ``address`` is in lower case."""

    deployment: str
    address: str


@dataclass(frozen=True, slots=True)
class Known:
    """The account's figures: ``frame`` is the whole JSON object, ``upnl`` its exact decimal text."""

    frame: bytes
    upnl: str


Answer = Known | NoSuchAccount | NotKnown


@dataclass(slots=True)
class _Watched:
    watchers: int
    row: bytes | None = None
    known_ms: int | None = None
    answer: Answer | None = None


class Answers:
    """Answers about accounts from the feeds. A watched account is encoded once for each row, for all who watch it.

    Args:
        standings: Tell whether an account's row may be shown.
        freshness: Tells as of when a deployment is known.
        interest: Hears of an account's first watcher, and when its last one is gone.
        clock_ms: Our own time, in Unix ms; a venue's may be ahead of it.
    """

    def __init__(
        self, standings: Standings, freshness: Freshness, interest: InterestSink, clock_ms: Callable[[], int]
    ) -> None:
        self._standings = standings
        self._freshness = freshness
        self._clock_ms = clock_ms
        self._interest = interest
        self._watched: dict[Account, _Watched] = {}

    @property
    def watched_accounts(self) -> Collection[str]:
        """Keys of the accounts with at least one watcher; they bound the cache."""
        return {f"{account.deployment}:{account.address}" for account in self._watched}

    def watch(self, account: Account) -> None:
        """Keep the account's encoded answer until ``unwatch`` is called as often."""
        watched = self._watched.setdefault(account, _Watched(watchers=0))
        watched.watchers += 1
        if watched.watchers == 1:
            self._interest.watch(account_key(account.deployment, account.address))

    def unwatch(self, account: Account) -> None:
        """Give up one watch of the account."""
        watched = self._watched[account]
        watched.watchers -= 1
        if not watched.watchers:
            del self._watched[account]
            self._interest.unwatch(account_key(account.deployment, account.address))

    @property
    def is_warm(self) -> bool:
        """Whether an account that is not in the tables is known not to exist."""
        return self._standings.is_warm

    async def wait_warm(self) -> None:
        """Wait until ``is_warm``."""
        await self._standings.wait_warm()

    def missing(self, deployment: str) -> Answer:
        """Answer as about an account that is not there, which is what a client is told that may not read one."""
        return self._standings.missing(deployment)

    def of(self, account: Account) -> Answer:
        """Answer about the account as it is now."""
        match self._standings.of(account.deployment, account.address):
            case CurrentRow(row):
                answer = self._of_row(account, row)
                return self._standings.missing(account.deployment) if isinstance(answer, NoSuchAccount) else answer
            case Unsupported(gap=gap):
                return unsupported(account.deployment, gap.block)
            case (NoSuchAccount() | NotKnown()) as answer:
                return answer
            case answer:
                assert_never(answer)

    def _of_row(self, account: Account, row: bytes) -> Answer:
        watched, known_ms = self._watched.get(account), self._freshness.known_ms(account.deployment)
        if watched is None:
            return self._made(row, known_ms)
        if watched.answer is None or watched.row is not row or watched.known_ms != known_ms:
            watched.row, watched.known_ms, watched.answer = row, known_ms, self._made(row, known_ms)
        return watched.answer

    def _made(self, row: bytes, known_ms: int | None) -> Answer:
        now_ms = self._clock_ms()
        return _of_row(row, now_ms if known_ms is None else min(now_ms, known_ms))


def _of_row(row: bytes, known_ms: int) -> Answer:
    try:
        body = decode_row(row).body
        if body.get("status") == NO_ACCOUNT:
            return NoSuchAccount()
        figures = upnl_object(dated(body, known_ms))
    except BadRow as error:
        return NotKnown(str(error))
    if figures is None:
        return NotKnown(f"the account's figures are unknown ({body.get('status')})")
    return Known(orjson.dumps(figures), str(figures["upnl"]))
