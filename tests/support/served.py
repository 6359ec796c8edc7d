"""Deployments as a configuration has them, of which only the names matter."""

from __future__ import annotations

from streams.settings import SymmioSettings


def served(*names: str) -> dict[str, SymmioSettings]:
    """SYMMIO deployments of these names."""
    return {name: SymmioSettings(chain_id=1, diamond="0x" + "d1" * 20) for name in names}
