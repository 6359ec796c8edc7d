"""The rendered overlay "prod" as processes of this machine, against a broker with TLS, SCRAM and access lists.

What differs from the overlay is all of ``_differences`` and ``REPLICAS``; docs/rehearsals.md says it to readers.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
import time
import tomllib
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import jwt
import tomlkit

from streams.kafka.topics import create_topics, registry
from streams.settings import settings_of_file
from tests.rehearsals import machine_faults
from tests.rehearsals.pods import Pod
from tests.rehearsals.rendered import ROOT, Namespace, Overlay, Workload, rendered
from tests.rehearsals.service import Service
from tests.support.eventually import eventually
from tests.support.secured_broker import PASSWORD, USERS, SecuredBroker, secured_broker
from tidemark.acl_text import user_name
from tidemark.child_processes import tied_to_us
from tidemark.demo.market import INSTRUMENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from streams.settings import Settings

CONFIG = "tidemark.toml"
DEPLOYMENT, SOURCE = "main", "binance-futures"
REPLICAS = {"worker": 3, "api": 2, "ingest-chain-main": 2, "ingest-prices-binance-futures": 2}
"""How many pods there are; the overlay's funder is not among them, since the simulated chain takes no transactions."""
MARKETS = len(INSTRUMENTS)
"""How many prices the venue says at a time."""
PARTITIONS = 3
"""A multiple of the workers, as in the overlay, which has 32 for four. A rehearsal may have another number."""


class World:
    """The simulated chain and venue."""

    def __init__(self, said: dict[str, Any], pid: int) -> None:
        self.said = said
        self.pid = pid

    async def tell(self, **what: object) -> dict[str, Any]:
        """Tell it to hold blocks or prices, to go mad or to fork; return how often prices were published, and heads."""
        async with aiohttp.ClientSession() as session, session.post(self.said["control"], json=what) as answer:
            told: dict[str, Any] = await answer.json()
            return told


class Cluster:
    """Everything that runs: pods by name, the broker, the world, and the address that clients connect to.

    ``faults`` is the library by which machines under pods have faults; None where none is asked for. ``code`` is the
    checkout that images are made of: pods that are started run it.
    """

    def __init__(self, directory: Path, overlay: Overlay, broker: SecuredBroker, world: World, partitions: int) -> None:
        self.directory = directory
        self.overlay = overlay
        self.broker = broker
        self.world = world
        self.pods: dict[str, Pod] = {}
        self.faults: Path | None = None
        self.code = ROOT
        self.service = Service(lambda: self.of("api"), "public")
        self.address = ""
        self._token_key = secrets.token_urlsafe(48)
        self.settings: Settings
        self._configure(_merged(tomllib.loads(overlay.config[1]), _differences(broker, world, partitions)))
        self._net = f"127.{os.getpid() >> 8 & 0x7F | 0x80}.{os.getpid() & 0xFF}"
        self._made = 0

    def namespace(self, rpc: list[str]) -> Namespace:
        """What ConfigMaps and secrets hold, under the names that the overlay asks for; ``rpc`` are URLs of nodes."""
        return Namespace(
            {self.overlay.config[0]: {"tidemark.toml": (self.directory / CONFIG).read_text()}},
            {
                **{user_name(user): {"password": PASSWORD} for user in USERS},
                "tidemark-cluster-ca-cert": {"ca.crt": self.broker.authority.file.read_text()},
                "tidemark-rpc-main": {"endpoints": json.dumps(rpc)},
                "tidemark-token-keys": {"main": self._token_key},
            },
        )

    @property
    def token(self) -> str:
        """The token of a reader who may read everything."""
        claims = {"sub": "rehearsal", "accounts": ["*"], "exp": int(time.time()) + 86_400}
        return jwt.encode(claims, self._token_key, "HS256", {"kid": "main"})

    @property
    def headers(self) -> dict[str, str]:
        """Those of a reader who may read everything."""
        return {"Authorization": f"Bearer {self.token}"}

    def of(self, workload: str) -> list[Pod]:
        """The pods of a workload."""
        return [pod for pod in self.pods.values() if pod.workload.name == workload]

    def start(self, workload: Workload, name: str, *, rpc: str = "rpc") -> Pod:
        """Start a pod, which asks a node of the world, by its name; a pod before of that name leaves it its volumes."""
        self._made += 1
        faults = {} if self.faults is None else machine_faults.variables(self.faults, self.faults_of(name))
        host = f"{self._net}.{1 + self._made % 250}"
        hosts = {f"TIDEMARK_{part}HOST": host for part in ("WORKER__ADMIN_", "API__", "API__ADMIN_", "INGEST__ADMIN_")}
        directory = self.directory / "pods" / name
        settings = hosts | faults
        namespace = self.namespace(self.world.said[rpc])
        pod = Pod(name, workload, host, directory, namespace=namespace, settings=settings, code=self.code)
        self.pods[name] = pod
        pod.start()
        return pod

    def faults_of(self, name: str) -> Path:
        """Where the faults are said of the machine under a pod."""
        return self.directory / "faults" / name

    def start_all(self, replicas: Mapping[str, int] = REPLICAS) -> None:
        """Start every pod that there should be: so many of each workload."""
        for name, count in replicas.items():
            workload = self.overlay.workloads[name]
            for at in range(count):
                self.start(workload, _pod_name(workload, at))

    @property
    def processes(self) -> list[int]:
        """The processes of all pods, the broker and the world."""
        broker = self.broker.broker.pid
        return [self.world.pid, *([] if broker is None else [broker]), *(pod.pid for pod in self.pods.values())]

    async def all_ready(self, timeout_s: float = 120) -> None:
        """Wait until every pod is ready and a reader is answered."""
        await eventually(lambda: all(pod.is_ready for pod in self.pods.values()), timeout_s)

    async def roll(self, name: str) -> list[float]:
        """Replace every pod of a workload as its controller does; return how long each took to end, in s."""
        workload = self.overlay.workloads[name]
        ended = []
        for old in sorted(self.of(name), key=lambda pod: pod.name, reverse=True):
            surge = workload.kind == "Deployment" and workload.spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
            if surge:
                await self._followed(self.start(workload, _pod_name(workload, None)))
            ended.append(await old.end())
            del self.pods[old.name]
            if not surge:
                own = old.name if workload.kind == "StatefulSet" else _pod_name(workload, None)
                await self._followed(self.start(workload, own))
        return ended

    async def stop(self) -> None:
        """End every pod at once."""
        await asyncio.gather(*(pod.destroy() for pod in self.pods.values()))
        await self.service.stop()

    async def shut_down(self) -> None:
        """End every pod as a kubelet does, all at a time; what they had stays."""
        await asyncio.gather(*(pod.end() for pod in self.pods.values()))
        self.pods.clear()

    async def configure_anew(self, partitions: int) -> None:
        """Have topics of another number of partitions, and rights for them, beside those that there are.

        Pods that are started from now on use these, under another prefix and the next epoch.
        """
        said = tomllib.loads((self.directory / CONFIG).read_text())
        topics = said["topics"] | {"partitions": partitions, "prefix": f"{self.settings.topics.prefix}wide-"}
        self._configure(said | {"topics": topics, "epoch": self.settings.epoch + 1})
        await self.broker.allow(self.settings)
        await create_topics(self.broker.open, registry(self.settings))

    async def lose_everything(self) -> None:
        """Lose every pod with its volumes, and the broker with all that it holds; an empty one is there at once.

        What is restored is made into tables under a new epoch.
        """
        await asyncio.gather(*(pod.destroy() for pod in self.pods.values()))
        self.pods.clear()
        shutil.rmtree(self.directory / "pods")
        await asyncio.to_thread(self.broker.begin_anew)
        self._configure(tomllib.loads((self.directory / CONFIG).read_text()) | {"epoch": self.settings.epoch + 1})
        await self.broker.allow(self.settings)
        await create_topics(self.broker.open, registry(self.settings))

    def _configure(self, said: Mapping[str, Any]) -> None:
        (self.directory / CONFIG).write_text(tomlkit.dumps(said))
        read = settings_of_file(self.directory / CONFIG)
        self.settings = read.model_copy(update={"kafka": self.broker.open.servers})

    async def _followed(self, pod: Pod) -> None:
        await eventually(lambda: pod.is_ready, 120)
        # A controller goes on when a pod has been ready for so long.
        await asyncio.sleep(pod.workload.spec.get("minReadySeconds", 0))

    async def run(self, user: str | None, *command: str) -> tuple[int, str, str]:
        """Run a command of the image "tools"; return exit code, stdout and stderr.

        Args:
            user: The user of Kafka that it is; None is who may do everything.
            command: The command, without ``tidemark``.
        """
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("TIDEMARK_")},
            "TIDEMARK_CONFIG": str(self.directory / CONFIG),
            "TIDEMARK_DEPLOYMENTS__MAIN__RPC": json.dumps(self.world.said["rpc"]),
            **({"TIDEMARK_KAFKA": self.broker.open.servers} if user is None else self._proof_of(user)),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tidemark.cli", *command),
            cwd=ROOT,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    def _proof_of(self, user: str) -> dict[str, str]:
        return {
            "TIDEMARK_KAFKA_CLIENT__TLS__CA": str(self.broker.authority.file),
            "TIDEMARK_KAFKA_CLIENT__SASL__MECHANISM": "SCRAM-SHA-512",
            "TIDEMARK_KAFKA_CLIENT__SASL__USERNAME": user_name(user),
            "TIDEMARK_KAFKA_CLIENT__SASL__PASSWORD": PASSWORD,
        }


def fresh_directory(name: str) -> Path:
    """An empty directory under .cache, in which logs and volumes stay until the next time."""
    directory = ROOT / ".cache" / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


@asynccontextmanager
async def cluster(directory: Path, prices_per_s: int, partitions: int = PARTITIONS) -> AsyncIterator[Cluster]:
    """Start the broker, the world, topics and rights; pods are started by who asks for them.

    Args:
        directory: Where everything is.
        prices_per_s: How many times a second the venue says the prices of its twelve markets.
        partitions: How many each topic has.
    """
    overlay = rendered(ROOT / "k8s" / "overlays" / "prod")
    async with AsyncExitStack() as ending:
        broker = ending.enter_context(secured_broker(directory))
        world = await _world(ending, directory, prices_per_s)
        made = Cluster(directory, overlay, broker, world, partitions)
        ending.push_async_callback(made.stop)
        await broker.allow(made.settings)
        await create_topics(broker.open, registry(made.settings))
        made.address = await made.service.start("127.0.0.1")
        yield made


async def _world(ending: AsyncExitStack, directory: Path, prices_per_s: int) -> World:
    with (directory / "world.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *tied_to_us([sys.executable, "-m", "tests.rehearsals.world", str(directory / "world"), str(prices_per_s)]),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    ending.push_async_callback(end)
    assert process.stdout is not None
    return World(json.loads(await process.stdout.readline()), process.pid)


def _pod_name(workload: Workload, at: int | None) -> str:
    if workload.kind == "StatefulSet":
        return f"{workload.name}-{at}"
    return f"{workload.name}-{uuid.uuid4().hex[:5]}"


def _differences(broker: SecuredBroker, world: World, partitions: int) -> dict[str, Any]:
    """What the configuration has otherwise than the overlay: what one machine is not, and where the simulation is."""
    simulated = world.said["deployment"]
    names = ("chain_id", "diamond", "multi_accounts", "hedgers", "start_block", "finality_depth")
    return {
        "kafka": broker.by_password("tools").servers,
        "topics": {"partitions": partitions, "replication_factor": 1},
        "sources": {SOURCE: {"websocket": world.said["websocket"], "rest": world.said["rest"]}},
        "deployments": {
            DEPLOYMENT: {
                **{name: simulated[name] for name in names},
                "funding": {"party_b": simulated["hedgers"][0]},
            }
        },
        # Every client of a rehearsal comes from one address, and asks more often than people do.
        "api": {"limits": {"requests_per_s": 100_000, "requests_burst": 100_000, "connections_per_address": 10_000}},
    }


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with what ``over`` says otherwise."""
    both = dict(base)
    for name, value in over.items():
        both[name] = _merged(both.get(name, {}), value) if isinstance(value, dict) else value
    return both
