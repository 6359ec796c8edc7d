"""``/assets/{library}/{path}``: what a webjar holds, read out of the jar once and then kept in memory."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import mimetypes
import re
import zipfile
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

POM = Path(__file__).with_name("pom.xml")
DIRECTORY = Path(__file__).with_name("jars")

_MEMBER = re.compile(r"META-INF/resources/webjars/(?P<library>[^/]+)/[^/]+/(?P<path>.+[^/])")
# Addresses do not name the version, so that pages need not know it: a browser asks again after an hour.
_CACHE = "public, max-age=3600"


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    etag: str
    body: bytes
    gzipped: bytes


class Webjars:
    """The files of all jars in a directory.

    Args:
        directory: Where the jars are. It is looked at now; a jar that comes later is not seen.
    """

    def __init__(self, directory: Path) -> None:
        self._members = dict(_members(directory))
        self._libraries = {library for library, _ in self._members}
        self._files: dict[tuple[str, str], _File] = {}

    def routes(self) -> list[web.AbstractRouteDef]:
        """The route that serves them."""
        return [web.get("/assets/{library}/{path:.+}", self._serve)]

    async def _serve(self, request: web.Request) -> web.Response:
        library, path = request.match_info["library"], request.match_info["path"]
        # Only what a jar lists is ever found, so no path leads out of it.
        if (library, path) not in self._members:
            if library not in self._libraries:
                raise web.HTTPNotFound(reason="no such library here, fetch it with: python -m tidemark.fetch_webjars")
            raise web.HTTPNotFound(reason="the library has no such file")
        file = self._files.get((library, path))
        if file is None:
            file = self._files[library, path] = await asyncio.to_thread(_read, *self._members[library, path])
        headers = {"ETag": f'"{file.etag}"', "Cache-Control": _CACHE, "Vary": "Accept-Encoding"}
        if any(etag.value in {file.etag, "*"} for etag in request.if_none_match or ()):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        headers["Content-Type"] = file.content_type
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.gzipped, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.body, headers=headers)


def _members(directory: Path) -> Iterator[tuple[tuple[str, str], tuple[Path, str]]]:
    for jar in sorted(directory.glob("*.jar")):
        try:
            with zipfile.ZipFile(jar) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            logger.warning("webjar cannot be read, fetch it again jar=%s", jar)
            continue
        for name in names:
            if member := _MEMBER.fullmatch(name):
                yield (member["library"], member["path"]), (jar, name)


def _read(jar: Path, name: str) -> _File:
    with zipfile.ZipFile(jar) as archive:
        body = archive.read(name)
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if content_type.startswith("text/"):
        content_type += "; charset=utf-8"
    return _File(content_type, hashlib.sha256(body).hexdigest()[:20], body, gzip.compress(body, mtime=0))
