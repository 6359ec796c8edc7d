"""One attempt to hand a message to a receiver, and what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import aiohttp
from aiohttp.resolver import DefaultResolver
from yarl import URL

from streams.process.http_bodies import WITHOUT_END
from streams.webhooks.addresses import PrivateAddress, PublicResolver, expect_public
from streams.webhooks.signing import signed_headers

if TYPE_CHECKING:
    from models.webhook_messages import WebhookMessage
    from streams.process.clock import Clock
    from streams.settings.webhooks import WebhookSettings

_OK, _REDIRECTS, _CLIENT, _SERVER = range(200, 300), range(300, 400), range(400, 500), 500
_TOO_MANY, _TOO_EARLY, _TIMED_OUT = 429, 425, 408
# What a receiver may ask for at most in Retry-After, in s.
_LATEST_S = 3_600


class Outcome(StrEnum):
    """What came of an attempt, as metrics call it."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """The receiver answered 4xx: it does not take this message, and may take others."""
    BUSY = "busy"
    """It answered 408, 425, 429 or 5xx."""
    UNREACHABLE = "unreachable"
    """It could not be reached, or did not answer in time; it may have the message all the same."""
    REDIRECTED = "redirected"
    """It answered 3xx, which is not followed: only the configuration says where messages go."""
    PRIVATE = "private_address"
    """Its name means an address that may not be posted to."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt: ``said`` is for the log, ``retry_after_s`` what the receiver asked for, in s."""

    outcome: Outcome
    said: str
    retry_after_s: float | None = None


class Poster(Protocol):
    """Makes attempts; ``HttpPoster`` does."""

    async def post(self, message: WebhookMessage) -> Attempt:
        """Make one attempt."""


class HttpPoster:
    """Posts to one receiver over HTTP.

    Args:
        settings: Say where the receiver is, and which addresses are allowed.
        key: What messages are signed with.
        clock: Tells when an attempt is made.
    """

    def __init__(self, settings: WebhookSettings, key: bytes, clock: Clock) -> None:
        self._settings = settings
        self._url = settings.url.get_secret_value()
        self._key = key
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Get ready to post."""
        resolver = DefaultResolver()
        own = resolver if self._settings.allow_private else PublicResolver(resolver)
        # Names are resolved anew for every connection, so that one whose address changed is found.
        connector = aiohttp.TCPConnector(resolver=own, use_dns_cache=False)
        # What an answer says beside its status counts for nothing: no cookie is kept, no body unpacked.
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=WITHOUT_END,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def stop(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def post(self, message: WebhookMessage) -> Attempt:
        """Post a message once. Of the answer nothing but its head is read, so none is too long.

        Args:
            message: What is said.
        """
        assert self._session is not None  # noqa: S101 - start was called
        headers = {
            "content-type": "application/json",
            "user-agent": "tidemark-webhooks",
            **signed_headers(self._key, message, self._clock.now_ms() // 1_000),
        }
        try:
            if not self._settings.allow_private:
                expect_public(URL(self._url).host or "")
            async with (
                asyncio.timeout(self._settings.timeout_s),
                self._session.post(self._url, data=message.body, headers=headers, allow_redirects=False) as answer,
            ):
                # What is not read cannot be kept for the next message.
                answer.close()
                return _read(answer.status, answer.headers.get("retry-after"))
        except PrivateAddress as error:
            return Attempt(Outcome.PRIVATE, str(error))
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddress):
                return Attempt(Outcome.PRIVATE, str(error.os_error))
            return Attempt(Outcome.UNREACHABLE, _unreached(error))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Attempt(Outcome.UNREACHABLE, _unreached(error))


def _unreached(error: BaseException) -> str:
    """Name a cause. The text of an error may hold the URL, which is a secret of the receiver's, and the signature."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    why = cause.strerror if isinstance(cause, OSError) else None
    return type(error).__name__ + (f": {why}" if why else "")


def _read(status: int, retry_after: str | None) -> Attempt:
    said = f"HTTP {status}"
    if status in _OK:
        return Attempt(Outcome.DELIVERED, said)
    if status in _REDIRECTS:
        return Attempt(Outcome.REDIRECTED, said)
    asked = min(float(retry_after), _LATEST_S) if retry_after is not None and retry_after.isdecimal() else None
    if status in _CLIENT and status not in {_TIMED_OUT, _TOO_EARLY, _TOO_MANY}:
        return Attempt(Outcome.REFUSED, said, asked)
    return Attempt(Outcome.BUSY, said, asked)
