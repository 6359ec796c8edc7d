"""The settings that figures follow from, under a name that rows give: a hash of what they say."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings.deployment import DeploymentSettings
    from streams.settings.effective import Settings

# 64 bits: among a million configurations, two have one name with a chance of 3e-8.
_NAME_BYTES = 8


def figure_settings(name: str, deployment: DeploymentSettings) -> bytes:
    """The settings of a deployment that change figures, as canonical JSON; no secret and no endpoint is among them.

    Args:
        name: The deployment.
        deployment: Its settings.
    """
    chosen = deployment.model_dump(mode="json", include=set(deployment.figure_fields))
    return orjson.dumps({"deployment": name, **chosen}, option=orjson.OPT_SORT_KEYS)


def name_of(figures: bytes) -> str:
    """The name under which rows and the topic ``figure-settings`` know such settings."""
    return hashlib.blake2b(figures, digest_size=_NAME_BYTES).hexdigest()


def all_figure_settings(settings: Settings) -> Mapping[str, bytes]:
    """Those of every deployment, by their names."""
    figures = (figure_settings(name, deployment) for name, deployment in settings.deployments.items())
    return {name_of(one): one for one in figures}
