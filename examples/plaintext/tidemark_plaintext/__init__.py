"""A dialect of a package: an account's uPnL as a line of text, over HTTP and over a websocket that says it once.

A second websocket tells what happens to accounts (``happenings``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import SecretStr

from tidemark.dialect import (
    STANDINGS,
    CurrentRow,
    Dialect,
    DialectPackage,
    DialectSettings,
    Door,
    Filtered,
    Mounted,
    OneAccount,
    decode_row,
    principal_of,
)
from tidemark_plaintext.happenings import Happenings

if TYPE_CHECKING:
    from http import HTTPStatus

    from tidemark.dialect import Site

_DIALECT = Dialect("plaintext", batches=False, max_message_bytes=128, unsent_bytes=1024, kernel_bytes=4096)


class PlainTextSettings(DialectSettings):
    """Lines begin with ``greeting``; ``path`` is where they are served."""

    greeting: str = ""
    path: str = "/plain"
    password: SecretStr | None = None


class _Lines:
    def __init__(self, site: Site, settings: PlainTextSettings) -> None:
        self._site = site
        self._greeting = settings.greeting
        self._watched: Counter[str] = Counter()
        self._is_warm = False

    def watched(self) -> set[str]:
        return {key for key, watchers in self._watched.items() if watchers}

    def not_ready(self) -> list[str]:
        return [] if self._is_warm else ["lines cannot be written yet"]

    async def become_warm(self) -> None:
        await self._site.app[STANDINGS].wait_warm()
        self._is_warm = True
        await asyncio.Event().wait()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer the line of the account that the path names."""
        key = key_of(request)
        if not principal_of(request).may_read(key):
            raise web.HTTPNotFound
        return web.Response(text=self._line(key))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Say the lines of the accounts that a client names."""
        site = self._site
        async with site.connections.accepted(request, _DIALECT) as outbox:
            async for message in outbox.connection.messages():
                key = str(message.data)
                if not principal_of(request).may_read(key):
                    continue
                self._watched[key] += 1
                site.interest.watch(key.encode())
                try:
                    outbox.connection.write(self._line(key).encode())
                finally:
                    self._watched[key] -= 1
                    site.interest.unwatch(key.encode())
        return outbox.connection.response

    def _line(self, key: str) -> str:
        deployment, _, account = key.partition(":")
        match self._site.app[STANDINGS].of(deployment, account):
            case CurrentRow(row):
                return f"{self._greeting}{decode_row(row).body['upnl']}"
            case _:
                raise web.HTTPNotFound(text="no such account")


def key_of(request: web.Request) -> str:
    """The key of the account that a path names."""
    return request.match_info["account"]


def _error(status: HTTPStatus, message: str) -> web.Response:
    return web.Response(text=f"error {status.value}: {message}", status=status)


def _mount(site: Site, settings: PlainTextSettings) -> Mounted:
    lines, happenings = _Lines(site, settings), Happenings(site)
    return Mounted(
        path_prefixes=[settings.path],
        doors=[
            Door(web.get(f"{settings.path}/account/{{account}}", lines.answer), OneAccount(key_of)),
            Door(web.get(f"{settings.path}/ws", lines.serve, allow_head=False), Filtered()),
            Door(web.get(f"{settings.path}/happenings", happenings.serve, allow_head=False), Filtered()),
        ],
        error_body=_error,
        watched_accounts=lines.watched,
        not_ready=lines.not_ready,
        waits=[lines.become_warm],
    )


PACKAGE = DialectPackage("plaintext", PlainTextSettings, _mount)
