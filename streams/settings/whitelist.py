"""Whom the legacy protocols serve."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from streams.settings.values import Address, Section


class WhitelistMode(StrEnum):
    """How accounts come onto a whitelist."""

    OPEN = "open"
    MULTIACCOUNT = "multiaccount"
    LIST = "list"


class WhitelistSettings(Section):
    """Which accounts the legacy protocols serve.

    ``open``: all. ``multiaccount``: those that the deployment's MultiAccounts made; it is the default where there are
    such contracts, else ``open`` is. ``list``: those of ``file``, an address a line, and those that were put onto it.
    """

    mode: WhitelistMode | None = None
    file: Path | None = None

    def mode_of(self, multi_accounts: tuple[Address, ...]) -> WhitelistMode:
        """What holds for a deployment with these MultiAccounts."""
        if self.mode is not None:
            return self.mode
        return WhitelistMode.MULTIACCOUNT if multi_accounts else WhitelistMode.OPEN
