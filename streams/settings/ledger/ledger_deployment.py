"""Settings of a ledger's deployment: where its prices come from, and who may write its records over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from models.ledger.ledger_venue import LEDGER as VENUE
from streams.settings.deployment import DeploymentSettings
from streams.settings.values import IngestKey
from streams.settings.venues import VenuePackage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings.effective import Settings


class LedgerDeploymentSettings(DeploymentSettings):
    """One ledger. A client that sends ``ingest_key`` may write its records over HTTP; without it nobody may.

    What values its positions, such as fees and margin tiers, is said in the topic ``ledger-settings``.
    """

    kind: Literal["ledger"] = "ledger"
    ingest_key: IngestKey | None = None


LEDGER = VenuePackage(VENUE, LedgerDeploymentSettings)
"""The venue, as it is built in."""


def ledger_deployments(settings: Settings) -> Mapping[str, LedgerDeploymentSettings]:
    """The ledgers of a configuration, by name."""
    return {name: one for name, one in settings.deployments.items() if isinstance(one, LedgerDeploymentSettings)}
