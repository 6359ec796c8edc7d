"""Pods run what there is, under the restricted standard, with probes, ports and times that agree with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import ValidationError

from api.tables.explanations import AT_ONCE
from streams.replay.explain_within_bounds import MEMORY_BYTES
from streams.settings import (
    CONFIG_VARIABLE,
    ApiSettings,
    IngestSettings,
    KafkaSaslSettings,
    KafkaTlsSettings,
    WorkerSettings,
)
from streams.transport.slice_worker import _STOP_DEADLINE_S as WORKER_STOPS_IN_S
from tests.support.command_line import unknown_in
from tests.support.images import PORTS
from tests.support.manifests import (
    K8S,
    OVERLAYS,
    STRIMZI,
    container_of,
    documents,
    kustomization_of,
    pod_of,
    processes,
    resources,
    settings_of,
    target_of,
)
from tidemark.acl_text import user_name
from tidemark.running import END_WITHIN_S

if TYPE_CHECKING:
    from pydantic import BaseModel

NAMES = sorted(processes())
LASTING = [name for name in NAMES if processes()[name]["kind"] not in {"Job", "CronJob"}]
UNSET: dict[str, type[BaseModel]] = {"kafka_client.tls": KafkaTlsSettings, "kafka_client.sasl": KafkaSaslSettings}
_CHECKPOINTS = K8S / "components" / "checkpoints"
# In which the last requests of a replica end (api/server.py), and its process after them.
REQUESTS_END_IN_S = 5


@pytest.fixture(params=NAMES)
def process(request: pytest.FixtureRequest) -> dict[str, Any]:
    return processes()[request.param]


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest) -> dict[str, Any]:
    return processes()[request.param]


def test_a_pod_runs_a_target_of_ours_by_a_command_that_there_is(process: dict[str, Any]) -> None:
    target, container = target_of(process), container_of(process)

    assert target in PORTS
    assert "command" not in container
    before = [] if target in {"tools", "analysis"} else [target]
    assert unknown_in([*before, *container.get("args", [])]) is None


def test_a_pod_is_restricted_and_writes_nothing_of_its_image(process: dict[str, Any]) -> None:
    pod, container = pod_of(process), container_of(process)
    runs_as = pod["securityContext"]

    assert runs_as["runAsNonRoot"]
    assert (65532, 65532) == (runs_as["runAsUser"], runs_as["runAsGroup"])
    assert {"type": "RuntimeDefault"} == runs_as["seccompProfile"]
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container["securityContext"]
    assert not pod["automountServiceAccountToken"]


def test_no_service_sets_variables_in_a_pod(process: dict[str, Any]) -> None:
    # A service called tidemark-… would set TIDEMARK_…, which is no setting, and the process would end with 2.
    assert pod_of(process)["enableServiceLinks"] is False


def test_memory_that_is_asked_for_is_there_and_processors_are_not_limited(process: dict[str, Any]) -> None:
    resources_of = container_of(process)["resources"]

    assert resources_of["requests"]["memory"] == resources_of["limits"]["memory"]
    assert "cpu" in resources_of["requests"]
    assert "cpu" not in resources_of["limits"]


def test_a_replica_has_room_for_the_processes_that_explain_beside_it() -> None:
    memory = container_of(processes()["api"])["resources"]["limits"]["memory"]

    assert int(memory.removesuffix("Mi")) * 2**20 >= 2**30 + AT_ONCE * MEMORY_BYTES


def test_ports_are_those_that_every_overlay_configures(lasting: dict[str, Any]) -> None:
    target = target_of(lasting)
    ports = {one["name"]: one["containerPort"] for one in container_of(lasting)["ports"]}

    for overlay in OVERLAYS:
        settings = settings_of(overlay)
        own: WorkerSettings | ApiSettings | IngestSettings = settings.ingest
        if target in {"worker", "api"}:
            own = settings.worker if target == "worker" else settings.api
        assert ("0.0.0.0", ports["admin"]) == (own.admin_host, own.admin_port)
        if target == "api":
            assert ("0.0.0.0", settings.api.port) == (settings.api.host, ports["public"])


def test_whatever_lasts_is_scraped_where_it_serves_its_metrics(lasting: dict[str, Any]) -> None:
    (monitor,) = (one for one in resources() if one["kind"] == "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    labels = lasting["spec"]["template"]["metadata"]["labels"]

    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert "app.kubernetes.io/component" in labels
    assert (endpoint["port"], endpoint["path"]) == ("admin", "/metrics")
    assert "admin" in {one["name"] for one in container_of(lasting)["ports"]}


def test_probes_ask_the_admin_port_and_only_readiness_depends_on_others(lasting: dict[str, Any]) -> None:
    container = container_of(lasting)
    paths = {name: one["httpGet"]["path"] for name, one in container.items() if name.endswith("Probe")}
    ready = {"readinessProbe": "/readyz"} if target_of(lasting) in {"worker", "api"} else {}

    assert {"startupProbe": "/healthz", "livenessProbe": "/healthz", **ready} == paths
    assert all(container[name]["httpGet"]["port"] == "admin" for name in paths)


def test_a_pod_reads_the_configuration_where_its_image_looks_for_it(process: dict[str, Any]) -> None:
    dockerfile = (K8S.parent / "docker" / "Dockerfile").read_text()
    looked_for = re.search(rf"{CONFIG_VARIABLE}=(\S+)", dockerfile)
    volumes = {one["name"]: one for one in pod_of(process)["volumes"]}
    mounts = {one["name"]: one["mountPath"] for one in container_of(process)["volumeMounts"]}

    assert looked_for is not None
    assert Path(looked_for[1]).parent.as_posix() == mounts["config"]
    assert {"name": "tidemark-config"} == volumes["config"]["configMap"]


def test_checkpoints_are_made_of_a_deployment_that_there_is_where_replicas_look_for_them_and_cannot_write() -> None:
    patch = {one["path"]: one["value"] for one in documents()[_CHECKPOINTS / "api-checkpoints.yaml"][0]}
    mount = patch["/spec/template/spec/containers/0/volumeMounts/-"]
    container = container_of(processes()["checkpoints-main"])
    command, made, name, _, out, *_ = container["args"]

    assert ("checkpoint", "create", mount["mountPath"]) == (command, made, out)
    assert mount["mountPath"] == patch["/spec/template/spec/containers/0/env/-"]["value"]
    assert (True, True) == (
        mount["readOnly"],
        patch["/spec/template/spec/volumes/-"]["persistentVolumeClaim"]["readOnly"],
    )
    assert mount["mountPath"] in {one["mountPath"] for one in container["volumeMounts"]}
    overlays = [one for one in OVERLAYS if "../../components/checkpoints" in kustomization_of(one)["components"]]
    assert overlays
    assert all(name in settings_of(overlay).deployments for overlay in overlays)


def test_an_archive_is_written_to_the_volume_that_keeps_it() -> None:
    process = processes()["archive"]
    mounts = {one["mountPath"]: one["name"] for one in container_of(process)["volumeMounts"]}
    volumes = {one["name"]: one for one in pod_of(process)["volumes"]}
    (claim,) = documents()[K8S / "components" / "archive" / "archive-claim.yaml"]
    command, _, directory = container_of(process)["args"]

    assert "archive" == command
    assert claim["metadata"]["name"] == volumes[mounts[directory]]["persistentVolumeClaim"]["claimName"]
    # One process at a time may write an archive.
    assert "Forbid" == process["spec"]["concurrencyPolicy"]


def test_the_past_is_served_only_where_somebody_says_of_which_time() -> None:
    process = processes()["replay"]

    assert process["spec"]["suspend"] is True
    assert container_of(process)["stdin"] is True


def test_an_api_has_time_for_everything_that_its_end_takes() -> None:
    pod, container = pod_of(processes()["api"]), container_of(processes()["api"])
    pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]

    for overlay in OVERLAYS:
        needed_s = pause_s + settings_of(overlay).api.drain_s + REQUESTS_END_IN_S
        assert needed_s < pod["terminationGracePeriodSeconds"], overlay.name


def test_an_api_that_drains_as_long_as_it_may_ends_before_it_is_ended() -> None:
    with pytest.raises(ValidationError, match="less than or equal to"):
        ApiSettings(drain_s=END_WITHIN_S - REQUESTS_END_IN_S)


def test_a_worker_has_time_to_give_its_partitions_up() -> None:
    assert 3 * WORKER_STOPS_IN_S < pod_of(processes()["worker"])["terminationGracePeriodSeconds"]


def test_a_worker_is_a_static_member_by_its_pods_name_and_keeps_its_rows() -> None:
    worker = processes()["worker"]
    variables = {one["name"]: one for one in container_of(worker)["env"]}
    mounts = {one["name"]: one["mountPath"] for one in container_of(worker)["volumeMounts"]}

    assert {"fieldRef": {"fieldPath": "metadata.name"}} == variables["TIDEMARK_WORKER__INSTANCE_ID"]["valueFrom"]
    assert "Parallel" == worker["spec"]["podManagementPolicy"]
    assert mounts["data"] in (K8S.parent / "docker" / "Dockerfile").read_text()
    assert all("rocksdb" == settings_of(overlay).worker.store for overlay in OVERLAYS)


def test_an_ingest_and_the_funder_may_have_a_spare_and_never_a_third() -> None:
    (spares,) = documents()[K8S / "components" / "ingest-spares" / "kustomization.yaml"]
    (patch,) = spares["patches"]
    changed = {one["path"]: one["value"] for one in yaml.safe_load(patch["patch"])}
    ingests = {name for name in LASTING if target_of(processes()[name]) == "ingest"}

    assert ingests == {name for name in NAMES if re.fullmatch(patch["target"]["name"], name)}
    assert {(1, "Recreate")} == {
        (processes()[name]["spec"]["replicas"], processes()[name]["spec"]["strategy"]["type"]) for name in ingests
    }
    # One goes before another comes, so that a spare that has waited takes over.
    for spec in ({"replicas": changed["/spec/replicas"], "strategy": changed["/spec/strategy"]}, _funder_spec()):
        assert (2, {"maxSurge": 0, "maxUnavailable": 1}) == (spec["replicas"], spec["strategy"]["rollingUpdate"])


def _funder_spec() -> dict[str, Any]:
    spec: dict[str, Any] = processes()["funder-main"]["spec"]
    return spec


def test_every_variable_that_a_pod_is_given_is_a_setting() -> None:
    texts = [path.read_text() for path in sorted(K8S.rglob("*.yaml"))]
    named = {name for text in texts for name in re.findall(r"name: (TIDEMARK_\w+)", text)}

    assert len(named) > 5
    for overlay in OVERLAYS[-1:]:
        for name in named:
            section: Any = settings_of(overlay)
            parts = name.removeprefix("TIDEMARK_").lower().split("__")
            for depth, part in enumerate(parts):
                if isinstance(section, dict):
                    section = section[part]
                elif section is None:
                    # A section that is not set here: its keys are those of its class.
                    assert part in UNSET[".".join(parts[:depth])].model_fields, name
                    break
                else:
                    assert part in type(section).model_fields, name
                    section = getattr(section, part)


def test_secrets_come_by_reference_alone() -> None:
    assert not [one for one in resources() if one["kind"] == "Secret"]
    for name in NAMES:
        for variable in container_of(processes()[name]).get("env", ()):
            if re.search(r"KEY$|PASSWORD$|TOKEN$|MUON$|RPC$", variable["name"]):
                assert "secretKeyRef" in variable["valueFrom"], variable["name"]


def test_each_process_connects_as_the_user_that_has_its_rights() -> None:
    path = K8S / "components" / "kafka-security"
    (component,) = documents()[path / "kustomization.yaml"]
    users = {one["metadata"]["name"] for one in _users(STRIMZI[0])}
    matched: dict[str, str] = {}
    for patch in component["patches"]:
        text = (path / patch["path"]).read_text()
        said = re.search(r"SASL__USERNAME, value: (\S+) }", text)
        assert said is not None
        assert f"secret: {{ name: {said[1]}," in text
        matched |= {
            name: said[1]
            for name, one in processes().items()
            if one["kind"] == patch["target"]["kind"] and re.fullmatch(patch["target"]["name"], name)
        }

    assert set(NAMES) == set(matched)
    assert set(matched.values()) <= users
    assert user_name("ingest-symmio") == matched["ingest-chain-main"]
    assert user_name("ingest-prices") == matched["ingest-prices-binance-futures"]


def _users(overlay: Path) -> list[dict[str, Any]]:

    return list(yaml.safe_load_all((overlay / "users.yaml").read_text()))


def test_what_asks_nodes_venues_or_receivers_may_reach_out_and_nothing_else_may() -> None:
    (policy,) = (one for one in resources() if (one["kind"], one["metadata"]["name"]) == ("NetworkPolicy", "outside"))
    (chosen,) = policy["spec"]["podSelector"]["matchExpressions"]

    # Tools: `tidemark audit` and `tidemark doctor` ask the nodes.
    assert {"ingest", "funder", "webhooks", "tools"} == set(chosen["values"])
    assert "app.kubernetes.io/component" == chosen["key"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_processes_of_an_overlay_are_those_of_its_configuration(overlay: Path) -> None:
    settings = settings_of(overlay)
    arguments = {tuple(container_of(one).get("args", ())) for one in processes().values()}

    assert {("chain", name) for name in settings.deployments} <= arguments
    assert {("prices", name) for name in settings.sources} <= arguments


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_logs_are_json_but_where_somebody_reads_them_from_a_terminal(overlay: Path) -> None:
    assert ("text" if overlay.name == "dev" else "json") == settings_of(overlay).log.format


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_workers_of_an_overlay_share_the_partitions_evenly(overlay: Path) -> None:
    counts = {one["name"]: one["count"] for one in kustomization_of(overlay)["replicas"]}
    settings = settings_of(overlay)

    assert 0 == settings.topics.partitions % counts["worker"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_every_image_of_an_overlay_is_named_with_its_version(overlay: Path) -> None:
    images = {one["name"]: one for one in kustomization_of(overlay)["images"]}

    assert {f"tidemark/{target}" for target in PORTS} == images.keys()
    assert all("digest" in one or one["newTag"] not in {"", "latest"} for one in images.values())
