"""Alerts name what there is, and each has a page and a test; promtool itself runs in `make k8s-verify`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.tables.freshness import Seen
from models.freshness import Part, State
from streams.settings import ApiLimitSettings
from tests.support.manifests import OVERLAYS, kustomization_of, pod_of, processes
from tests.support.promql import ADDED_LABELS, FOREIGN, KUBERNETES, documented, labels_in, metrics_in

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "docker" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"


@cache
def groups() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"]
    return loaded


RULES = [rule for group in groups() for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_names_only_metrics_that_there_are(rule: dict[str, Any]) -> None:
    named = metrics_in(rule["expr"])

    assert named
    assert named <= documented().keys() | RECORDED | FOREIGN | KUBERNETES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_chooses_by_labels_that_the_metric_has(rule: dict[str, Any]) -> None:
    chosen = {name: labels for name, labels in labels_in(rule["expr"]).items() if name in documented()}

    assert all(labels <= documented()[name] | ADDED_LABELS for name, labels in chosen.items())


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_whom_it_wakes_and_what_to_read(alert: str) -> None:
    rule = ALERTS[alert]

    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert {"summary", "description", "runbook_url"} == rule["annotations"].keys()
    page = (ROOT / rule["annotations"]["runbook_url"]).read_text()
    assert f"`{alert}`" in page


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_judges_each_installation_that_is_scraped_by_itself(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    aggregations = re.findall(r"\b(?:sum|min|max|avg|count)\b\s*(?:by \(([^)]*)\))?", expression)
    matchings = re.findall(r"\bon \(([^)]*)\)", expression)

    assert all("namespace" in labels.split(", ") for labels in [*aggregations, *matchings])
    assert "vector(" not in expression, "expected nothing of no namespace"


def test_memory_is_watched_of_every_container_that_there_is() -> None:
    named = {one["name"] for process in processes().values() for one in pod_of(process)["containers"]}
    (watched,) = re.findall(r'container=~"([^"]+)"', ALERTS["PodMemoryNearLimit"]["expr"])

    assert named <= set(watched.split("|"))


@pytest.mark.parametrize("name", sorted(processes()))
def test_what_has_no_pod_or_fails_is_told_of_every_process_of_the_manifests(name: str) -> None:
    process = processes()[name]
    kind = process["kind"].lower()
    telling = {"job": ["JobFailed"], "cronjob": ["JobFailed", "CronJobLate"]}.get(kind, ["NoPod", "PodsMissing"])
    told_of = [metrics_in(ALERTS[alert]["expr"]) for alert in telling]

    assert any(metric.startswith(f"kube_{kind}_") for metric in told_of[-1])
    if kind == "cronjob" and not process["spec"].get("suspend"):
        schedule = process["spec"]["schedule"]
        assert re.fullmatch(r"\d+ (\d+|\*) \* \* \*", schedule), "expected it to be due at least once a day"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_pods_are_watched_in_the_namespace_of_every_overlay(overlay: Path) -> None:
    namespace = kustomization_of(overlay)["namespace"]
    (expressions,) = [[rule["expr"] for rule in it["rules"]] for it in groups() if it["name"] == "tidemark-kubernetes"]
    watched = [re.findall(r'namespace=~"([^"]+)"', expression) for expression in expressions]

    assert all(watched)
    assert all(re.fullmatch(one, namespace) for many in watched for one in many)


def test_the_objective_of_freshness_counts_the_parts_without_which_figures_are_old_and_no_others() -> None:
    (rule,) = [one for one in RULES if one.get("record") == "tidemark:stale:any"]
    parts = ("broker", "worker:0", "chain:main", "prices:venue", "funder:main", "history:served")
    stale = {name: Part(name, State.STALE, "its newest heartbeat", 7_000, 6_000) for name in parts}
    makes_old = {part.name for part in Seen(0, stale, {"main": frozenset({1})}, frozenset(), {}).stale}
    (passed_over,) = re.findall(r'part!~"([^"]+)"', rule["expr"])

    # Prometheus matches whole labels.
    assert makes_old == {name for name in parts if not re.fullmatch(passed_over, name)}
    assert makes_old != set(parts)


def test_every_page_is_of_an_alert() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in RUNBOOKS.glob("*.md")} - {"docs/runbooks/README.md"}

    assert {rule["annotations"]["runbook_url"] for rule in ALERTS.values()} == pages


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_only_metrics_that_there_are(page: Path) -> None:
    named = set(re.findall(r"`(tidemark_\w+)", page.read_text()))

    assert named <= documented().keys() | {name.rpartition("_")[0] for name in documented() if "_bucket" in name}


def test_every_alert_is_seen_to_fire_by_a_test_of_promtool() -> None:
    texts = "".join((PROMETHEUS / name).read_text() for name in ("rules.test.yaml", "rules.slo.test.yaml"))

    # A name alone is the moment before, at which the alert must not fire.
    assert not {alert for alert in ALERTS if not re.search(rf"labels: '\S*alertname=\"{alert}\"", texts)}


def test_connections_near_their_limit_are_four_fifths_of_it() -> None:
    bound = int(ALERTS["ConnectionsNearLimit"]["expr"].rpartition(">")[2])

    assert bound == ApiLimitSettings().connections * 4 // 5


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_on_an_event_sees_the_first_one_of_a_process(alert: str) -> None:
    expression = ALERTS[alert]["expr"]

    for counter, window in re.findall(r"increase\((tidemark_[^\[]+)\[(\w+)\]\)", expression):
        assert f"(last_over_time({counter}[{window}]) unless {counter} offset {window})" in expression


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_on_an_event_sees_those_of_a_process_that_was_started_again(alert: str) -> None:
    expression = ALERTS[alert]["expr"]

    for counter, window in re.findall(r"increase\((tidemark_[^\[]+)\[(\w+)\]\)", expression):
        within_s = {"15m": 900, "1h": 3_600}[window]
        is_young = f"time() - process_start_time_seconds < {within_s}"
        assert f"({counter} and on (namespace, instance) {is_young})" in expression


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_what_is_put_together_is_of_one_namespace(rule: dict[str, Any]) -> None:
    put_together = re.findall(r"\b(?:sum|avg|min|max|count)\b *(?!_)(by \([^)]*\))?", rule["expr"])

    assert all(labels.startswith("by (namespace") for labels in put_together)
