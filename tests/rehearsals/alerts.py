"""Prometheus itself with the rules of production, scraping the pods of a rehearsal."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import yaml

from tests.rehearsals.rendered import ROOT
from tests.support.eventually import eventually
from tidemark.child_processes import tied_to_us
from tidemark.ports import any_free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.rehearsals.cluster import Cluster

_HOST = "127.0.0.1"
# Production looks every 10 s; what a rule waits for by itself stays as it is.
_EVERY = "2s"


class Alerts:
    """Which alerts fire.

    Args:
        program: Prometheus.
        cluster: What is scraped: every pod, under the labels that the PodMonitor gives it.
    """

    def __init__(self, program: Path, cluster: Cluster) -> None:
        self._program = program
        self._cluster = cluster
        self._directory = cluster.directory / "prometheus"
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def start(self) -> None:
        """Scrape and evaluate often; a rule's own times stay as they are."""
        self._directory.mkdir()
        self._say_targets()
        config = {
            "global": {"scrape_interval": _EVERY, "evaluation_interval": _EVERY},
            "rule_files": [str(ROOT / "docker" / "prometheus" / "rules.yaml")],
            "scrape_configs": [
                {
                    "job_name": "tidemark",
                    "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": _EVERY}],
                }
            ],
        }
        (self._directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        address = f"{_HOST}:{any_free_port(_HOST)}"
        self._url = f"http://{address}"
        command = [str(self._program), f"--config.file={self._directory}/prometheus.yaml"]
        command += [f"--storage.tsdb.path={self._directory}/data", f"--web.listen-address={address}"]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(tied_to_us(command), stdout=log, stderr=log)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    async def fired(self, alert: str, labels: Mapping[str, str], timeout_s: float = 60) -> None:
        """Wait until an alert fires.

        Args:
            alert: Its name.
            labels: Those that it has to have, such as the part that it is of.
            timeout_s: As ``eventually`` takes it: how long it may take on a machine that does nothing else. A rule's
                own time comes to a minute.
        """

        async def is_firing() -> bool:
            self._say_targets()
            wanted = {"alertname": alert, **labels}.items()
            return any(wanted <= found.items() for found in await self._firing())

        await eventually(is_firing, timeout_s)

    async def _firing(self) -> list[dict[str, str]]:
        """The labels of all that fire now."""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{self._url}/api/v1/alerts") as answer:
                    alerts = (await answer.json())["data"]["alerts"]
            except aiohttp.ClientError:
                return []
        return [one["labels"] for one in alerts if one["state"] == "firing"]

    @property
    def _targets(self) -> Path:
        return self._directory / "targets.json"

    def _say_targets(self) -> None:
        targets = [
            {
                "targets": [urlsplit(pod.url("admin")).netloc],
                "labels": {"instance": pod.name, "component": pod.workload.component},
            }
            for pod in self._cluster.pods.values()
        ]
        scratch = self._targets.with_suffix(".new")
        scratch.write_text(json.dumps(targets))
        scratch.replace(self._targets)
