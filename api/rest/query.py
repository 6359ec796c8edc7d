"""Query parameters, read strictly: what is not known, given twice, or malformed is refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T_co]):
    """A parameter: what is expected of it, and how its text is read; None where it is not that."""

    name: str
    expected: str
    read: Callable[[str], T_co | None]


class Query:
    """The parameters of a request, all of which are known and none of which stands twice.

    Raises:
        Problem: It is not so.
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
        """The parameter's value, None where it is not given.

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
    """The problem of a parameter that is not what it should be."""
    return Problem(BAD_PARAMETER, f"{name}: expected {expected}, found {_shown(found)}", name)


def whole(name: str, least: int, most: int) -> Parameter[int]:
    """A whole number from ``least`` to ``most``; only a negative one has a sign."""

    def read(text: str) -> int | None:
        digits = text.removeprefix("-") if least < 0 else text
        if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(most))):
            return None
        value = int(text)
        return value if least <= value <= most else None

    return Parameter(name, f"a whole number from {least} to {most}", read)


def choice(name: str, values: Collection[str]) -> Parameter[str]:
    """One of ``values``."""
    return Parameter(name, f"one of {', '.join(values)}", lambda text: text if text in values else None)


def flag(name: str) -> Parameter[bool]:
    """``true`` or ``false``."""
    return Parameter(name, "true or false", {"true": True, "false": False}.get)


def address(name: str) -> Parameter[str]:
    """An address in any case; its value is in lower case."""
    expected = "0x and 40 hex digits"
    return Parameter(name, expected, lambda text: text.lower() if _ADDRESS.fullmatch(text) else None)


def amount(name: str) -> Parameter[int]:
    """A decimal text of at least 0; its value is 1e18-scaled."""

    def read(text: str) -> int | None:
        try:
            value_e18 = parse_e18(text)
        except BadNumber:
            return None
        return value_e18 if value_e18 >= 0 else None

    return Parameter(name, "a plain decimal number of at least 0 and at most 18 decimals", read)


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS])
