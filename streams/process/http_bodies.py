"""Reading the body of an HTTP answer, which may be of any size and take any time, up to a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from models.errors import TidemarkError


WITHOUT_END = aiohttp.ClientTimeout(total=None, sock_connect=None)  # noqa: TID251 - it is the one without a limit
"""For requests whose time ``asyncio.timeout`` bounds. Where aiohttp's own limit is over in the very turn of the loop in
which its task is cancelled, as happens when a paused process wakes up, it takes the cancellation for its own and
swallows it."""


async def read_at_most(size_max: int, response: aiohttp.ClientResponse, too_large: type[TidemarkError]) -> bytes:
    """Read an answer to its end, piece by piece; a piece is what has arrived, some 64 kB.

    Args:
        size_max: How many bytes the answer may have.
        response: The answer.
        too_large: The error to raise where it has more.

    Raises:
        TidemarkError: The answer has more than ``size_max`` bytes; the rest is not read. It is a ``too_large``.
    """
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > size_max:
            msg = f"expected an answer of at most {size_max} bytes, found more"
            raise too_large(msg)
    return b"".join(chunks)
