"""What the fold is told of a SYMMIO deployment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SymmioDeployment:
    """What the fold is told of a deployment.

    ``diamond`` and ``multi_accounts`` are the addresses whose logs make it up, in any case. ``states`` says of which of
    its logs position states are made: ``off``, ``gaps`` or ``on``.
    """

    diamond: str
    multi_accounts: frozenset[str] = frozenset()
    states: str = "off"
