"""The documents' paths. They are the same for everybody and say nothing of accounts."""

from __future__ import annotations

import hashlib
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from api.documents.problems_page import problems_page
from api.documents.socket_page import socket_page
from api.http.problems import KINDS
from api.http.problems import PAGE as PROBLEMS
from api.rest.gzip_bodies import body_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

_API = Path(__file__).parents[1]
_STATIC = Path(__file__).with_name("static")
_SOCKET = "/docs/websocket"

_YAML = "application/yaml"
_HTML = "text/html; charset=utf-8"
# Swagger UI sets style attributes and draws icons from data: addresses, which the other pages' policy forbids.
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


_DOCUMENTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "/v1/openapi.yaml": (_YAML, (_API / "openapi.yaml").read_bytes),
    "/v1/asyncapi.yaml": (_YAML, (_API / "asyncapi.yaml").read_bytes),
    "/docs": (_HTML, (_STATIC / "rest.html").read_bytes),
    "/docs/rest.js": ("text/javascript; charset=utf-8", (_STATIC / "rest.js").read_bytes),
    "/docs/page.css": ("text/css; charset=utf-8", (_STATIC / "page.css").read_bytes),
    _SOCKET: (_HTML, lambda: socket_page(_SOCKET, (_API / "asyncapi.yaml").read_bytes())),
    PROBLEMS: (_HTML, lambda: problems_page(PROBLEMS, KINDS)),
}


def routes() -> list[web.RouteDef]:
    """The routes of the documents, and of the pages that show them."""
    return [web.get(path, _serving(content_type, make)) for path, (content_type, make) in _DOCUMENTS.items()]


def _serving(content_type: str, make: Callable[[], bytes]) -> Handler:
    """Serve what ``make`` makes, some 30 kB or less; it is made at the first request."""

    @cache
    def made() -> tuple[bytes, str]:
        body = make()
        return body, hashlib.sha256(body).hexdigest()[:20]

    async def serve(request: web.Request) -> web.Response:
        body, etag = made()
        headers = {"ETag": f'"{etag}"', "Vary": "Accept-Encoding", "Content-Security-Policy": _CONTENT_POLICY}
        if any(known.value in {etag, "*"} for known in request.if_none_match or ()):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return await body_answer(request, body, content_type, headers)

    return serve
