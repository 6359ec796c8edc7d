"""What the local stack runs for a configuration: the effective settings, and the command of each process."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from models.errors import TidemarkError
from streams.settings import (
    DEFAULT_SOURCE,
    RECORDED_SOURCE,
    BinanceSource,
    PriceRef,
    Settings,
    SymmioSettings,
    symmio_deployments,
)
from streams.settings.dialects import UnreadDialect
from streams.settings.flash.flash_settings import ORACLE_SOURCE, FlashSettings
from streams.settings.flash.oracle_source import FlashOracleSource
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tidemark.demo.demo_keys import demo_ingest_key, demo_keys
from tidemark.demo.trading_desk import ACCOUNTS, SYMBOLS
from tidemark.ingest_kinds import ingest_of
from tidemark.ports import free_port, required_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streams.settings.values import Section
    from tidemark.demo.demo_keys import DemoKey

DEMO = "demo"
DESK = "desk"
"""The simulated exchange beside the simulated chain, whose accounts a ledger is kept of."""
FLASH = "flash"
"""The simulated Flash Trade, on two chains of its own."""
RECORDED = "recorded"
_TIDEMARK = (sys.executable, "-m", "tidemark.cli")


class BadRecording(TidemarkError):
    """A directory does not hold the recordings ``tidemark up --recorded`` plays."""


def with_demo(settings: Settings, said: str) -> Settings:
    """Return settings that follow the simulator.

    The simulator's market is a source of its own name, so that its prices are never taken for those of the venue whose
    protocol it speaks.

    Args:
        settings: The settings.
        said: The line of JSON that the simulator printed when it started.
    """
    urls: dict[str, Any] = json.loads(said)
    rpc = urls["rpc"] if isinstance(urls["rpc"], list) else [urls["rpc"]]
    deployment = SymmioSettings.model_validate(
        # The simulator has no engine that says position states, so the chain's are published at once.
        {**urls["deployment"], "rpc": rpc, "default_sources": _both_forms(DEMO), "position_states": "on"}
    )
    source = BinanceSource(websocket=urls["websocket"], rest=urls["rest"])
    desk = LedgerDeploymentSettings(
        markets={symbol: (PriceRef(source=DEMO, symbol=market),) for symbol, (market, _, _) in SYMBOLS.items()}
    )
    flash = FlashSettings.model_validate({name: urls["flash"][name] for name in ("base_rpc", "rollup_rpc")})
    oracle = FlashOracleSource.model_validate({"rpc": urls["flash"]["base_rpc"]})
    mine = {
        "deployments": {DEMO: deployment, DESK: desk, FLASH: flash},
        "sources": {DEMO: source, ORACLE_SOURCE: oracle},
    }
    return settings.model_copy(update=mine | _topics_apart(settings, DEMO))


def with_demo_clients(settings: Settings, said: str) -> tuple[Settings, list[DemoKey]]:
    """Return settings that serve clients of the Bitfinex websocket both simulations, and the keys for them.

    The simulated exchange also takes accounts of one's own, under an ingest key. All keys stand in files of the data
    directory. They are made at the first start, and for their owner's eyes alone.

    Args:
        settings: Those that follow the simulator.
        said: The line of JSON that the simulator printed when it started.

    Raises:
        BadKeys: The file of API keys cannot be read or written, or holds no keys.
        OSError: That of the ingest key cannot be.
    """
    directory = settings.data_dir / "demo"
    path = directory / "api-keys.json"
    section = UnreadDialect.model_validate({"kind": "bitfinex", "deployments": (DESK, DEMO), "keys": str(path)})
    keys = demo_keys(path, f"{DESK}:{ACCOUNTS[0]}", f"{DEMO}:{json.loads(said)['owner']}")
    ingest_key = SecretStr(demo_ingest_key(directory / "desk-ingest-key"))
    desk = settings.deployments[DESK].model_copy(update={"ingest_key": ingest_key})
    deployments = {**settings.deployments, DESK: desk}
    return settings.model_copy(update={"dialects": {"bitfinex": section}, "deployments": deployments}), keys


def flash_invitation(said: str, api: str) -> str:
    """Tell how to look at an owner of the simulated Flash.

    Args:
        said: The line of JSON that the simulator printed when it started.
        api: The address of the api, such as ``http://127.0.0.1:8000``.
    """
    owner = json.loads(said)["flash"]["owner"]
    paths = f"/v1/accounts/{FLASH}:{owner}", f"/v2/owner/{owner}"
    return "\n".join((f"an owner of the simulated Flash Trade: {owner}", *(f"  curl {api}{path}" for path in paths)))


def with_recording(settings: Settings, directory: Path) -> tuple[Settings, str]:
    """Return settings that have the deployment whose logs ``directory`` holds, and that deployment's name.

    The deployment is priced by the recorded frames alone, under the symbols that its markets have at the configured
    sources.

    Raises:
        BadRecording: There is no raw log file, or it does not say which Diamond it is of.
    """
    logs = directory / "symmio" / "logs.json.gz"
    try:
        with gzip.open(logs) as stream:
            recording: dict[str, Any] = json.load(stream)
        chain_id, diamond = int(recording["chainId"]), str(recording["diamond"]).lower()
    except (OSError, ValueError, KeyError) as error:
        msg = f"expected raw logs with a chainId and a diamond in {logs}, found none: {error}"
        raise BadRecording(msg) from error
    configured = symmio_deployments(settings).items()
    new = RECORDED, SymmioSettings.model_validate({"chain_id": chain_id, "diamond": diamond})
    name, deployment = next((it for it in configured if (it[1].chain_id, it[1].diamond) == (chain_id, diamond)), new)
    deployments = {**settings.deployments, name: _as_recorded(deployment)}
    return settings.model_copy(update={"deployments": deployments} | _topics_apart(settings, RECORDED)), name


def _topics_apart(settings: Settings, name: str) -> dict[str, Any]:
    """Give topics of their own to these deployments, whose blocks a worker of other deployments would not know."""
    return {"topics": settings.topics.model_copy(update={"prefix": f"{settings.topics.prefix}{name}-"})}


def _as_recorded(deployment: SymmioSettings) -> SymmioSettings:
    """Have every price looked for under the same symbol among the recorded frames."""
    mark, book = _both_forms(RECORDED_SOURCE)
    markets = {
        name: tuple(ref.model_copy(update={"source": book if ref.source.endswith("-book") else mark}) for ref in refs)
        for name, refs in deployment.markets.items()
    }
    return deployment.model_copy(update={"default_sources": (mark, book), "markets": markets})


def _both_forms(source: str) -> tuple[str, str]:
    """Return the names under which a source's marks and its books are written."""
    return source, f"{source}-book"


def with_local_ports(settings: Settings) -> Settings:
    """Choose the ports of worker and api: the ones that were set, else the default ones, or free ones instead of them.

    Raises:
        PortInUse: A port that was set is taken.
        NoSuchHost: A host is no name or address of this machine.
    """
    worker, api = settings.worker, settings.api
    return settings.model_copy(
        update={
            # There are several ingests, and each serves its own metrics.
            "ingest": settings.ingest.model_copy(update={"admin_port": 0}),
            "worker": worker.model_copy(update={"admin_port": _port(worker, "worker.admin_port", worker.admin_host)}),
            "api": api.model_copy(
                update={
                    "port": _port(api, "api.port", api.host),
                    "admin_port": _port(api, "api.admin_port", api.admin_host),
                }
            ),
        }
    )


def with_local_defaults(settings: Settings, bootstrap: str) -> Settings:
    """Fill in what else a local stack needs: the cluster, a price source, and the full path of its data."""
    return settings.model_copy(
        update={
            "kafka": bootstrap,
            "data_dir": settings.data_dir.resolve(),
            "sources": settings.sources or {DEFAULT_SOURCE: BinanceSource()},
        }
    )


def _port(section: Section, setting: str, host: str) -> int:
    field = setting.rpartition(".")[2]
    wanted: int = getattr(section, field)
    return required_port(host, wanted, setting) if field in section.model_fields_set else free_port(host, wanted)


def commands(settings: Settings, recording: Path | None, recorded_deployment: str | None) -> dict[str, list[str]]:
    """List the command of each process, readers before writers, so that nothing waits for who reads it.

    Args:
        settings: The effective settings.
        recording: The directory of recordings to play; None where chains and venues are followed.
        recorded_deployment: The deployment whose logs those are.

    Returns:
        Commands by the names of the processes.
    """
    wanted = {"api": ["api"], "worker": ["worker"], "history": ["history"]}
    if recording is not None and recorded_deployment is not None:
        wanted[RECORDED] = ["ingest", "recorded", str(recording.resolve()), "--deployment", recorded_deployment]
    else:
        for name, deployment in settings.deployments.items():
            package = ingest_of(deployment.kind)
            # A venue without one writes its records itself.
            if package is not None and package.command.name is not None:
                wanted[f"{package.command.name}-{name}"] = ["ingest", package.command.name, name]
        wanted |= {f"prices-{name}": ["ingest", "prices", name] for name in settings.sources}
    return {name: [*_TIDEMARK, *arguments] for name, arguments in wanted.items()}


def desk_command() -> list[str]:
    """Return the command of the simulated exchange."""
    return [sys.executable, "-m", "tidemark.demo.desk_producer", DESK]


def demo_command(data_dir: Path) -> list[str]:
    """Return the command of the simulator."""
    directory = data_dir.resolve() / "demo"
    return [
        sys.executable,
        "-m",
        "tidemark.demo",
        "--data-dir",
        str(directory),
        "--state-file",
        str(directory / "state.json"),
    ]


def child_environment(environment: Mapping[str, str], config: Path) -> dict[str, str]:
    """Return the environment of a process that takes all its settings from ``config``."""
    kept = {name: value for name, value in environment.items() if not name.startswith("TIDEMARK_")}
    return {**kept, "TIDEMARK_CONFIG": str(config), "PYTHONUNBUFFERED": "1"}
