"""Reading whole answers of a venue's REST interface, up to a bound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from streams.ingest.prices.venue_socket import MAX_FRAME_BYTES, FrameTooLarge
from streams.process.http_bodies import WITHOUT_END, read_at_most

if TYPE_CHECKING:
    from yarl import URL

_WITHIN_S = 10.0

FAILURES = (aiohttp.ClientError, OSError, TimeoutError, FrameTooLarge)
"""The errors that ``fetch`` raises where there is no answer, or none worth reading."""


async def fetch(session: aiohttp.ClientSession, url: str | URL) -> bytes:
    """Read an answer to its end.

    Raises:
        FrameTooLarge: The answer is larger than any that a venue sends.
        ClientError: There is no answer, or its status is an error.
        OSError: There is no connection.
        TimeoutError: There is no answer in time.
    """
    async with asyncio.timeout(_WITHIN_S), session.get(url, timeout=WITHOUT_END) as response:
        response.raise_for_status()
        return await read_at_most(MAX_FRAME_BYTES, response, FrameTooLarge)
