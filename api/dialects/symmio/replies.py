"""Answers in the shapes that legacy clients know: always with a body, and errors and refused parameters as theirs."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from models.errors import TidemarkError

if TYPE_CHECKING:
    from decimal import Decimal


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
