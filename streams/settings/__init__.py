"""Everything that can be set: one TOML file, then ``TIDEMARK_*`` variables. The only reader of the environment.

``TIDEMARK_CONFIG`` names the file; ``TIDEMARK_KAFKA`` is ``kafka``; nested names join with two underscores, such as
``TIDEMARK_TOPICS__PARTITIONS``. Unknown keys are errors. Values that may hold a key of a node provider are secrets.
"""

from streams.settings.api import ApiLimitSettings, ApiSettings, AuthSettings, TokenKeySettings
from streams.settings.deployment import DeploymentSettings, PriceRef
from streams.settings.effective import CONFIG_VARIABLE, RECORDED_SOURCE, BadSettings, Settings, load_settings
from streams.settings.funding import FundingSettings
from streams.settings.processes import IngestSettings, SourceSettings, TopicSettings, WorkerSettings
from streams.settings.solver import LockedParams, SolverSettings, SymbolSettings
from streams.settings.whitelist import WhitelistMode, WhitelistSettings

__all__ = [
    "CONFIG_VARIABLE",
    "RECORDED_SOURCE",
    "ApiLimitSettings",
    "ApiSettings",
    "AuthSettings",
    "BadSettings",
    "DeploymentSettings",
    "FundingSettings",
    "IngestSettings",
    "LockedParams",
    "PriceRef",
    "Settings",
    "SolverSettings",
    "SourceSettings",
    "SymbolSettings",
    "TokenKeySettings",
    "TopicSettings",
    "WhitelistMode",
    "WhitelistSettings",
    "WorkerSettings",
    "load_settings",
]
