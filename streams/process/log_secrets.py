"""Log lines without secrets, whoever writes them: a library does not know what of an URL is a provider's key."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings

_HIDDEN = "**********"
# Shorter parts of a path, such as v2 or rpc, are no keys, and stand in too many other words.
_KEY_CHARACTERS = 8


class HidingFormatter(logging.Formatter):
    """Hides secrets in lines, and in the exceptions that are told with them.

    Args:
        lines: Makes a record's line.
        secrets: What is hidden.
    """

    def __init__(self, lines: logging.Formatter, secrets: frozenset[str]) -> None:
        super().__init__()
        self._lines = lines
        # Lines of JSON escape some characters. A whole URL goes before the parts of it.
        escaped = {json.dumps(secret)[1:-1] for secret in secrets}
        self._secrets = sorted(secrets | escaped, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Make the line of a record."""
        return self.hidden(self._lines.format(record))

    def hidden(self, text: str) -> str:
        """Hide the secrets in a text that is no line of the log, such as a traceback."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def secrets_of(settings: Settings) -> frozenset[str]:
    """List the secrets of a configuration; of those that are URLs, the parts of their paths and queries as well."""
    return frozenset(part for secret in _secrets(settings) for part in _parts(secret) if part)


def _secrets(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for _, found in value:
                yield from _secrets(found)
        case dict():
            for found in value.values():
                yield from _secrets(found)
        case tuple() | list():
            for found in value:
                yield from _secrets(found)
        case _:
            return


def _parts(secret: str) -> Iterator[str]:
    yield secret
    url = urlsplit(secret)
    if not url.scheme or not url.netloc:
        return
    parts = [*url.path.split("/"), *(value for _, value in parse_qsl(url.query))]
    for part in parts:
        if len(part) >= _KEY_CHARACTERS:
            yield part
            yield unquote(part)
    if url.password:
        yield url.password
