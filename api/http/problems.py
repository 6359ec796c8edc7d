"""The errors of ``/v1`` as RFC 9457 problems, whatever went wrong below."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from api.http.log_lines import shown
from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
PREFIX = "/v1"
PAGE = "/docs/problems"

# What is unknown now is usually known after the next price or block.
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. ``name`` ends the address of its type, where ``meaning`` explains it to a person."""

    name: str
    status: HTTPStatus
    title: str
    meaning: str


BAD_PARAMETER = Kind(
    "bad-parameter",
    HTTPStatus.BAD_REQUEST,
    "A parameter is not what it should be",
    "A parameter of the path or query is unknown, given twice, or malformed. `parameter` names it, `detail` says what "
    "was found and what is expected. The same request will not do better later.",
)
NO_SUCH_ACCOUNT = Kind(
    "no-such-account",
    HTTPStatus.NOT_FOUND,
    "No such account",
    "The deployment is folded up to a recent block, and has no such account.",
)
NO_SUCH_MARK = Kind(
    "no-such-mark",
    HTTPStatus.NOT_FOUND,
    "No such mark",
    "No price of that source and symbol has ever come in. Symbols are spelt as the source spells them.",
)
NOT_KNOWN = Kind(
    "not-known",
    HTTPStatus.SERVICE_UNAVAILABLE,
    "Not known now",
    "What was asked for may exist, and its figures are not zero: they cannot be told now. `detail` says why; ask again "
    "after `Retry-After` seconds.",
)
NOT_INSTALLED = Kind(
    "not-installed",
    HTTPStatus.NOT_IMPLEMENTED,
    "This server cannot do that",
    "What was asked for takes a library that this server does not have. `detail` names it, and what else can be asked.",
)
NOT_EXPLAINED = Kind(
    "not-explained",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "This cannot be explained",
    "Why an account moved in that span cannot be told: records are held no longer, or it takes too long. `detail` says "
    "which. A shorter or later span may do better; `tidemark explain` has no such bounds.",
)
KINDS = (BAD_PARAMETER, NO_SUCH_ACCOUNT, NO_SUCH_MARK, NOT_KNOWN, NOT_INSTALLED, NOT_EXPLAINED)


class Problem(TidemarkError):
    """A request that cannot be answered.

    Args:
        kind: The kind of problem, which programs read.
        detail: What was expected and what was found, for a person.
        parameter: The part of the request that is at fault; None where it is none in particular.
    """

    def __init__(self, kind: Kind, detail: str, parameter: str | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.parameter = parameter

    def response(self) -> web.Response:
        """Return the answer that the client gets."""
        kind = self.kind
        body = {
            "type": f"{PAGE}#{kind.name}",
            "title": kind.title,
            "status": kind.status.value,
            "detail": self.detail,
        }
        if self.parameter is not None:
            body["parameter"] = self.parameter
        retry = {"Retry-After": str(RETRY_AFTER_S)} if kind.status is HTTPStatus.SERVICE_UNAVAILABLE else {}
        return _response(kind.status, body, retry)


@web.middleware
async def errors_as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error under ``/v1`` with a problem, which says nothing of the server's insides."""
    if request.path != PREFIX and not request.path.startswith(f"{PREFIX}/"):
        return await handler(request)
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _of_http(request, error)
    except Exception:  # no code above this can answer: without it the client gets aiohttp's text
        if request.writer.output_size:
            # The answer, or a websocket, has begun, so no other answer can be sent.
            raise
        logger.exception("request failed method=%s path=%s", request.method, shown(request.path))
        return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed at this request, and has noted why", {})


def said_by(error: web.HTTPException) -> str | None:
    """Return what whoever raised an error has said of it; None where it is only what aiohttp says of its status."""
    return None if error.text == f"{error.status}: {error.reason}" else error.text


def _of_http(request: web.Request, error: web.HTTPException) -> web.Response:
    status = HTTPStatus(error.status)
    detail = said_by(error) or f"{error.reason.lower()}: {request.method} {request.path[:200]!r}"
    headers = {name: value for name, value in error.headers.items() if not name.lower().startswith("content-")}
    return _plain(status, detail, headers)


def _plain(status: HTTPStatus, detail: str, headers: Mapping[str, str]) -> web.Response:
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return _response(status, body, headers)


def _response(status: HTTPStatus, body: Mapping[str, object], headers: Mapping[str, str]) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type=CONTENT_TYPE, headers=headers)
