"""Bodies of answers: JSON, and gzip of what is worth it."""

from __future__ import annotations

import asyncio
import gzip
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

# Below it the headers outweigh what is saved.
_SMALLEST_GZIPPED_BYTES = 1_024
# Level 1 makes a third of JSON at some 100 MB/s: more than a third of a ms is left to a thread.
_GZIP_LEVEL = 1
_LARGEST_IN_LOOP_BYTES = 32_768


async def json_answer(
    request: web.Request, view: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer a view."""
    return await body_answer(request, orjson.dumps(view), "application/json", headers)


async def body_answer(
    request: web.Request, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer a body, in gzip where the client takes that."""
    said = {**(headers or {}), "Content-Type": content_type, "Vary": "Accept-Encoding"}
    if len(body) > _SMALLEST_GZIPPED_BYTES and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        said["Content-Encoding"] = "gzip"
        is_large = len(body) > _LARGEST_IN_LOOP_BYTES
        body = await asyncio.to_thread(_gzipped, body) if is_large else _gzipped(body)
    return web.Response(body=body, headers=said)


async def tagged_json_answer(request: web.Request, etag: str, view: Mapping[str, Any]) -> web.Response:
    """Answer a view that ``etag`` tells from others, or 304 where the client has it."""
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
