"""What the harness of rehearsals makes of the rendered overlay is what a kubelet would: commands, variables, files."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.rehearsals.bad_days import CHEAP, DEAR, PRICES
from tests.rehearsals.cluster import REPLICAS
from tests.rehearsals.rendered import (
    ROOT,
    Mounts,
    Namespace,
    Overlay,
    Workload,
    entrypoint,
    image_environment,
    rendered,
    variables,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not (shutil.which("kubectl") or shutil.which("kustomize")), reason="there is neither kubectl nor kustomize here"
)


@pytest.fixture(scope="module")
def overlay() -> Overlay:
    return rendered(ROOT / "k8s" / "overlays" / "prod")


def namespace(overlay: Overlay) -> Namespace:
    name, toml = overlay.config
    users = ("worker", "api", "ingest-prices", "ingest-symmio", "funder", "webhooks")
    secrets = {f"tidemark-{user}": {"password": "of-a-test"} for user in users}
    secrets |= {"tidemark-cluster-ca-cert": {"ca.crt": "PEM"}, "tidemark-token-keys": {"main": "key"}}
    return Namespace({name: {"tidemark.toml": toml}}, secrets | {"tidemark-rpc-main": {"endpoints": '["http://node"]'}})


def workload_of(overlay: Overlay, name: str) -> Workload:
    return overlay.workloads[name]


@pytest.mark.parametrize("name", REPLICAS)
def test_a_pod_reads_its_configuration_and_password_where_its_volumes_are(
    overlay: Overlay, tmp_path: Path, name: str
) -> None:
    workload, known = workload_of(overlay, name), namespace(overlay)
    mounts = Mounts(tmp_path, workload)
    mounts.fill(known.config, known.secrets)
    named = image_environment() | variables(workload.container, f"{name}-0", known.secrets)
    here = {variable: mounts.here(value) for variable, value in named.items()}

    assert f"{tmp_path}/config/tidemark.toml" == here["TIDEMARK_CONFIG"]
    assert "of-a-test" == (tmp_path / "kafka" / "password").read_text()
    assert f"{tmp_path}/kafka/password" == here["TIDEMARK_KAFKA_CLIENT__SASL__PASSWORD_FILE"]
    assert "TIDEMARK_DATA_DIR" in here
    if name == "api":
        assert f'file = "{tmp_path}/tokens/main"' in (tmp_path / "config" / "tidemark.toml").read_text()


def test_a_worker_is_a_static_member_by_the_name_of_its_pod_and_keeps_its_rows_in_its_volume(
    overlay: Overlay, tmp_path: Path
) -> None:
    worker = workload_of(overlay, "worker")
    named = image_environment() | variables(worker.container, "worker-1", {"any": {}})

    assert "worker-1" == named["TIDEMARK_WORKER__INSTANCE_ID"]
    assert f"{tmp_path}/data" == Mounts(tmp_path, worker).here(named["TIDEMARK_DATA_DIR"])


def test_a_pod_runs_the_entry_point_of_its_image(overlay: Overlay) -> None:
    commands = {name: entrypoint(workload_of(overlay, name).target) for name in ("worker", "api", PRICES)}

    assert {"worker": ["tidemark", "worker"], "api": ["tidemark", "api"], PRICES: ["tidemark", "ingest"]} == commands
    assert ["prices", "binance-futures"] == workload_of(overlay, PRICES).container["args"]


def test_rehearsals_have_names_by_which_they_can_be_chosen() -> None:
    names = [one.name for one in (*CHEAP, *DEAR)]

    assert len(set(names)) == len(names)
