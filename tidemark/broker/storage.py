"""The directory in which a broker keeps its records: it is formatted once, and then has the cluster's id."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING

from tidemark.broker.errors import BrokerFailed, DiskFull
from tidemark.broker.progress import Progress
from tidemark.child_processes import tied_to_us
from tidemark.full_disk import says_full

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK_EVERY_S = 1.0
_LAST_CHARACTERS = 2_000


def format_storage(
    log_dir: Path, java: list[str], properties: Path, *, say: Callable[[str], None], given_up_after_s: float
) -> None:
    """Format ``log_dir`` unless it is formatted, for as long as the tool works.

    Args:
        log_dir: The directory.
        java: The command that runs a class of Kafka, without the class.
        properties: The broker's configuration.
        say: Hears now and then what is done.
        given_up_after_s: How long the tool may stand still, in s.

    Raises:
        DiskFull: There is no room.
        BrokerFailed: The tool failed or stood still.
    """
    if (log_dir / "meta.properties").is_file():
        return
    # A format that was cut short leaves files that the next one would stumble over.
    shutil.rmtree(log_dir, ignore_errors=True)
    # The tool takes a value that begins with a hyphen for an option. With six zero bits first, it begins with A.
    cluster_id = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    command = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
    exit_code, said = _run(command, f"formatting {log_dir}", say, given_up_after_s)
    if exit_code != 0:
        shutil.rmtree(log_dir, ignore_errors=True)
        msg = f"Kafka could not format {log_dir}:\n{said[-_LAST_CHARACTERS:]}"
        raise DiskFull(msg) if says_full(said) else BrokerFailed(msg)


def cluster_id_in(log_dir: Path) -> str:
    """Read the id of the cluster whose records a formatted directory keeps.

    Raises:
        BrokerFailed: The directory does not say it.
    """
    meta = log_dir / "meta.properties"
    try:
        lines = meta.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)["cluster.id"]
    except (OSError, KeyError) as error:
        msg = f"expected the cluster's id in {meta}, found none ({error!r}); move {log_dir} away to begin anew"
        raise BrokerFailed(msg) from error


def _run(command: list[str], doing: str, say: Callable[[str], None], given_up_after_s: float) -> tuple[int, str]:
    process = subprocess.Popen(
        tied_to_us(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    progress = Progress(process.pid, None)
    try:
        while True:
            try:
                said, _ = process.communicate(timeout=_LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                say(doing)
                if (idle_s := progress.idle_s()) > given_up_after_s:
                    msg = f"expected {doing} to go on, found that it has stood still for {idle_s:.0f} s"
                    raise BrokerFailed(msg) from None
            else:
                return process.returncode, said
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
