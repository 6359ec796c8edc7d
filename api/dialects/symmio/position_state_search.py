"""The search for position states: of an account, of a quote, or the newest of all.

It follows the table. For each account it keeps when its newest state changed, how many states it has and of which
quotes. The states themselves are read out of those rows that can have what is asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from api.tables.backlog import Backlog
from api.tables.turns import next_turn
from models.engine.stored_rows import readable
from models.engine.tables import POSITION_STATES
from models.ids import account_key, split_key
from models.position_states import shown_in
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.tables.feeds import RowFeed

State = dict[str, Any]
Newness = tuple[int, int, list[int], str]

# Decoding a full row takes 300 µs and looking at an account 3 µs.
_ROWS_BETWEEN_YIELDS = 3
_ACCOUNTS_BETWEEN_YIELDS = 150


@dataclass(frozen=True, slots=True)
class Wanted:
    """The states that are asked for. None, and no ``states``, mean any. Times are in Unix s, ``symbols`` are ids."""

    address: str | None = None
    quote_id: int | None = None
    created_since_s: int | None = None
    modified_since_s: int | None = None
    states: frozenset[str] = frozenset()
    symbols: frozenset[int] | None = None
    state_id: str | None = None


ANYTHING = Wanted()


class Found(NamedTuple):
    """A state and the key of its account."""

    key: bytes
    state: State


class _Account(NamedTuple):
    newest: Newness
    states: int
    quotes: frozenset[int]


class PositionStateSearch:
    """Searches the current rows of position states.

    Args:
        feed: The table ``position-states``.
        allows: Whether an account, by deployment and address, is served.
        symbol_of: Finds the symbol id of a quote by its account's key and its id; None where that is not known.
    """

    def __init__(
        self,
        feed: RowFeed,
        allows: Callable[[str, str], bool],
        symbol_of: Callable[[bytes, int], int | None],
    ) -> None:
        self._rows = feed.rows
        self._allows = allows
        self._symbol_of = symbol_of
        self._accounts: dict[bytes, _Account] = {}
        self._backlog = Backlog(feed, _ROWS_BETWEEN_YIELDS)
        self._scanning = asyncio.Lock()

    async def find(
        self, deployment: str, wanted: Wanted, start: int, size: int, may_read: Callable[[str], bool]
    ) -> tuple[int, list[Found]]:
        """Count the states that are wanted, and return some of them, newest first.

        Args:
            deployment: Whose accounts are searched.
            wanted: Which states are meant.
            start: How many of the newest are left out, at least 0.
            size: How many are returned at most, at least 0.
            may_read: Whether the client may read an account, by its key; others are passed over.

        Returns:
            The count of all that are wanted, and the states from ``start`` on. An account whose row cannot be read is
            passed over, unless it is the one that is asked for.

        Raises:
            BadRow: The row of the account that is asked for cannot be read.
        """
        end = start + size
        if wanted.address is not None:
            key = account_key(deployment, wanted.address)
            keys = [key] if may_read(key.decode()) and self._allows(deployment, wanted.address) else []
            count, newest = await self._of(keys, wanted, end)
            return count, newest[start:]
        # Searches take turns: one alone may take all the time that other work leaves.
        async with self._scanning:
            await self._backlog.catch_up(self._read_all)
            count, keys = await self._candidates(deployment, wanted, end, may_read)
            found, newest = await self._of(keys, wanted, end)
        return (count if wanted == ANYTHING else found), newest[start:]

    async def _candidates(
        self, deployment: str, wanted: Wanted, end: int, may_read: Callable[[str], bool]
    ) -> tuple[int, list[bytes]]:
        """Return the accounts whose rows are to be read, and how many states they have.

        The newest ``end`` states of all are in the ``end`` accounts whose newest states are newest, so a search for any
        state reads no other account.
        """
        prefix, states = f"{deployment}:".encode(), 0
        keys: list[bytes] = []
        for at, (key, account) in enumerate(self._accounts.items(), start=1):
            if (
                key.startswith(prefix)
                and may_read(key.decode())
                and _may(account, wanted)
                and self._allows(*split_key(key))
            ):
                states += account.states
                keys.append(key)
            if at % _ACCOUNTS_BETWEEN_YIELDS == 0:
                if wanted == ANYTHING:
                    keys = nlargest(end, keys, key=self._newest)
                await next_turn()
        return states, nlargest(end, keys, key=self._newest) if wanted == ANYTHING else keys

    def _newest(self, key: bytes) -> Newness:
        return self._accounts[key].newest

    async def _of(self, keys: Sequence[bytes], wanted: Wanted, end: int) -> tuple[int, list[Found]]:
        """Return how many states of the accounts are wanted, and the newest ``end`` of them."""
        count, newest = 0, list[Found]()
        # A row that does not hold the id as JSON has it need not be decoded: looking takes a hundredth of that.
        must_hold = b"" if wanted.state_id is None else orjson.dumps(wanted.state_id)
        for at, key in enumerate(keys, start=1):
            row = self._rows.get(key)
            if row is not None and must_hold in row:
                # Who asks for an account by its address is told that its row cannot be read.
                states = shown_in(row) if wanted.address is not None else self._readable(key, row)
                found = [Found(key, state) for state in states if self._is_wanted(key, state, wanted)]
                count += len(found)
                newest += found
            if at % _ROWS_BETWEEN_YIELDS == 0:
                newest = nlargest(end, newest, key=_newness)
                await next_turn()
        return count, nlargest(end, newest, key=_newness)

    def _is_wanted(self, key: bytes, state: State, wanted: Wanted) -> bool:
        ids = (state.get("quote_id"), state.get("temp_quote_id"))
        return (
            (wanted.state_id is None or wanted.state_id == state["id"])
            and (wanted.quote_id is None or wanted.quote_id in ids)
            and (wanted.created_since_s is None or state["create_time"] >= wanted.created_since_s)
            and (wanted.modified_since_s is None or state["modify_time"] >= wanted.modified_since_s)
            and (not wanted.states or not wanted.states.isdisjoint(_words(state)))
            and (wanted.symbols is None or self._symbol(key, state) in wanted.symbols)
        )

    def _symbol(self, key: bytes, state: State) -> int | None:
        # A state made from the chain names its symbol. Its quote may be closed by now, so no row would tell.
        if "symbol_id" in state:
            symbol_id: int = state["symbol_id"]
            return symbol_id
        quote_id = state.get("quote_id")
        return None if quote_id is None else self._symbol_of(key, quote_id)

    def _readable(self, key: bytes, row: bytes) -> list[State]:
        """The states that stand in a row; none where it cannot be read."""
        return readable(note_unreadable, POSITION_STATES, key, row, shown_in) or []

    def _read_all(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._read(key)

    def _read(self, key: bytes) -> None:
        row = self._rows.get(key)
        states = [] if row is None else self._readable(key, row)
        if not states:
            self._accounts.pop(key, None)
            return
        ids = (state.get(name) for state in states for name in ("quote_id", "temp_quote_id"))
        self._accounts[key] = _Account(
            newest=max(_newness(Found(key, state)) for state in states),
            states=len(states),
            quotes=frozenset(one for one in ids if one is not None),
        )


def _may(account: _Account, wanted: Wanted) -> bool:
    """Whether any of an account's states can be a wanted one."""
    return (wanted.quote_id is None or wanted.quote_id in account.quotes) and (
        wanted.modified_since_s is None or account.newest[0] >= wanted.modified_since_s
    )


def _newness(found: Found) -> Newness:
    state = found.state
    return state["modify_time"], state["create_time"], state.get("at", []), state["id"]


def _words(state: State) -> set[str]:
    """The words by which clients may ask for a state."""
    return {state["last_seen_action"], state["action_status"], state["state_type"]}
