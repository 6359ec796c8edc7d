"""Query parameters, read strictly: one that is unknown, given twice, or malformed is refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from api.http.problems import BAD_PARAMETER, Problem
from models.errors import BadNumber
from models.money import parse_e18

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiohttp import web

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")
_SHOWN_CHARACTERS = 80
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T_co]):
    """A parameter of a query.

    Attributes:
        name: Its name.
        expected: What its text must be, as "expected …" goes on.
        read: Reads its text; None where the text is not what is expected.
    """

    name: str
    expected: str
    read: Callable[[str], T_co | None]


class Query:
    """The parameters of a request.

    Args:
        request: The request.
        *known: The parameters that it may have.

    Raises:
        Problem: The request has an unknown parameter, or one of them twice.
    """

    def __init__(self, request: web.Request, *known: Parameter[object]) -> None:
        names = [parameter.name for parameter in known]
        self._texts = request.query
        for name in self._texts:
            if name not in names:
                expected = f"one of {', '.join(names)}" if names else "no parameter"
                raise Problem(BAD_PARAMETER, f"expected {expected}, found {_shown(name)}", name[:_SHOWN_CHARACTERS])
            if (count := len(self._texts.getall(name))) > 1:
                raise Problem(BAD_PARAMETER, f"expected {name} once, found it {count} times", name)

    def get(self, parameter: Parameter[T]) -> T | None:
        """Return the parameter's value, None where it is not given.

        Raises:
            Problem: Its text is not what is expected.
        """
        text = self._texts.get(parameter.name)
        if text is None:
            return None
        value = parameter.read(text)
        if value is None:
            raise bad_parameter(parameter.name, parameter.expected, text)
        return value


def bad_parameter(name: str, expected: str, found: str) -> Problem:
    """Make the problem of a parameter that is not what it should be.

    Args:
        name: The parameter's name.
        expected: What it should be, as "expected …" goes on.
        found: The client's text; its first 80 characters are shown.
    """
    return Problem(BAD_PARAMETER, f"{name}: expected {expected}, found {_shown(found)}", name)


def whole(name: str, least: int, most: int) -> Parameter[int]:
    """Describe a parameter that is a whole number.

    Args:
        name: The parameter's name.
        least: The smallest number; a sign is read only where this is below 0.
        most: The greatest number, at least 0, and of at least as many digits as ``least``.
    """

    def read(text: str) -> int | None:
        digits = text.removeprefix("-") if least < 0 else text
        if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(most))):
            return None
        value = int(text)
        return value if least <= value <= most else None

    return Parameter(name, f"a whole number from {least} to {most}", read)


def choice(name: str, values: Collection[str]) -> Parameter[str]:
    """Describe a parameter that is one of ``values``."""
    return Parameter(name, f"one of {', '.join(values)}", lambda text: text if text in values else None)


def flag(name: str) -> Parameter[bool]:
    """Describe a parameter that is ``true`` or ``false``."""
    return Parameter(name, "true or false", {"true": True, "false": False}.get)


def address(name: str) -> Parameter[str]:
    """Describe a parameter that is an address in any case; its value is in lower case."""
    expected = "0x and 40 hex digits"
    return Parameter(name, expected, lambda text: text.lower() if _ADDRESS.fullmatch(text) else None)


def amount(name: str) -> Parameter[int]:
    """Describe a parameter that is a decimal text of at least 0; its value is 1e18-scaled."""

    def read(text: str) -> int | None:
        try:
            value_e18 = parse_e18(text)
        except BadNumber:
            return None
        return value_e18 if value_e18 >= 0 else None

    return Parameter(name, "a plain decimal number of at least 0 and at most 18 decimals", read)


def instant(name: str) -> Parameter[int]:
    """Describe a parameter that is an instant of RFC 3339 with its zone; its value is in Unix ms."""

    def read(text: str) -> int | None:
        if not _INSTANT.fullmatch(text):
            return None
        try:
            at = datetime.fromisoformat(text)
            # Floats would round the microseconds of a far future.
            return (at - _UNIX_EPOCH) // timedelta(milliseconds=1) if at >= _UNIX_EPOCH else None
        except (ValueError, OverflowError):
            return None

    return Parameter(name, "an instant with its zone since 1970, such as 2026-01-31T16:00:00Z", read)


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS])
