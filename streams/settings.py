"""Everything that can be set: one TOML file, then ``TIDEMARK_*`` variables. The only reader of the environment.

``TIDEMARK_CONFIG`` names the file; ``TIDEMARK_KAFKA`` is ``kafka``; nested names join with two underscores, such as
``TIDEMARK_TOPICS__PARTITIONS``. Unknown keys are errors. Values that may hold a key of a node provider are secrets.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from models.errors import TidemarkError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

CONFIG_VARIABLE = "TIDEMARK_CONFIG"
_PREFIX = "TIDEMARK_"
# What the frames of a recording are written as: never the name of a venue, whose marks they would be taken for.
RECORDED_SOURCE = "recorded"


class BadSettings(TidemarkError):
    """The configuration is wrong; the message names each key, what was found and what was expected."""


def _lower_address(text: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        msg = f"expected an address of 0x and 40 hex digits, found {text!r}"
        raise ValueError(msg)
    return text.lower()


Address = Annotated[str, AfterValidator(_lower_address)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Port = Annotated[int, Field(ge=0, le=65_535)]  # 0: any free one


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TopicSettings(_Section):
    """How topics are created. ``partitions`` holds for every topic, and so for every table, alike."""

    prefix: str = ""
    partitions: PositiveInt = 8
    replication_factor: PositiveInt = 1


class PriceRef(_Section):
    """One price for a market: a source, that source's symbol, and the age in ms beyond which it is stale."""

    source: Name
    symbol: str
    max_age_ms: PositiveInt = 5_000


class DeploymentSettings(_Section):
    """One SYMMIO Diamond. ``rpc`` endpoints are tried in order; http(s) ones are polled, ws(s) ones subscribed to.

    ``finality_depth`` is in blocks: a reorganisation deeper than that stops ingest. ``start_block`` is where backfill
    begins. ``markets`` maps a symbol's name on chain to its prices in order of preference; a name not listed is looked
    for under the same name at each of ``default_sources``.
    """

    chain_id: PositiveInt
    diamond: Address
    multi_accounts: tuple[Address, ...] = ()
    hedgers: tuple[Address, ...] = ()
    rpc: tuple[SecretStr, ...] = ()
    start_block: int | None = None
    finality_depth: PositiveInt = 64
    poll_interval_ms: PositiveInt = 1_000
    default_sources: tuple[Name, ...] = ("binance-futures", "binance-futures-book")
    default_max_age_ms: PositiveInt = 5_000
    markets: dict[str, tuple[PriceRef, ...]] = {}

    def prices_of(self, name: str) -> tuple[PriceRef, ...]:
        """Where the price of the market ``name`` comes from, in order of preference."""
        if name in self.markets:
            return self.markets[name]
        return tuple(
            PriceRef(source=source, symbol=name, max_age_ms=self.default_max_age_ms) for source in self.default_sources
        )


class SourceSettings(_Section):
    """One price venue.

    A source called NAME writes marks as ``NAME:SYMBOL`` and middles of the book as ``NAME-book:SYMBOL``.
    """

    kind: Literal["binance-futures"] = "binance-futures"
    websocket: str = "wss://fstream.binance.com/market"
    rest: str = "https://fapi.binance.com"
    book_symbols: tuple[str, ...] = ()
    silent_after_ms: PositiveInt = 5_000


class WorkerSettings(_Section):
    """The Faust worker. ``flush_ms`` is the shortest time between two flushes of a partition's valuations.

    A row that nobody watches is written when its uPnL moved by ``deadband_bps`` of its notional, and when it is out of
    date for longer than a fifth of the worker's time needs for all rows, but ``unwatched_max_age_s`` at most.
    ``slice_records`` bounds the records that an agent is handed at once. ``standby_replicas`` other workers keep the
    rows of each partition, so that a takeover does not read whole changelogs; every worker needs the same number.
    """

    store: Literal["memory", "rocksdb"] = "memory"
    flush_ms: PositiveInt = 5
    deadband_bps: NonNegativeInt = 5
    unwatched_max_age_s: PositiveInt = 60
    slice_records: PositiveInt = 5_000
    standby_replicas: NonNegativeInt = 1
    instance_id: str | None = None
    admin_host: str = "127.0.0.1"
    admin_port: Port = 9_101


class IngestSettings(_Section):
    """The ingest processes; each serves ``/metrics`` on its admin port."""

    admin_host: str = "127.0.0.1"
    admin_port: Port = 9_103


class ApiSettings(_Section):
    """The aiohttp layer. ``upnl_as_number``: ``/partyA_upnl`` answers a JSON number instead of a decimal string."""

    host: str = "127.0.0.1"
    port: Port = 8_080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 9_102
    upnl_as_number: bool = False
    max_lag_ms: PositiveInt = 10_000


class BrokerSettings(_Section):
    """The embedded broker, used where ``kafka`` is not set; ``jars`` is the directory its jars are fetched into."""

    port: Port = 9_092
    jars: Path = Path(".kafka/libs")


class Settings(BaseSettings):
    """The effective configuration. ``epoch`` names a rebuild of all tables; ``kafka`` are bootstrap servers."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    epoch: PositiveInt = 1
    kafka: str | None = None
    data_dir: Path = Path(".tidemark")
    topics: TopicSettings = TopicSettings()
    deployments: dict[Name, DeploymentSettings] = {}
    sources: dict[Name, SourceSettings] = {}
    ingest: IngestSettings = IngestSettings()
    worker: WorkerSettings = WorkerSettings()
    api: ApiSettings = ApiSettings()
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
        """Order of precedence: arguments, environment, file."""
        path = os.environ.get(CONFIG_VARIABLE)
        file = (TomlConfigSettingsSource(settings_cls, Path(path)),) if path else ()
        return (init_settings, env_settings, *file)

    @property
    def bootstrap(self) -> str:
        """Bootstrap servers of the cluster.

        Raises:
            BadSettings: ``kafka`` is not set.
        """
        if self.kafka is None:
            msg = "kafka: expected bootstrap servers, found nothing; set TIDEMARK_KAFKA, or use `tidemark up`"
            raise BadSettings(msg)
        return self.kafka

    @property
    def app_id(self) -> str:
        """Name of the Faust app and its consumer group; part of every changelog's name."""
        return f"{self.topics.prefix}tidemark-{self.epoch}"


def load_settings(**overrides: object) -> Settings:
    """Read the configuration.

    Raises:
        BadSettings: A key or variable is unknown, a value is not what it should be, a deployment names a source that is
            not configured, or the file is missing.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if path and not Path(path).is_file():
        msg = f"expected a configuration file at {path} ({CONFIG_VARIABLE}), found none"
        raise BadSettings(msg)
    _refuse_unknown_variables()
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BadSettings("\n".join(_said(e) for e in error.errors())) from error
    except tomllib.TOMLDecodeError as error:
        msg = f"expected TOML in {path}, found a fault: {error}"
        raise BadSettings(msg) from error
    except SettingsError as error:
        msg = f"expected JSON for a list or table in a {_PREFIX}* variable, found a fault: {error}"
        raise BadSettings(msg) from error
    _refuse_unknown_sources(settings)
    return settings


def _refuse_unknown_variables() -> None:
    """Pydantic passes over a variable whose first part is no field; a misspelt one would be without effect."""
    fields = set(Settings.model_fields)
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name != CONFIG_VARIABLE:
            field = name.removeprefix(_PREFIX).partition("__")[0].lower()
            if field not in fields:
                msg = f"{name}: expected one of {', '.join(sorted(fields))} after {_PREFIX}, found {field}"
                raise BadSettings(msg)


def _refuse_unknown_sources(settings: Settings) -> None:
    """A misspelt source never gets a price. Where none is configured at all, ``tidemark up`` adds what is needed."""
    if not settings.sources:
        return
    known = {form for name in (*settings.sources, RECORDED_SOURCE) for form in (name, f"{name}-book")}
    for name, deployment in settings.deployments.items():
        where = {f"default_sources.{number}": source for number, source in enumerate(deployment.default_sources)}
        for market, refs in deployment.markets.items():
            where |= {f"markets.{market}.{number}.source": ref.source for number, ref in enumerate(refs)}
        for key, source in where.items():
            if source not in known:
                msg = (
                    f"deployments.{name}.{key}: expected one of {', '.join(sorted(known))}, found {source!r}; "
                    "correct it, or add its [sources.NAME] section"
                )
                raise BadSettings(msg)


def _said(error: ErrorDetails) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "value_error":
        # A validator of ours: it has said what it found.
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    # Endpoints carry the keys of node providers; a table that holds a misplaced one is not shown either.
    hidden = "rpc" in error["loc"] or isinstance(error["input"], dict)
    return f"{key}: {error['msg']}" if hidden else f"{key}: {error['msg']}, found {error['input']!r}"
