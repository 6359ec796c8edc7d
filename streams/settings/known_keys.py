"""What somebody who wrote an unknown name in the configuration probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def meant(wrong: str, known: Iterable[str]) -> str:
    """Say which known name is most like a wrong one, as a message goes on; where none is like it, which there are."""
    names = sorted(known)
    close = get_close_matches(wrong, names, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names) or 'none'}"


def keys_beside(root: type[BaseModel], where: Sequence[str | int]) -> list[str]:
    """List the keys of the section in which an unknown key was found.

    Args:
        root: The whole configuration.
        where: The path to the unknown key, with its own name at the end, as pydantic says it.
    """
    section = root
    parts = iter(where[:-1])
    for part in parts:
        field = section.model_fields.get(str(part))
        inner = None if field is None else _section_in(field.annotation)
        if field is None or inner is None:
            return []
        section = inner
        for _ in range(_depth_of(field.annotation)):
            # The next part is a name or a number among several.
            next(parts, None)
    return list(section.model_fields)


def is_secret(root: type[BaseModel], where: Sequence[str | int]) -> bool:
    """Whether what stands somewhere is a secret, or is one of several that are.

    Args:
        root: The whole configuration, or the settings of a kind.
        where: The path, as pydantic says it.
    """
    section: type[BaseModel] | None = root
    parts = iter(where)
    for part in parts:
        field = None if section is None else section.model_fields.get(str(part))
        if field is None:
            return False
        if _is_of_secrets(field.annotation):
            return True
        section = _section_in(field.annotation)
        for _ in range(_depth_of(field.annotation)):
            # The next part is a name or a number among several.
            next(parts, None)
    return False


def _is_of_secrets(kind: object) -> bool:
    is_one = isinstance(kind, type) and issubclass(kind, SecretStr | SecretBytes)
    return is_one or any(map(_is_of_secrets, get_args(kind)))


def _section_in(kind: object) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for one in get_args(kind) if (found := _section_in(one)) is not None), None)


def _depth_of(kind: object) -> int:
    """How many tables and lists lie around a section."""
    origin = get_origin(kind)
    is_many = isinstance(origin, type) and issubclass(origin, Mapping | tuple)
    return is_many + max(map(_depth_of, get_args(kind)), default=0)
