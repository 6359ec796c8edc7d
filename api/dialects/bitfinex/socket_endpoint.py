"""The endpoint of one dialect: it accepts sockets, and keeps them to what keys and tables say by now."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType

from api.delivery.dialect import Dialect
from api.dialects.bitfinex import event_objects as events
from api.dialects.bitfinex.auth_request import LoginRefused
from api.dialects.bitfinex.socket_session import SocketSession
from api.dialects.bitfinex.valuation_book import ValuationBook
from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import WSMessage, web

    from api.access.addresses import ClientAddresses
    from api.delivery.connections import Connections
    from api.delivery.outbox import Outbox
    from api.dialects.bitfinex.account_book import AccountBook
    from api.dialects.bitfinex.api_keys import KeyFile
    from api.dialects.bitfinex.shown_accounts import ShownAccounts
    from api.dialects.bitfinex.socket_session import Desk

_log = logging.getLogger(__name__)

DIALECT = Dialect(
    name="bitfinex",
    batches=False,
    # An auth frame has some 400 bytes, and a calc of 30 keys 900.
    max_message_bytes=65_536,
    # Frames of the account are never left out. A client that falls behind by so much is closed, and begins anew.
    unsent_bytes=1_048_576,
    kernel_bytes=65_536,
    slow_after_s=10.0,
    # Of the closes of a server, clients come back after this one alone.
    slow_code=WSCloseCode.SERVICE_RESTART,
    goodbye=events.goodbye,
)
# Keys that were taken back, new accounts of owners, and whether tables are up to date are looked at so often.
LOOK_EVERY_S = 1.0
_OWNERS_EVERY = 5


class BitfinexEndpoint:
    """Serves ``/ws/2``.

    Args:
        connections: The open ones.
        desk: What all sessions share.
        addresses: Tell where a request comes from.
        keys: The keys.
        accounts: The accounts that keys show.
        is_operative: Whether the tables are as new as they should be.
    """

    def __init__(
        self,
        connections: Connections,
        desk: Desk,
        addresses: ClientAddresses,
        *,
        keys: KeyFile,
        accounts: ShownAccounts,
        is_operative: Callable[[], bool],
    ) -> None:
        self._connections = connections
        self._desk = desk
        self._addresses = addresses
        self._keys = keys
        self._accounts = accounts
        self._is_operative = is_operative
        self._server_id = str(uuid.uuid4())
        self._was_operative = True
        self._sessions: dict[SocketSession, Outbox] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until the client or the server goes away."""
        async with self._connections.accepted(request, DIALECT) as outbox:
            session = SocketSession(outbox, self._desk, self._addresses.limit_key_of(request))
            self._sessions[session] = outbox
            try:
                session.begin(self._server_id, is_operative=self._was_operative)
                await self._listen(session, outbox)
            finally:
                del self._sessions[session]
                session.end()
            return outbox.connection.response

    async def keep(self) -> None:
        """Look after the open sockets, until cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            looks += 1
            self._look_at_keys()
            self._look_at_tables()
            if looks % _OWNERS_EVERY == 0:
                await self._look_at_owners()

    def _look_at_keys(self) -> None:
        """Close the sockets whose key is not what it was: it was taken back, or shows something else now."""
        self._keys.refresh()
        for session, outbox in list(self._sessions.items()):
            login = session.login
            if login is not None and self._keys.find(login.api_key) != login.key:
                self._turn_out(session, outbox, "apikey: revoked")

    def _turn_out(self, session: SocketSession, outbox: Outbox, reason: str) -> None:
        session.log_out()
        self._desk.hub.close(outbox, WSCloseCode.POLICY_VIOLATION, reason.encode())

    def _look_at_tables(self) -> None:
        is_operative = self._is_operative()
        if is_operative == self._was_operative:
            return
        self._was_operative = is_operative
        code, text = (
            (events.RESYNC_STOP, "Maintenance mode ended")
            if is_operative
            else (
                events.RESYNC_START,
                "Entering in Maintenance mode",
            )
        )
        for session in self._sessions:
            session.say(events.notice(code, text))

    async def _look_at_owners(self) -> None:
        """Show what keys of owners show by now; a ledger's account that changed hands is shown no more."""
        for session, outbox in list(self._sessions.items()):
            login, book = session.login, session.book
            if login is None or book is None:
                continue
            try:
                accounts = await self._accounts.accounts_of(login.key)
            except LoginRefused as refused:
                self._turn_out_of(book, session, outbox, refused.text)
                continue
            if isinstance(book, ValuationBook):
                self._show(book, session, accounts)
            elif set(accounts) != set(book.accounts):
                self._turn_out_of(book, session, outbox, "apikey: shows another account")

    @staticmethod
    def _show(book: ValuationBook, session: SocketSession, accounts: Sequence[bytes]) -> None:
        if session.book is not book:
            return
        try:
            book.show(accounts)
        except BadRow as error:
            _log.warning("accounts of a key are not shown anew: %s", error)

    def _turn_out_of(self, book: AccountBook, session: SocketSession, outbox: Outbox, reason: str) -> None:
        """Turn a session out, if it is still the login that showed the book."""
        if session.book is book:
            self._turn_out(session, outbox, reason)

    async def _listen(self, session: SocketSession, outbox: Outbox) -> None:
        connection, now_s = outbox.connection, self._desk.hub.now_s
        async for message in connection.messages():
            # Who sends too fast is read no faster than the limit; nothing is left out.
            wait_s = connection.messages_limit.take(now_s())
            while wait_s:
                await asyncio.sleep(wait_s)
                wait_s = connection.messages_limit.take(now_s())
            if not await self._take(session, message):
                connection.close(WSCloseCode.UNSUPPORTED_DATA, b"expected text")
                return

    @staticmethod
    async def _take(session: SocketSession, message: WSMessage) -> bool:
        if message.type is not WSMsgType.TEXT:
            return False
        await session.take(message.data)
        return True
