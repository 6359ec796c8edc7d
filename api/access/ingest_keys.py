"""The key of a deployment with which its operator, or its own engine, may write over HTTP; it is no reader's token."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING

from models.errors import TidemarkError

if TYPE_CHECKING:
    from aiohttp import web
    from pydantic import SecretStr


class IngestRefused(TidemarkError):
    """A request may not write; ``status`` is that of its answer."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def expect_ingest_key(request: web.Request, deployment: str, key: SecretStr | None) -> None:
    """Refuse who does not have a deployment's ingest key.

    Args:
        request: The request.
        deployment: The deployment's name.
        key: Its key, None where none is configured.

    Raises:
        IngestRefused: The key is not sent as ``Authorization: Bearer …``, is another one, or none is configured.
    """
    if key is None:
        raise IngestRefused(HTTPStatus.FORBIDDEN, f"deployments.{deployment}.ingest_key is not set: nothing is taken")
    scheme, _, said = request.headers.get("Authorization", "").partition(" ")
    known = key.get_secret_value().encode()
    # What a header has beyond UTF-8 stands in the text as surrogates.
    if scheme.lower() != "bearer" or not hmac.compare_digest(said.encode(errors="surrogateescape"), known):
        raise IngestRefused(HTTPStatus.UNAUTHORIZED, "expected Authorization: Bearer with the deployment's ingest key")
