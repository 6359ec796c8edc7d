"""The forms of key that channels have: each function turns what a client wrote into the one spelling that is served."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from streams.settings import DeploymentSettings

# A key is kept in memory while it is subscribed to: without a bound, clients could have whole messages kept.
_NAMED = re.compile(r"[a-z0-9][a-z0-9-]*:[^\s\x00-\x1f]{1,60}")


def canonical_account_key(text: str, deployments: Mapping[str, DeploymentSettings]) -> str | None:
    """Read ``<deployment>:<account>``, as the deployment's venue spells it; None unless the deployment is served."""
    written, _, account = text.partition(":")
    name = written.lower()
    deployment = deployments.get(name)
    spelt = None if deployment is None else deployment.account_id(account)
    return None if spelt is None else f"{name}:{spelt}"


def canonical_market_key(text: str, deployments: Collection[str]) -> str | None:
    """Read ``<deployment>:<market's name>``; None unless the deployment is one of ``deployments``."""
    return text if _NAMED.fullmatch(text) is not None and _deployment_of(text) in deployments else None


def canonical_mark_key(text: str, _deployments: Collection[str]) -> str | None:
    """Read ``<source>:<SYMBOL>``; every source and symbol of that form is a key, whether or not it has a price."""
    return text if _NAMED.fullmatch(text) is not None else None


def canonical_deployment_key(text: str, deployments: Collection[str]) -> str | None:
    """Read a deployment's name; None unless it is one of ``deployments``."""
    return text if text in deployments else None


def _deployment_of(key: str) -> str:
    return key.partition(":")[0]
