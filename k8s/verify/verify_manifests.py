"""``make k8s-verify``: every overlay against schemas, policies and a real kube-apiserver; images; alert rules."""

from __future__ import annotations

import sys
import time
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import yaml
from manifest_schemas import definitions
from real_apiserver import ApiServer, running
from static_checks import check_docker, check_rendered
from tool_cache import CACHE, ROOT, ensure_tools, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tool_cache import Tools

_FIRST = ("Namespace", "ServiceAccount", "ConfigMap")
_WITH_PODS = ("StatefulSet", "Deployment", "Job", "CronJob")
# Why what is not checked is not checked; printed each time, so that nobody takes it for done.
_NOT_SHOWN = (
    "not shown here: images are linted, not built; network policies and autoscaling are admitted, not exercised; "
    "no operator and no node acts on what was applied"
)


def main() -> None:
    """Check everything, print each fault, and end with 1 where there is one."""
    tools = ensure_tools()
    faults = check_docker(tools)
    _say("images, compose.yaml and alert rules", faults)
    overlays = sorted(path.parent for path in ROOT.glob("k8s/overlays/*/kustomization.yaml"))
    rendered = {overlay.name: _rendered(tools, overlay) for overlay in overlays}
    for name, path in rendered.items():
        found = check_rendered(tools, path)
        _say(f"overlay {name}: schemas and policies", found)
        faults += found
    with running(tools) as server:
        for crd in definitions(tools.crds):
            _expect(server.create(crd).fault)
        for crd in definitions(tools.crds):
            _wait_served(server, crd)
        _refuses_what_it_should(server)
        for name, path in rendered.items():
            documents = [one for one in yaml.safe_load_all(path.read_text()) if one]
            found = list(_refusals(server, documents))
            _say(f"overlay {name}: {len(documents)} objects on a real kube-apiserver", found)
            faults += found
    print(f"k8s-verify: {_NOT_SHOWN}")
    sys.exit(1 if faults else 0)


def _refuses_what_it_should(server: ApiServer) -> None:
    """See that the server is strict: else nothing that follows would say anything."""
    about = {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    _expect(server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": about}).fault)
    inside = {"name": "wrong", "namespace": "strict"}
    root = {"containers": [{"name": "root", "image": "root"}]}
    for wrong in (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": inside, "dota": {}},
        {"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": inside, "spec": {"partition": 1}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": inside, "spec": root},
    ):
        if server.create(wrong).fault is None:
            _expect(f"expected {wrong} to be refused, found that it was taken")


def _rendered(tools: Tools, overlay: Path) -> Path:
    target = CACHE / f"{overlay.name}.yaml"
    target.write_text(run([tools.bin / "kustomize", "build", overlay]))
    return target


def _refusals(server: ApiServer, documents: list[dict[str, Any]]) -> Iterator[str]:
    """Create everything, and the pods that controllers would make; say what is refused, warned of or dropped."""
    for manifest in sorted(documents, key=lambda one: one["kind"] not in _FIRST):
        yield from _created(server, manifest)
    for manifest in documents:
        if manifest["kind"] in _WITH_PODS:
            yield from _created(server, _pod_of(manifest))


def _created(server: ApiServer, manifest: dict[str, Any]) -> Iterator[str]:
    where = f"{manifest['kind']} {manifest['metadata']['name']}"
    answer = server.create(manifest)
    if answer.fault is not None:
        yield f"{where} is refused: {answer.fault}"
        return
    yield from (f"{where} is warned of: {warning}" for warning in answer.warnings)
    yield from (f"{where}: {lost}" for lost in _lost(manifest, answer.body, ""))


def _lost(sent: object, kept: object, path: str) -> Iterator[str]:
    """Say what of what was sent is not in what the server keeps."""
    match sent, kept:
        case dict(), dict():
            for key, value in sent.items():
                if key in kept:
                    yield from _lost(value, kept[key], f"{path}.{key}")
                # An empty list or table may go: it says as much as none.
                elif value not in ([], {}, None):
                    yield f"{path}.{key} was dropped"
        case list(), list():
            if len(sent) != len(kept):
                yield f"{path} had {len(sent)} entries and has {len(kept)}"
            for number, (one, other) in enumerate(zip(sent, kept, strict=False)):
                yield from _lost(one, other, f"{path}[{number}]")
        case _ if sent != kept:
            yield f"{path} was {sent!r} and is {kept!r}"
        case _:
            return


def _pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The pod that a controller would make of its template: only there the Pod Security standard is enforced."""
    spec = manifest["spec"].get("jobTemplate", manifest)["spec"]
    template = deepcopy(spec["template"])
    claims = spec.get("volumeClaimTemplates", ())
    template["spec"].setdefault("volumes", []).extend(
        {"name": one["metadata"]["name"], "persistentVolumeClaim": {"claimName": one["metadata"]["name"]}}
        for one in claims
    )
    about = {"name": f"{manifest['metadata']['name']}-0", "namespace": manifest["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], **about}, "spec": template["spec"]}


def _wait_served(server: ApiServer, crd: dict[str, Any]) -> None:
    """Wait until the server has the kind, which takes it a second."""
    deadline = time.monotonic() + 30
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
    while time.monotonic() < deadline:
        conditions = server.ask("GET", path).body.get("status", {}).get("conditions", ())
        if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
            return
        time.sleep(0.2)
    _expect(f"{crd['metadata']['name']} was not served within 30 s")


def _expect(fault: str | None) -> None:
    if fault is not None:
        sys.exit(f"k8s-verify: the server itself: {fault}")


def _say(what: str, faults: list[str]) -> None:
    print(f"k8s-verify: {what}: {'as expected' if not faults else f'{len(faults)} faults'}", flush=True)
    for fault in faults:
        print(f"  {fault}", flush=True)


if __name__ == "__main__":
    main()
