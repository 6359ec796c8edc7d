"""Bodies of HTTP answers, which may be of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

    from models.errors import TidemarkError


async def read_at_most(size_max: int, response: aiohttp.ClientResponse, too_large: type[TidemarkError]) -> bytes:
    """Read an answer to its end: one read gives no more than what has arrived, some 64 kB.

    Raises:
        TidemarkError: ``too_large``: it has more than ``size_max`` bytes; the rest is not read.
    """
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > size_max:
            msg = f"expected an answer of at most {size_max} bytes, found more"
            raise too_large(msg)
    return b"".join(chunks)
