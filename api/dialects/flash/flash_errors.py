"""Errors as the venue answers them: ``{"error": …}`` with a status, or ``{"err": …}`` where figures cannot be made."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from api.http.problems import RETRY_AFTER_S
from models.flash.flash_prices import Unpriced

if TYPE_CHECKING:
    from models.flash.flash_prices import Uncomputable


def error_body(status: HTTPStatus, message: str) -> web.Response:
    """Answer with an error."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
    return web.Response(
        body=orjson.dumps({"error": message}), status=status, content_type="application/json", headers=headers
    )


def uncomputable_body(error: Uncomputable) -> web.Response:
    """Answer where figures cannot be made: 503 for want of a price, else 200 with the reason."""
    if isinstance(error, Unpriced):
        return error_body(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    return web.json_response({"err": str(error)})
