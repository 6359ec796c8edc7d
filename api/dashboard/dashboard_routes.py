"""The page and its files."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

_STATIC = Path(__file__).parent / "static"
# A client's path is only looked up here and never given to the file system, so it can neither lead out of the folder
# nor be longer than a name of a file may be.
_FILES = {path.relative_to(_STATIC).as_posix(): path for path in _STATIC.rglob("*") if path.is_file()}

_RELATIVE = "dashboard/"
PATH = "/dashboard/{path}"
"""The path of the files as routes know it."""


def routes() -> list[web.AbstractRouteDef]:
    """The page at ``/`` and at ``/dashboard/``, below which are the files that it is made of."""
    return [
        web.get("/", _page),
        web.get("/dashboard", _to_page),
        web.get("/dashboard/", _page),
        web.get("/dashboard/{path:.+}", _file),
    ]


async def _to_page(_request: web.Request) -> web.Response:
    # A relative one holds also where a proxy serves all of this below a path of its own.
    raise web.HTTPPermanentRedirect(location=_RELATIVE)


async def _page(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(_STATIC / "index.html")


async def _file(request: web.Request) -> web.FileResponse:
    file = _FILES.get(request.match_info["path"])
    if file is None:
        raise web.HTTPNotFound
    return web.FileResponse(file)
