"""Answers in the shapes that legacy clients know: always with a body, and errors and refused parameters as theirs."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from models.errors import TidemarkError

if TYPE_CHECKING:
    from decimal import Decimal

# What is unknown now is usually known after the next price or block.
_RETRY_AFTER_S = 2


class Refusal(TidemarkError):
    """A request that is answered with an error; the message is for a person."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class BadParameter(TidemarkError):
    """A parameter of a request is not what it should be.

    Args:
        where: The part of the request, such as ``query``, and the parameter's name.
        message: What was expected and what was found, for a person.
        kind: FastAPI's name for the kind of error, which clients may read.
    """

    def __init__(self, where: tuple[str, ...], message: str, kind: str) -> None:
        super().__init__(message)
        self.where = where
        self.kind = kind


def reply(body: object) -> web.Response:
    """Answer with JSON."""
    return encoded(orjson.dumps(body))


def encoded(body: bytes, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with JSON that is encoded already.

    Args:
        body: The JSON.
        status: The HTTP status.
        headers: Headers beside the content type.
    """
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def error_response(status: HTTPStatus, message: str) -> web.Response:
    """Answer with an error; ``error_code`` repeats the HTTP status."""
    body = {"error_code": status.value, "error_message": message, "error_detail": None}
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
    return encoded(orjson.dumps(body), status, headers)


def invalid_response(error: BadParameter) -> web.Response:
    """Answer that a parameter is refused, in FastAPI's form."""
    detail = {"loc": error.where, "msg": str(error), "type": error.kind}
    return encoded(orjson.dumps({"detail": [detail]}), HTTPStatus.UNPROCESSABLE_ENTITY)


def number(text: str) -> orjson.Fragment:
    """Encode a decimal text as a JSON number of the same digits, which a float would not keep."""
    return orjson.Fragment(text)


def plain(value: Decimal) -> str:
    """Write a setting as the shortest exact decimal text."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
