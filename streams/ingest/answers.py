"""Answers of a venue's REST interface, read whole and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from streams.ingest.venue import MAX_FRAME_BYTES, FrameTooLarge

if TYPE_CHECKING:
    from yarl import URL

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)

FAILURES = (aiohttp.ClientError, OSError, TimeoutError, FrameTooLarge)
"""What ``fetch`` raises where there is no answer worth reading."""


async def fetch(session: aiohttp.ClientSession, url: str | URL) -> bytes:
    """Read an answer to its end: one read gives no more than what has arrived, some 64 kB of 130.

    Raises:
        FrameTooLarge: It is larger than any that a venue sends.
        ClientError: There is none, or its status is an error; likewise OSError and TimeoutError.
    """
    async with session.get(url, timeout=_TIMEOUT) as response:
        response.raise_for_status()
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_FRAME_BYTES:
                msg = f"expected an answer of at most {MAX_FRAME_BYTES} bytes, found more"
                raise FrameTooLarge(msg)
        return b"".join(chunks)
