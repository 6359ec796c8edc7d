"""``make panels``: runs a stack under a real Prometheus, and says which panels of the dashboards show nothing.

Ends with 1 where a panel shows nothing that should.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml
from tool_cache import ROOT, ensure_prometheus

from tidemark.child_processes import tied_to_us
from tidemark.ports import any_free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST = "127.0.0.1"
_STACK_STARTS_S = 180.0
# Rates look back over five minutes, but have a value once they have seen two scrapes.
_SCRAPED_S = 60.0
_POLL_S = 1.0
# What shows nothing while nothing goes wrong, or while nobody funds: the beginning of each query.
_SILENT_WITHOUT_CAUSE = (
    "increase(tidemark_chain_",
    "increase(tidemark_funding_",
    "increase(tidemark_price_reconnects_total",
    "increase(tidemark_rpc_endpoints_put_aside_total",
    "rate(tidemark_account_records_total{outcome=",
    "rate(tidemark_api_closes_total",
    "rate(tidemark_api_refused_",
    "rate(tidemark_dead_letter",
    "rate(tidemark_heartbeats_total{outcome=",
    "rate(tidemark_lease_claims_total",
    "rate(tidemark_suspect_accounts_total",
    "rate(tidemark_unreadable_rows_total",
    "tidemark_funding_unclear_transactions",
)


def main() -> None:
    """Run the stack, scrape it for a minute, ask every query of every panel, and print those without an answer."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        targets = _start_stack(stack, data)
        url = _start_prometheus(stack, data, targets)
        time.sleep(_SCRAPED_S)
        empty = [(title, query) for title, query in _queries() if not _answer(url, query)]
        asked = len(list(_queries()))
    unexpected = [one for one in empty if not any(begin in one[1] for begin in _SILENT_WITHOUT_CAUSE)]
    silent = len(empty) - len(unexpected)
    print(f"panels: {asked} queries, {asked - len(empty)} with data, {silent} silent without a cause")
    for title, query in unexpected:
        print(f"  no data, though there should be: {title}: {query}")
    sys.exit(1 if unexpected else 0)


def _queries() -> Iterator[tuple[str, str]]:
    for board in sorted(ROOT.glob("k8s/components/monitoring/dashboards/*.json")):
        for panel in json.loads(board.read_text())["panels"]:
            yield from ((f"{board.stem}: {panel['title']}", target["expr"]) for target in panel["targets"])


def _start_stack(stack: ExitStack, data: Path) -> dict[str, list[str]]:
    """Run ``tidemark up`` and return the admin ports of its processes by component."""
    ports = {name: any_free_port(_HOST) for name in ("api", "api_admin", "worker_admin", "broker")}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")},
        "TIDEMARK_DATA_DIR": str(data / "stack"),
        "TIDEMARK_BROKER__JARS": str(ROOT / ".kafka" / "libs"),
        "TIDEMARK_BROKER__PORT": str(ports["broker"]),
        "TIDEMARK_API__PORT": str(ports["api"]),
        "TIDEMARK_API__ADMIN_PORT": str(ports["api_admin"]),
        "TIDEMARK_WORKER__ADMIN_PORT": str(ports["worker_admin"]),
    }
    _start(stack, [sys.executable, "-m", "tidemark.cli", "up"], data / "up.log", environment)
    logs, deadline = data / "stack" / "logs", time.monotonic() + _STACK_STARTS_S
    ingests: list[str] = []
    while len(ingests) < len(("chain-demo", "prices-demo")):
        if time.monotonic() > deadline:
            sys.exit(f"panels: the stack did not start:\n{(data / 'up.log').read_text()[-2000:]}")
        time.sleep(_POLL_S)
        said = [path.read_text() for path in logs.glob("*-demo.log")] if logs.exists() else []
        ingests = [found[-1] for text in said if (found := re.findall(r"admin port at http://(\S+)", text))]
    return {
        "api": [f"{_HOST}:{ports['api_admin']}"],
        "worker": [f"{_HOST}:{ports['worker_admin']}"],
        "ingest": ingests,
    }


def _start_prometheus(stack: ExitStack, data: Path, targets: dict[str, list[str]]) -> str:
    program, port = ensure_prometheus(), any_free_port(_HOST)
    config: dict[str, Any] = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [str(ROOT / "docker" / "prometheus" / "rules.yaml")],
        "scrape_configs": [
            {
                "job_name": "tidemark",
                "static_configs": [{"labels": {"component": one}, "targets": many} for one, many in targets.items()],
            }
        ],
    }
    (data / "prometheus.yaml").write_text(yaml.safe_dump(config))
    command = [str(program), f"--config.file={data}/prometheus.yaml", f"--storage.tsdb.path={data}/tsdb"]
    _start(stack, [*command, f"--web.listen-address={_HOST}:{port}"], data / "prometheus.log", dict(os.environ))
    return f"http://{_HOST}:{port}"


def _answer(url: str, query: str) -> list[Any]:
    with urlopen(f"{url}/api/v1/query?{urlencode({'query': query})}", timeout=30) as response:  # noqa: S310 - loopback
        found: list[Any] = json.load(response)["data"]["result"]
    return found


def _start(stack: ExitStack, command: list[str], log: Path, environment: dict[str, str]) -> None:
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(tied_to_us(command), stdout=output, stderr=subprocess.STDOUT, env=environment)
    stack.callback(process.wait)
    # `tidemark up` ends its own children.
    stack.callback(process.send_signal, signal.SIGTERM)


if __name__ == "__main__":
    main()
