"""The errors of every path but those of ``/v1``: JSON, in the form that clients of the older protocols read."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from aiohttp import web

from api.http.problems import RETRY_AFTER_S


def error_response(status: HTTPStatus, message: str) -> web.Response:
    """Answer with an error; ``error_code`` repeats the HTTP status."""
    body = {"error_code": status.value, "error_message": message, "error_detail": None}
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)
