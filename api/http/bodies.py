"""Bodies of requests: read as they were sent, unpacked only here, and bounded in bytes and time all the way."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# The largest body that anybody needs to send, a hundred position states, has some 100 kB.
BODY_MAX_BYTES = 1_048_576
# A line of 100 kB/s carries the largest body in that time.
BODY_WITHIN_S = 15.0
# Unpacking so much takes some 0.1 ms. After each piece the loop is given to others.
_PIECE_BYTES = 65_536
# Both gzip and zlib streams are recognised by their first bytes, as 32 asks zlib to do.
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


async def read_as_sent(request: web.Request) -> bytes:
    """Read a body, packed as the client packed it.

    Args:
        request: The request, whose body nobody has read.

    Raises:
        aiohttp.web.HTTPRequestEntityTooLarge: It has more than ``BODY_MAX_BYTES``.
        aiohttp.web.HTTPRequestTimeout: It has not come within ``BODY_WITHIN_S``.
        aiohttp.web.HTTPBadRequest: It ends too early, or its chunks are malformed.
    """
    said = request.content_length
    if said is not None and said > BODY_MAX_BYTES:
        raise _too_large(said)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > BODY_MAX_BYTES:
                    raise _too_large(len(body))
    except TimeoutError as error:
        text = f"expected the whole body within {BODY_WITHIN_S:.0f} s"
        raise web.HTTPRequestTimeout(text=text, headers={"Connection": "close"}) from error
    except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError) as error:
        raise web.HTTPBadRequest(text="expected a whole body, found one that is cut or malformed") from error
    return bytes(body)


async def read_plain(request: web.Request) -> bytes:
    """Read a body and unpack it, where the client says that it is packed with gzip or deflate.

    Args:
        request: The request, whose body nobody has read.

    Raises:
        aiohttp.web.HTTPRequestEntityTooLarge: It has more than ``BODY_MAX_BYTES``, packed or unpacked.
        aiohttp.web.HTTPRequestTimeout: It has not come within ``BODY_WITHIN_S``.
        aiohttp.web.HTTPBadRequest: It is cut, or not packed as the client says.
        aiohttp.web.HTTPUnsupportedMediaType: It is packed in another way.
    """
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    body = await read_as_sent(request)
    match coding:
        case "identity" | "":
            return body
        case "gzip" | "x-gzip" | "deflate":
            unpacked = bytearray()
            async for piece in _unpacked(body):
                unpacked += piece
                if len(unpacked) > BODY_MAX_BYTES:
                    raise _too_large(len(unpacked))
            return bytes(unpacked)
        case _:
            text = f"expected a Content-Encoding of identity, gzip or deflate, found {coding[:40]!r}"
            raise web.HTTPUnsupportedMediaType(text=text, headers={"Accept-Encoding": "gzip, deflate"})


async def _unpacked(body: bytes) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    rest = body
    try:
        while not unpacker.eof:
            piece = unpacker.decompress(rest, _PIECE_BYTES)
            rest = unpacker.unconsumed_tail
            if not (piece or rest or unpacker.eof):
                raise _badly_packed()
            yield piece
            await asyncio.sleep(0)
        if unpacker.unused_data:
            raise _badly_packed()
    except zlib.error as error:
        raise _badly_packed() from error


def _badly_packed() -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text="expected a body packed as Content-Encoding says, found one that cannot be unpacked")


def _too_large(found: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(
        max_size=BODY_MAX_BYTES, actual_size=found, text=f"expected a body of at most {BODY_MAX_BYTES} bytes"
    )
