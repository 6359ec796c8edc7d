"""Keys of ``served``, the topic that keeps for a time what was shown, and what it was made from.

Beside the rows of ``valuations``, under the accounts' own keys, it has what is no row of an account: its key begins
with ``:``, which no deployment's name does.
"""

from __future__ import annotations

_TOTALS = b":totals:"


def totals_key(deployment: str) -> bytes:
    """Key of one partition's part of a deployment's totals; each partition has its own."""
    return _TOTALS + deployment.encode()


def deployment_of_totals(key: bytes) -> str | None:
    """The deployment whose totals a record is a part of; None where it is of something else."""
    return key.removeprefix(_TOTALS).decode() if key.startswith(_TOTALS) else None


def is_of_account(key: bytes) -> bool:
    """Whether a record is a row of an account's valuation."""
    return not key.startswith(b":")
