"""Settings of the accounts that the legacy protocols serve."""

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

    In mode ``open`` they serve all accounts, in mode ``multiaccount`` those that the deployment's MultiAccounts made,
    and in mode ``list`` those in ``file``, one address a line, and those that were put onto the list. The default is
    ``multiaccount`` where the deployment has such contracts, else ``open``.
    """

    mode: WhitelistMode | None = None
    file: Path | None = None

    def mode_of(self, multi_accounts: tuple[Address, ...]) -> WhitelistMode:
        """Find the mode of a deployment with these MultiAccounts."""
        if self.mode is not None:
            return self.mode
        return WhitelistMode.MULTIACCOUNT if multi_accounts else WhitelistMode.OPEN
