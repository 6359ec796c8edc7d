"""Finds the metrics and labels that a PromQL expression names, and those that docs/metrics.md has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
WORDS = {"and", "or", "unless", "on", "by", "without", "bool", "group_left", "group_right", "ignoring", "offset"}
# What scraping adds to every metric (docker/prometheus/prometheus.yaml, k8s/components/monitoring), and what
# histograms have.
ADDED_LABELS = {"instance", "component", "job", "le"}
# Of Prometheus itself and of the client library; of the kubelet and kube-state-metrics.
FOREIGN = {
    *("up", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"),
    "process_start_time_seconds",
}
KUBERNETES = {
    "container_memory_working_set_bytes",
    "kube_cronjob_created",
    "kube_cronjob_spec_suspend",
    "kube_cronjob_status_last_successful_time",
    "kube_deployment_spec_replicas",
    "kube_deployment_status_replicas_available",
    "kube_job_failed",
    "kube_pod_container_resource_limits",
    "kube_pod_container_status_restarts_total",
    "kube_statefulset_replicas",
    "kube_statefulset_status_replicas_ready",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
}


def metrics_in(expression: str) -> set[str]:
    """The names of all metrics of an expression."""
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", re.sub(r'"[^"]*"', "", expression))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    return set(re.findall(r"(?<![\w:.$])([a-zA-Z_][\w:]*)(?!\s*\(|[\w:])", bare)) - WORDS


def labels_in(expression: str) -> dict[str, set[str]]:
    """The labels by which an expression chooses among the series of each metric."""
    found: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"([a-zA-Z_][\w:]*)\{([^}]*)\}", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)))
    return found


@cache
def documented() -> dict[str, set[str]]:
    """Every metric of docs/metrics.md, as Prometheus names its series, with its labels."""
    found: dict[str, set[str]] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) > 4 and cells[1].startswith("`tidemark_"):
            labels = {label.strip() for label in cells[3].split(",") if label.strip()}
            for name in re.findall(r"`(tidemark_\w+)`", cells[1]):
                kinds = ("_bucket", "_count", "_sum") if cells[2] == "histogram" else ("",)
                found |= {f"{name}{kind}": labels for kind in kinds}
    return found
