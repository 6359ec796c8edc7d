"""The configuration: a TOML file, then ``TIDEMARK_*`` variables. Nothing else reads the environment.

``TIDEMARK_CONFIG`` names the file. ``TIDEMARK_KAFKA`` sets ``kafka``; nested names are joined by two underscores, such
as ``TIDEMARK_TOPICS__PARTITIONS``. Unknown keys are errors. A value that may hold a node provider's key is a secret.
"""

from streams.settings.api import ApiLimitSettings, ApiSettings, AuthSettings, TokenKeySettings
from streams.settings.deployment import DeploymentSettings, PriceRef
from streams.settings.effective import (
    CONFIG_VARIABLE,
    DEFAULT_SOURCE,
    RECORDED_SOURCE,
    BadSettings,
    Settings,
    load_settings,
    settings_of_file,
)
from streams.settings.freshness import FreshnessSettings
from streams.settings.kafka_client import Bootstrap, KafkaClientSettings, KafkaSaslSettings, KafkaTlsSettings
from streams.settings.prices.binance_source import BinanceSource
from streams.settings.prices.bitfinex_source import BitfinexSource
from streams.settings.prices.price_source import SourceSettings
from streams.settings.processes import IngestSettings, LogSettings, TopicSettings, WorkerSettings
from streams.settings.symmio.funding import FundingSettings
from streams.settings.symmio.solver import LockedParams, SolverSettings, SymbolSettings
from streams.settings.symmio.symmio_settings import SymmioSettings, symmio_deployments
from streams.settings.symmio.whitelist import WhitelistMode, WhitelistSettings

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_SOURCE",
    "RECORDED_SOURCE",
    "ApiLimitSettings",
    "ApiSettings",
    "AuthSettings",
    "BadSettings",
    "BinanceSource",
    "BitfinexSource",
    "Bootstrap",
    "DeploymentSettings",
    "FreshnessSettings",
    "FundingSettings",
    "IngestSettings",
    "KafkaClientSettings",
    "KafkaSaslSettings",
    "KafkaTlsSettings",
    "LockedParams",
    "LogSettings",
    "PriceRef",
    "Settings",
    "SolverSettings",
    "SourceSettings",
    "SymbolSettings",
    "SymmioSettings",
    "TokenKeySettings",
    "TopicSettings",
    "WhitelistMode",
    "WhitelistSettings",
    "WorkerSettings",
    "load_settings",
    "settings_of_file",
    "symmio_deployments",
]
