"""JSON schemas of what a ledger's producers write: one for each kind of record, and for each kind of settings."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from models.ledger.ledger_records import LedgerRecord
from models.ledger.ledger_settings import CurrencySettings, SymbolSettings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = 1
"""The version of the format, which every record says as ``v``; another one has schemas of its own beside these."""


def ledger_schemas() -> dict[str, dict[str, Any]]:
    """Make every schema, by the name of what it describes: a record's ``kind``, or ``settings-…``."""
    kinds = {str(one.__struct_config__.tag): one for one in get_args(LedgerRecord)}
    kinds |= {"settings-currency": CurrencySettings, "settings-symbol": SymbolSettings}
    return {name: {"$schema": _DIALECT, **msgspec.json.schema(kind)} for name, kind in sorted(kinds.items())}
