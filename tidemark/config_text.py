"""The effective configuration as TOML: with secrets hidden for people, and with them for child processes."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from api.dialects.mounting import dialect_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings import Settings
    from streams.settings.dialects import DialectSettings


def effective_toml(settings: Settings, *, reveal_secrets: bool = False) -> str:
    """Write every setting that is set as TOML, from which the same settings would be read.

    Args:
        settings: The settings.
        reveal_secrets: Whether secrets are written; else they are hidden.
    """
    values = settings.model_dump()
    if not reveal_secrets:
        values["dialects"] = {name: _known(section) for name, section in settings.dialects.items()}
    return "\n".join(_table(values, (), reveal_secrets=reveal_secrets)).strip() + "\n"


def _known(section: DialectSettings) -> dict[str, Any]:
    """A dialect's section with its defaults, if its kind is installed; only then it is known what is no secret."""
    package = dialect_of(section.kind)
    with suppress(ValidationError):
        if package is not None:
            return package.settings.model_validate(section.model_dump()).model_dump()
    extra = dict.fromkeys(section.model_extra or {}, SecretStr("unknown"))
    return {"kind": section.kind, "deployments": section.deployments, **extra}


def _table(values: Mapping[str, Any], path: tuple[str, ...], *, reveal_secrets: bool) -> list[str]:
    lines = ["", f"[{'.'.join(map(_key, path))}]"] if path else []
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines += [
        f"{_key(key)} = {_value(value, reveal_secrets=reveal_secrets)}"
        for key, value in values.items()
        if key not in tables and value is not None
    ]
    for key, value in tables.items():
        if value:
            lines += _table(value, (*path, key), reveal_secrets=reveal_secrets)
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value: object, *, reveal_secrets: bool) -> str:
    match value:
        case SecretStr():
            return json.dumps(value.get_secret_value() if reveal_secrets else str(value))
        case bool() | int() | float():
            return json.dumps(value)
        case str() | Path() | Decimal():
            return json.dumps(str(value))
        case tuple() | list():
            return f"[{', '.join(_value(item, reveal_secrets=reveal_secrets) for item in value)}]"
        case dict():
            items = (f"{_key(k)} = {_value(v, reveal_secrets=reveal_secrets)}" for k, v in value.items())
            return f"{{ {', '.join(items)} }}"
        case _:
            msg = f"expected a value TOML can hold, found {type(value).__name__}"
            raise TypeError(msg)
