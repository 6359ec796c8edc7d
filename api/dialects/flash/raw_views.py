"""Accounts of the venue as JSON: every field, named in camelCase, with keys as base58."""

from __future__ import annotations

from enum import Enum
from typing import Any

from models.flash.solana_keys import key_text

_KEY_BYTES = 32


def raw_view(account: Any) -> dict[str, Any]:  # noqa: ANN401 - one of models.flash.flash_accounts
    """An account's fields. Numbers are numbers, also beyond 53 bits; bytes that are no key are lists of numbers."""
    return {_camel(name): _shown(value) for name, value in account._asdict().items()}


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever fields there are
    match value:
        case Enum():
            return value.name.lower()
        case bytes():
            return key_text(value) if len(value) == _KEY_BYTES else list(value)
        case tuple():
            return raw_view(value) if hasattr(value, "_asdict") else [_shown(one) for one in value]
        case _:
            return value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
