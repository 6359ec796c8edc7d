"""Answers of a venue's REST interface, read whole and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from streams.ingest.prices.venue_socket import MAX_FRAME_BYTES, FrameTooLarge
from streams.process.http_bodies import read_at_most

if TYPE_CHECKING:
    from yarl import URL

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)

FAILURES = (aiohttp.ClientError, OSError, TimeoutError, FrameTooLarge)
"""What ``fetch`` raises where there is no answer worth reading."""


async def fetch(session: aiohttp.ClientSession, url: str | URL) -> bytes:
    """Read an answer to its end.

    Raises:
        FrameTooLarge: It is larger than any that a venue sends.
        ClientError: There is none, or its status is an error; likewise OSError and TimeoutError.
    """
    async with session.get(url, timeout=_TIMEOUT) as response:
        response.raise_for_status()
        return await read_at_most(MAX_FRAME_BYTES, response, FrameTooLarge)
