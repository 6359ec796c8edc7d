"""The page and its files."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

_STATIC = Path(__file__).parent / "static"


def routes() -> list[web.AbstractRouteDef]:
    """The page at ``/``, and below ``/dashboard`` what it is made of."""
    return [web.get("/", _page), web.static("/dashboard", _STATIC)]


async def _page(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(_STATIC / "index.html")
