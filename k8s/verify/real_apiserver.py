"""A kube-apiserver of our own on loopback, to which manifests are applied for real.

It has no controllers and no nodes: it decodes, defaults, validates and admits, and nothing ever runs.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tool_cache import NoTool, run

from tidemark.child_processes import tied_to_us
from tidemark.ports import any_free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tool_cache import Tools

_HOST = "127.0.0.1"
# Told to the server in a file, known to nobody else, and worth nothing: the server lives for a minute on loopback.
_TOKEN = "verifier"  # noqa: S105
_START_S = 90.0
_POLL_S = 0.2
_CLIENT_ERROR = 400


class Answer(NamedTuple):
    """What the server said: its status, the object or error, and the warnings in its headers."""

    status: int
    body: dict[str, Any]
    warnings: list[str]

    @property
    def fault(self) -> str | None:
        """Why it was refused; None where it was taken."""
        return None if self.status < _CLIENT_ERROR else str(self.body.get("message", self.body))


class ApiServer:
    """Speaks to the server."""

    def __init__(self, port: int) -> None:
        self._url = f"https://{_HOST}:{port}"
        # It signs its certificate itself, and is our own child on loopback.
        self._context = ssl._create_unverified_context()  # noqa: S323, SLF001
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send a request, and return the answer whatever its status is."""
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self._url}{path}", data=data, method=method, headers=headers)  # noqa: S310 - https alone
        try:
            with urlopen(request, context=self._context, timeout=30) as response:  # noqa: S310
                return Answer(response.status, json.load(response), response.headers.get_all("Warning", []))
        except HTTPError as error:
            return Answer(error.code, json.load(error), error.headers.get_all("Warning", []))

    def create(self, manifest: dict[str, Any]) -> Answer:
        """Create what a manifest says; a field that is unknown or said twice is an error."""
        path = self._path_of(manifest)
        if path is None:
            return Answer(404, {"message": f"no kind {manifest['kind']} in {manifest['apiVersion']}"}, [])
        return self.ask("POST", f"{path}?fieldValidation=Strict", manifest)

    def is_up(self) -> bool:
        """Whether it answers that it is ready."""
        request = Request(f"{self._url}/readyz", headers={"Authorization": f"Bearer {_TOKEN}"})  # noqa: S310
        try:
            with urlopen(request, context=self._context, timeout=2) as response:  # noqa: S310
                return bool(response.status < _CLIENT_ERROR)
        except (URLError, OSError):
            return False

    def _path_of(self, manifest: dict[str, Any]) -> str | None:
        version, kind = manifest["apiVersion"], manifest["kind"]
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._plurals:
            for one in self.ask("GET", prefix).body.get("resources", ()):
                if "/" not in one["name"]:
                    self._plurals[version, one["kind"]] = one["name"], one["namespaced"]
        if (version, kind) not in self._plurals:
            return None
        plural, is_namespaced = self._plurals[version, kind]
        middle = f"/namespaces/{manifest['metadata']['namespace']}" if is_namespaced else ""
        return f"{prefix}{middle}/{plural}"


@contextmanager
def running(tools: Tools) -> Iterator[ApiServer]:
    """Run etcd and kube-apiserver for as long as the block lasts.

    Raises:
        NoTool: The server did not start; the message holds the end of its log.
    """
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        etcd, peer, port = (any_free_port(_HOST) for _ in range(3))
        etcd_url, peer_url = f"http://{_HOST}:{etcd}", f"http://{_HOST}:{peer}"
        # What a killed machine would lose of this nobody needs.
        command = [f"{tools.bin}/etcd", "--data-dir", f"{data}/etcd", "--unsafe-no-fsync"]
        command += ["--listen-client-urls", etcd_url, "--advertise-client-urls", etcd_url]
        command += ["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]
        command += ["--initial-cluster", f"default={peer_url}"]
        _start(stack, command, data / "etcd.log")
        log = data / "apiserver.log"
        server_process = _start(stack, _apiserver_command(tools, data, etcd_url, port), log)
        server, deadline = ApiServer(port), time.monotonic() + _START_S
        while not server.is_up():
            if time.monotonic() > deadline or server_process.poll() is not None:
                msg = f"expected kube-apiserver to be ready within {_START_S:.0f} s:\n{log.read_text()[-4000:]}"
                raise NoTool(msg)
            time.sleep(_POLL_S)
        yield server


def _apiserver_command(tools: Tools, data: Path, etcd_url: str, port: int) -> list[str]:
    key = data / "accounts.key"
    run(["openssl", "genrsa", "-out", key, "2048"])
    tokens = data / "tokens.csv"
    tokens.write_text(f"{_TOKEN},verifier,verifier\n")
    return [
        f"{tools.bin}/kube-apiserver",
        f"--etcd-servers={etcd_url}",
        f"--bind-address={_HOST}",
        f"--secure-port={port}",
        f"--cert-dir={data}/certificates",
        f"--token-auth-file={tokens}",
        "--authorization-mode=AlwaysAllow",
        "--service-account-issuer=https://verifier.invalid",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/16",
    ]


def _start(stack: ExitStack, command: list[str], log: Path) -> subprocess.Popen[bytes]:
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(tied_to_us(command), stdout=output, stderr=subprocess.STDOUT)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process
