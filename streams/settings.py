"""Everything that can be set: one TOML file, then ``TIDEMARK_*`` variables. The only reader of the environment.

``TIDEMARK_CONFIG`` names the file; ``TIDEMARK_KAFKA`` is ``kafka``; nested names join with two underscores, such as
``TIDEMARK_TOPICS__PARTITIONS``. Unknown keys are errors. Values that may hold a key of a node provider are secrets.
"""

from __future__ import annotations

import os
import re
import tomllib
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from models.errors import TidemarkError
from models.symmio.funding_plan import ChargeOn, When

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


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        msg = f"expected an address or network such as 10.0.0.0/8, found {text!r}: {error}"
        raise ValueError(msg) from error


def _origin(text: str) -> str:
    origin = text.lower()
    if origin != "*" and not re.fullmatch(r"https?://[^/?#@*\s]+", origin):
        msg = f"expected * or an origin such as https://app.example, found {text!r}"
        raise ValueError(msg)
    return origin


def _host(text: str) -> str:
    host = text.lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", host):
        msg = f"expected the name of a host such as hedger.example, found {text!r}"
        raise ValueError(msg)
    return host


def _http_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s?#]+", text):
        msg = f"expected a URL such as http://engine:8000, found {text!r}"
        raise ValueError(msg)
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(_lower_address)]
Host = Annotated[str, AfterValidator(_host)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Amount = Annotated[Decimal, Field(ge=0, max_digits=60, decimal_places=18)]
Percent = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)]
Leverage = Annotated[Decimal, Field(ge=1, le=1_000, decimal_places=2)]
Band = Annotated[Decimal, Field(gt=0, lt=1, decimal_places=18)]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, AfterValidator(_origin)]
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


class FundingSettings(_Section):
    """What is charged for funding, and by whom; ``tidemark funder`` needs ``party_b``, ``muon`` and a key.

    A side that gets funding gets ``share`` of what the other one pays; no rate is above ``max_rate``, a fraction an
    epoch. ``scale`` takes the exchange's rate times the epoch over the exchange's interval. ``party_b`` is charged for:
    the signer's own address, or a contract that forwards the signer's calls. ``muon`` is the URL of a gateway.
    ``batch`` quotes go into a transaction, and up to ``concurrency`` accounts are charged side by side. A transaction
    that is not mined ``replace_after_s`` after it was signed is replaced by one with higher fees.
    """

    party_b: Address | None = None
    key: SecretStr | None = None
    key_file: Path | None = None
    muon: SecretStr | None = None
    batch: PositiveInt = 30
    charge_on: ChargeOn = ChargeOn.MARK
    share: Annotated[Decimal, Field(ge=0, le=1, decimal_places=18)] = Decimal("0.75")
    max_rate: Annotated[Decimal, Field(gt=0, le=1, decimal_places=18)] = Decimal("0.01")
    scale: bool = True
    when: When = When.AFTER
    concurrency: PositiveInt = 8
    replace_after_s: PositiveFloat = 15.0

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.key is not None and self.key_file is not None:
            msg = "expected key or key_file, found both"
            raise ValueError(msg)
        return self


class LockedParams(_Section):
    """What is locked of a margin at leverages up to ``leverage``, in percent of it.

    ``cva`` and ``lf`` are the credit valuation adjustment and the liquidation fee; party A's maintenance margin is the
    rest, so that the three are 100. ``party_b_mm`` is what party B locks as its own.
    """

    leverage: Leverage
    cva: Percent
    lf: Percent
    party_b_mm: Percent = Decimal(0)

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.cva + self.lf > 100:  # noqa: PLR2004 - percent
            msg = f"expected cva and lf to be 100 at most, found {self.cva + self.lf}"
            raise ValueError(msg)
        return self


LockedTable = Annotated[tuple[LockedParams, ...], Field(min_length=1)]

# A margin of 1/L of the notional locks 2/3 % of the notional as cva and 1/3 % as the liquidation fee, whatever L is.
_LOCKED = tuple(
    LockedParams(leverage=Decimal(leverage), cva=Decimal(2 * leverage // 3), lf=Decimal(leverage // 3))
    for leverage in (3, 6, 9, 12, 15, 21, 30, 45, 60, 75, 90)
)


class SymbolSettings(_Section):
    """What a solver offers in a symbol. Amounts are in the collateral, fees and bands are fractions.

    ``cap`` bounds what may be open of the symbol in all, ``max_notional_value`` one quote. Limit orders are taken
    within ``price_band`` of the mark. ``max_leverage`` is the chain's where it is not set. ``max_funding_rate`` is what
    frontends put into quotes as the most that they may be charged. ``locked`` says what is locked at which leverage:
    the row of the nearest leverage at or above holds.
    """

    cap: Amount = Decimal(2_100_000)
    max_notional_value: Amount = Decimal(2_100_000)
    max_leverage: Leverage | None = None
    price_band: Band = Decimal("0.5")
    hedger_fee_open: Amount = Decimal("0.0006")
    hedger_fee_close: Amount = Decimal("0.0006")
    max_funding_rate: Amount = Decimal(200)
    rfq_allowed: bool = True
    locked: LockedTable = _LOCKED


class SymbolOverrides(_Section):
    """The same of one symbol, as far as it is not as the others'."""

    cap: Amount | None = None
    max_notional_value: Amount | None = None
    max_leverage: Leverage | None = None
    price_band: Band | None = None
    hedger_fee_open: Amount | None = None
    hedger_fee_close: Amount | None = None
    max_funding_rate: Amount | None = None
    rfq_allowed: bool | None = None
    locked: LockedTable | None = None


class SolverSettings(_Section):
    """What a solver says of itself to frontends.

    ``open_interest_cap`` bounds what may be open of all symbols together. ``count_pending``: what is used of caps
    counts quotes that are not opened yet too. ``balance_list``: ``get_balance_info`` answers a list. ``upstream`` is
    the solver's own engine, to which what concerns trading is forwarded. ``error_codes`` are added to the known ones,
    or say them in other words. ``defaults`` hold for every symbol, by its name on chain, that ``symbols`` says nothing
    else of.
    """

    open_interest_cap: Amount = Decimal(10_000_000)
    count_pending: bool = False
    balance_list: bool = False
    upstream: HttpUrl | None = None
    error_codes: dict[str, str] = {}
    defaults: SymbolSettings = SymbolSettings()
    symbols: dict[str, SymbolOverrides] = {}

    def of(self, symbol: str) -> SymbolSettings:
        """What holds for a symbol."""
        own = self.symbols.get(symbol, SymbolOverrides())
        return self.defaults.model_copy(update={name: value for name, value in own if value is not None})


class WhitelistMode(StrEnum):
    """How accounts come onto a whitelist."""

    OPEN = "open"
    MULTIACCOUNT = "multiaccount"
    LIST = "list"


class WhitelistSettings(_Section):
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


class DeploymentSettings(_Section):
    """One SYMMIO Diamond. ``rpc`` endpoints are tried in order; http(s) ones are polled, ws(s) ones subscribed to.

    ``finality_depth`` is in blocks: a reorganisation deeper than that stops ingest. ``start_block`` is where backfill
    begins. ``markets`` maps a symbol's name on chain to its prices in order of preference; a name not listed is looked
    for under the same name at each of ``default_sources``. ``position_states`` says of which of its logs states of
    positions are made: of none, of those of which the solver's engine says nothing, or of all. ``hosts`` are the names
    under which frontends that know no path prefix find this deployment, at the root. Who sends ``ingest_key`` may say
    states of positions, and change the whitelist.
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
    position_states: Literal["off", "gaps", "on"] = "gaps"
    funding: FundingSettings = FundingSettings()
    hosts: tuple[Host, ...] = ()
    whitelist: WhitelistSettings = WhitelistSettings()
    ingest_key: SecretStr | None = None
    solver: SolverSettings = SolverSettings()

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


class TokenKeySettings(_Section):
    """A key that tokens are checked with: HS256's secret or EdDSA's public key (PEM), as text or in a file."""

    algorithm: Literal["HS256", "EdDSA"]
    key: SecretStr | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.key is None) == (self.file is None):
            msg = f"expected either key or file, found {'neither' if self.key is None else 'both'}"
            raise ValueError(msg)
        return self


class AuthSettings(_Section):
    """Who may read. ``open``: everybody reads everything. ``tokens``: nobody without a token signed by one of ``keys``.

    ``keys`` go by the ``kid`` of a token's header; two stand side by side while one takes over from the other. A token
    must name ``audience`` where it is set, which keeps out what the same keys signed for another service.
    """

    mode: Literal["open", "tokens"] = "open"
    keys: dict[Name, TokenKeySettings] = {}
    audience: str | None = None

    @model_validator(mode="after")
    def _some_key(self) -> Self:
        if self.mode == "tokens" and not self.keys:
            msg = "expected a key in mode tokens, found none; add an [auth.keys.KID] section"
            raise ValueError(msg)
        return self


class ApiLimitSettings(_Section):
    """What one client may ask of the api, so that no client can take it from the others.

    An address is one of IPv4 or the first 64 bits of one of IPv6. ``messages_per_s`` and ``messages_burst`` are each
    connection's; ``connections_per_address`` and ``connection_attempts_per_s`` each replica's; ``connections_per_user``
    holds for a token's subject over all replicas. Which of them a client meets depends on the protocol it speaks.
    """

    messages_per_s: PositiveInt = 10
    messages_burst: PositiveInt = 20
    connections_per_address: PositiveInt = 100
    connections_per_user: PositiveInt = 20
    connection_attempts_per_s: PositiveInt = 200
    failed_authentications_per_minute: PositiveInt = 10


class ApiSettings(_Section):
    """The aiohttp layer. ``upnl_as_number``: ``/partyA_upnl`` answers a JSON number instead of a decimal string.

    ``trusted_proxies`` are networks whose ``X-Forwarded-For`` is believed. ``allowed_origins`` are those whose pages
    may open websockets; what does not come from a browser has none. ``drain_s`` is the window over which open sockets
    are closed when the server goes away: long enough that other replicas are not overrun by those who come back.
    """

    host: str = "127.0.0.1"
    port: Port = 8_080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 9_102
    upnl_as_number: bool = False
    max_lag_ms: PositiveInt = 10_000
    trusted_proxies: tuple[Network, ...] = ()
    allowed_origins: tuple[Origin, ...] = ("*",)
    drain_s: PositiveFloat = 2.0
    limits: ApiLimitSettings = ApiLimitSettings()


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
    auth: AuthSettings = AuthSettings()
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

    def fresh_ms_of(self, source: str) -> int:
        """How old the newest mark of a source may be, in ms; a source's books are as its marks."""
        known = self.sources.get(source.removesuffix("-book"))
        return SourceSettings().silent_after_ms if known is None else known.silent_after_ms

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
    # Endpoints carry the keys of node providers, and a misspelt name may stand before a token key; a table that holds a
    # misplaced one is not shown either.
    hidden = not {"rpc", "keys", "funding"}.isdisjoint(error["loc"]) or isinstance(error["input"], dict)
    return f"{key}: {error['msg']}" if hidden else f"{key}: {error['msg']}, found {error['input']!r}"
