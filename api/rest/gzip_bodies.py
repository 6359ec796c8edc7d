"""Bodies of answers: JSON, in gzip where that is worth it."""

from __future__ import annotations

import asyncio
import gzip
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

# With smaller bodies, the headers of gzip outweigh what is saved.
_SMALLEST_GZIPPED_BYTES = 1_024
# Level 1 shrinks JSON to a third at some 100 MB/s. A body that takes more than a third of a ms goes to a thread.
_GZIP_LEVEL = 1
_LARGEST_IN_LOOP_BYTES = 32_768


async def json_answer(
    request: web.Request, view: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with a view.

    Args:
        request: The request.
        view: What is encoded as JSON.
        headers: Headers beside those of the body.
    """
    return await body_answer(request, orjson.dumps(view), "application/json", headers)


async def body_answer(
    request: web.Request, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with a body, in gzip where the client takes that and it is worth it.

    Args:
        request: The request.
        body: The body, not compressed.
        content_type: Its media type.
        headers: Headers beside those of the body.
    """
    said = {**(headers or {}), "Content-Type": content_type, "Vary": "Accept-Encoding"}
    if len(body) > _SMALLEST_GZIPPED_BYTES and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        said["Content-Encoding"] = "gzip"
        is_large = len(body) > _LARGEST_IN_LOOP_BYTES
        body = await asyncio.to_thread(_gzipped, body) if is_large else _gzipped(body)
    return web.Response(body=body, headers=said)


async def tagged_json_answer(request: web.Request, etag: str, view: Mapping[str, Any]) -> web.Response:
    """Answer with a view, or with 304 where the client says that it has this one.

    Args:
        request: The request.
        etag: What tells this state of the view from others, without quotes.
        view: What is encoded as JSON.
    """
    if any(known.value in {etag, "*"} for known in request.if_none_match or ()):
        headers = {"ETag": f'"{etag}"', "Vary": "Accept-Encoding"}
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return await json_answer(request, view, {"ETag": f'"{etag}"'})


def _gzipped(body: bytes) -> bytes:
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


def _takes_gzip(accepted: str) -> bool:
    for element in accepted.lower().split(","):
        coding, _, weight = element.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
