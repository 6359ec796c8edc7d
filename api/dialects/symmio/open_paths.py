"""``deployments.NAME.open_paths``: legacy paths that the operator opens to clients that can send no token."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.access.tokens import Principal, whole
from streams.settings import BadSettings, symmio_deployments

if TYPE_CHECKING:
    from collections.abc import Collection

    from api.dialects.symmio.whitelist import Whitelist
    from streams.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listed(Principal):
    """Everybody, who may read the accounts of one deployment that are on its whitelist."""

    deployment: str
    whitelist: Whitelist

    def may_read(self, key: str) -> bool:
        deployment, _, address = key.lower().partition(":")
        return deployment == self.deployment and self.whitelist.allows(deployment, address)


class OpenPaths:
    """Tells what everybody may read without a token.

    Args:
        settings: Name the paths of each deployment that are open.
        known: Names of the endpoints that may be opened.
        whitelist: Tells which accounts are served.

    Raises:
        BadSettings: A path is none that may be opened.
    """

    def __init__(self, settings: Settings, known: Collection[str], whitelist: Whitelist) -> None:
        self._open = {name: frozenset(one.open_paths) for name, one in symmio_deployments(settings).items()}
        self._whitelist = whitelist
        for name, paths in self._open.items():
            if unknown := sorted(paths - set(known)):
                msg = (
                    f"deployments.{name}.open_paths: expected some of {', '.join(sorted(known))}, "
                    f"found {', '.join(unknown)}"
                )
                raise BadSettings(msg)
            if paths and settings.auth.mode != "open":
                logger.warning(
                    "paths are open to everybody without a token deployment=%s open_paths=%s",
                    name,
                    ",".join(sorted(paths)),
                )

    def stranger(self, deployment: str, path: str, *, asks_whitelist: bool) -> Principal | None:
        """Return as whom somebody without a token may read; None where that is not open.

        Args:
            deployment: The deployment that the request is for.
            path: The endpoint's name.
            asks_whitelist: Whether the endpoint asks the whitelist itself before it shows an account.
        """
        if path not in self._open[deployment]:
            return None
        everything = frozenset({whole(deployment)})
        if asks_whitelist:
            return Principal("", everything, None)
        return _Listed("", everything, None, deployment, self._whitelist)
