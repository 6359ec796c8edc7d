"""The effective configuration, and the function that reads it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, PositiveInt, SerializeAsAny, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from models.errors import TidemarkError
from models.ids import canonical_id, is_account_id
from streams.settings.api import ApiSettings, AuthSettings
from streams.settings.deployment import DeploymentSettings
from streams.settings.dialects import DialectSettings, UnreadDialect
from streams.settings.faults import faults, read_by_kind
from streams.settings.kafka_client import Bootstrap, KafkaClientSettings
from streams.settings.known_keys import meant
from streams.settings.prices.price_source import DEFAULT_KIND as DEFAULT_PRICES
from streams.settings.prices.price_source import SourceSettings, UnavailableSource, price_package
from streams.settings.processes import BrokerSettings, IngestSettings, LogSettings, TopicSettings, WorkerSettings
from streams.settings.values import Name
from streams.settings.venues import DEFAULT_KIND, package_of
from streams.settings.webhooks import WebhookSettings

CONFIG_VARIABLE = "TIDEMARK_CONFIG"
_PREFIX = "TIDEMARK_"
# The source that a local stack follows where none is configured.
DEFAULT_SOURCE = "binance-futures"
# The source of a recording's frames. Under a venue's name they would be taken for the venue's own marks.
RECORDED_SOURCE = "recorded"


class BadSettings(TidemarkError):
    """The configuration is wrong; the message names each key, what was found and what was expected."""


class UnavailableDeployment(DeploymentSettings):
    """A deployment of a kind that is not installed here: nothing of it is checked, folded, valued or served."""

    model_config = ConfigDict(extra="ignore")

    def account_id(self, text: str) -> str | None:
        """The id as it is written: how its venue would spell it is not known, and rows of before are found by it."""
        account = canonical_id(text)
        return account if is_account_id(account) else None


def _by_kind(section: object) -> object:
    """Read a deployment's section by the settings of its kind; a section without a kind is of the default one."""
    if not isinstance(section, dict):
        return section
    kind = section.get("kind", DEFAULT_KIND)
    package = package_of(kind) if isinstance(kind, str) else None
    if package is None:
        return UnavailableDeployment.model_validate(section)
    return read_by_kind(section, package.settings)


def _source_by_kind(section: object) -> object:
    """Read a source's section by the settings of its kind; a section without a kind is of the default one."""
    if not isinstance(section, dict):
        return section
    kind = section.get("kind", DEFAULT_PRICES)
    package = price_package(kind) if isinstance(kind, str) else None
    return read_by_kind(section, UnavailableSource if package is None else package.settings)


def _unread(section: object) -> object:
    """Keep a dialect's section as it is written: the api's packages, which read it, are not imported here."""
    return UnreadDialect.model_validate(section) if isinstance(section, dict) else section


class Settings(BaseSettings):
    """The effective configuration. ``epoch`` names a rebuild of all tables; ``kafka`` are bootstrap servers."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    epoch: PositiveInt = 1
    kafka: str | None = None
    kafka_client: KafkaClientSettings = KafkaClientSettings()
    data_dir: Path = Path(".tidemark")
    topics: TopicSettings = TopicSettings()
    deployments: dict[Name, SerializeAsAny[Annotated[DeploymentSettings, BeforeValidator(_by_kind)]]] = {}
    sources: dict[Name, SerializeAsAny[Annotated[SourceSettings, BeforeValidator(_source_by_kind)]]] = {}
    dialects: dict[Name, SerializeAsAny[Annotated[DialectSettings, BeforeValidator(_unread)]]] = {}
    webhooks: dict[Name, WebhookSettings] = {}
    ingest: IngestSettings = IngestSettings()
    worker: WorkerSettings = WorkerSettings()
    api: ApiSettings = ApiSettings()
    auth: AuthSettings = AuthSettings()
    log: LogSettings = LogSettings()
    broker: BrokerSettings = BrokerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the sources of settings in their order of precedence: arguments, environment, file.

        Args:
            settings_cls: The class of the settings.
            init_settings: Arguments of the constructor.
            env_settings: Variables of the environment.
            dotenv_settings: Not used.
            file_secret_settings: Not used.
        """
        path = os.environ.get(CONFIG_VARIABLE)
        file = (TomlConfigSettingsSource(settings_cls, Path(path)),) if path else ()
        return (init_settings, env_settings, *file)

    @property
    def bootstrap(self) -> Bootstrap:
        """How the cluster is reached.

        Raises:
            BadSettings: ``kafka`` is not set.
        """
        if self.kafka is None:
            msg = (
                "kafka: expected bootstrap servers, found nothing; set TIDEMARK_KAFKA, or use `tidemark up`, "
                f"whose data would be in {self.data_dir}"
            )
            raise BadSettings(msg)
        return Bootstrap(self.kafka, self.kafka_client)

    def fresh_ms_of(self, source: str) -> int:
        """How old the newest mark of a source may be, in ms; the same holds for the middles of its book."""
        known = self.sources.get(source.removesuffix("-book"))
        return SourceSettings().silent_after_ms if known is None else known.silent_after_ms

    @property
    def app_id(self) -> str:
        """The name of the Faust app and of its consumer group, which is part of every changelog's name."""
        return f"{self.topics.prefix}tidemark-{self.epoch}"


class _OfFile(Settings):
    """The same, of nothing but what it is made from."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Heed neither the environment nor the file that it names.

        Args:
            settings_cls: The class of the settings.
            init_settings: Arguments of the constructor.
            env_settings: Not used.
            dotenv_settings: Not used.
            file_secret_settings: Not used.
        """
        return (init_settings,)


def settings_of_file(path: Path) -> Settings:
    """Read a configuration from a file alone, as a process does that is given no variables.

    Raises:
        BadSettings: The file cannot be read, is no TOML, or a key or value in it is wrong.
    """
    try:
        settings = _OfFile(**tomllib.loads(path.read_text()))
    except OSError as error:
        msg = f"expected a configuration file at {path}, found none that can be read: {error.strerror}"
        raise BadSettings(msg) from error
    except tomllib.TOMLDecodeError as error:
        msg = f"expected TOML in {path}, found a fault: {error}"
        raise BadSettings(msg) from error
    except ValidationError as error:
        raise BadSettings(faults(error, Settings)) from error
    return settings


def load_settings(**overrides: object) -> Settings:
    """Read the configuration.

    Raises:
        BadSettings: A key or variable is unknown, a value is wrong, a deployment names a source that is not configured,
            or the file is missing.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if path and not Path(path).is_file():
        msg = f"expected a configuration file at {path} ({CONFIG_VARIABLE}), found none"
        raise BadSettings(msg)
    _refuse_unknown_variables()
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BadSettings(faults(error, Settings)) from error
    except tomllib.TOMLDecodeError as error:
        msg = f"expected TOML in {path}, found a fault: {error}"
        raise BadSettings(msg) from error
    except SettingsError as error:
        msg = f"expected JSON for a list or table in a {_PREFIX}* variable, found a fault: {error}"
        raise BadSettings(msg) from error
    _refuse_unknown_sources(settings)
    _refuse_unknown_deployments(settings)
    return settings


def _refuse_unknown_variables() -> None:
    """Refuse a variable that names no setting: Pydantic ignores it, so a misspelt one would have no effect."""
    fields = set(Settings.model_fields)
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name != CONFIG_VARIABLE:
            field = name.removeprefix(_PREFIX).partition("__")[0].lower()
            if field not in fields:
                msg = f"{name}: expected a setting's name after {_PREFIX}, found {field}; {meant(field, fields)}"
                raise BadSettings(msg)


def _refuse_unknown_deployments(settings: Settings) -> None:
    """Refuse a dialect or webhook on a deployment that is not configured, which would show or send nothing of it."""
    named = {f"dialects.{name}": one.deployments for name, one in settings.dialects.items()}
    named |= {f"webhooks.{name}": one.deployments for name, one in settings.webhooks.items()}
    for section, deployments in named.items():
        for deployment in deployments:
            if deployment not in settings.deployments:
                found = meant(deployment, settings.deployments)
                msg = f"{section}.deployments: expected names of deployments, found {deployment!r}; {found}"
                raise BadSettings(msg)


def _refuse_unknown_sources(settings: Settings) -> None:
    """Refuse a source that is not configured, which would never get a price.

    Where no source is configured at all, there is the one that ``tidemark up`` adds.
    """
    names = (*(settings.sources or (DEFAULT_SOURCE,)), RECORDED_SOURCE)
    known = {form for name in names for form in (name, f"{name}-book")}
    for name, deployment in settings.deployments.items():
        where = {f"default_sources.{number}": source for number, source in enumerate(deployment.default_sources)}
        for market, refs in deployment.markets.items():
            where |= {f"markets.{market}.{number}.source": ref.source for number, ref in enumerate(refs)}
        for key, source in where.items():
            if source not in known:
                msg = (
                    f"deployments.{name}.{key}: expected one of {', '.join(sorted(known))}, found {source!r}; "
                    f"correct it, or add its section, [sources.{source.removesuffix('-book')}]"
                )
                raise BadSettings(msg)
