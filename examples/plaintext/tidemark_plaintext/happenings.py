"""What happens to accounts, as frames of a websocket: each event once and in order, whoever of the workers wrote it.

A client sends the key of an account, and is told up to which event it knows the account's past: ``after 12``. Each
later frame has the events of one row of ``statements``, a line each: the number and what happened, as JSON. Where
some were in no row that came here, the frame begins with ``missed``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tidemark.dialect import FEEDS, HUB, BadRow, Dialect, decode_statement, principal_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from api.delivery.outbox import Outbox
    from tidemark.dialect import Event, Site

_DIALECT = Dialect(
    "plaintext-happenings",
    batches=False,
    max_message_bytes=128,
    unsent_bytes=1_000_000,
    kernel_bytes=65_536,
    # Events are never conflated, so a client that does not read is not waited for.
    slow_after_s=10.0,
)


class Happenings:
    """Tells clients the events of the accounts that they name.

    Args:
        site: Where the dialect is mounted.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._statements = site.app[FEEDS].statements
        # By account: who follows it, and the number of the event that was told last.
        self._told: dict[bytes, dict[Outbox, int]] = {}
        # Rows are told one by one; whoever looks at ``rows`` now and then would see only the last of several.
        self._statements.listen_rows(self._on_row)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Tell the events of the accounts that a client names."""
        async with self._site.connections.accepted(request, _DIALECT) as outbox:
            try:
                async for message in outbox.connection.messages():
                    key = str(message.data)
                    if principal_of(request).may_read(key):
                        self._follow(key.encode(), outbox)
            finally:
                self._leave(outbox)
        return outbox.connection.response

    def _follow(self, key: bytes, outbox: Outbox) -> None:
        row = self._statements.rows.get(key)
        last = 0 if row is None else decode_statement(row).last_number
        self._told.setdefault(key, {})[outbox] = last
        self._site.app[HUB].say(outbox, b"after %d" % last)

    def _leave(self, outbox: Outbox) -> None:
        for key in [key for key, followers in self._told.items() if outbox in followers]:
            del self._told[key][outbox]
            if not self._told[key]:
                del self._told[key]

    def _on_row(self, key: bytes, row: bytes) -> None:
        followers = self._told.get(key)
        if not followers:
            return
        try:
            statement = decode_statement(row)
        except BadRow:
            # The next row that can be read has its events, or shows by their numbers that some were missed.
            return
        for outbox, told in followers.items():
            # After a crash rows come again: what they tell has the numbers that it had.
            if statement.last_number > told:
                self._site.app[HUB].say(outbox, _frame(statement.events_after(told), statement.events))
                followers[outbox] = statement.last_number


def _frame(news: Sequence[Event] | None, known: Sequence[Event]) -> bytes:
    lines = [f"{event.number} {json.dumps(event.body)}" for event in (known if news is None else news)]
    return "\n".join(["missed", *lines] if news is None else lines).encode()
