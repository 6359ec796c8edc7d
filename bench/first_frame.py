"""From a clean clone to the first uPnL frame of ``make run``, once with cold caches and once warm.

Clones this repository's committed state into a scratch directory, runs ``make run`` there as a new user would, asks the
websocket for an account of the demo as soon as it answers, and ends everything with Ctrl-C. Cold means that pip and
Maven have to fetch what they need again; warm is the second start in the same clone.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[1]
WAIT_S = 600


def said(log: Path) -> str:
    """What ``make run`` has printed so far."""
    return log.read_text(errors="replace")


async def first_frame(directory: Path, log: Path) -> str:
    """The first frame any account of the demo gets; the page's address is what ``make run`` prints."""
    deadline = time.monotonic() + WAIT_S
    async with aiohttp.ClientSession() as client:
        while time.monotonic() < deadline:
            page = re.search(r"http://127\.0\.0\.1:\d+/", said(log))
            try:
                if page is not None:
                    async with client.get(f"{page[0]}accounts?limit=1") as answer:
                        accounts = (await answer.json())["accounts"]
                    if accounts:
                        async with client.ws_connect(f"{page[0]}upnl-ws") as socket:
                            await socket.send_str(accounts[0]["address"])
                            return str(await socket.receive_str(timeout=5))
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
                pass
            await asyncio.sleep(0.1)
    msg = f"expected a frame within {WAIT_S} s of make run in {directory}, found:\n{said(log)[-2000:]}"
    raise TimeoutError(msg)


def run(directory: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from ``make run`` to the first frame, and from Ctrl-C to its end."""
    log = directory / "run.log"
    with log.open("w") as output:
        started_s = time.monotonic()
        process = subprocess.Popen(
            ["make", "run"], cwd=directory, env=environment, stdout=output, stderr=output, start_new_session=True  # noqa: S607
        )  # fmt: skip
    try:
        frame = asyncio.run(first_frame(directory, log))
        seconds = time.monotonic() - started_s
        print(frame, file=sys.stderr)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        stopped_s = time.monotonic()
        process.wait(20)
    return seconds, time.monotonic() - stopped_s


def main() -> None:
    """Measure and print one line of JSON."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        clone = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)  # noqa: S603, S607
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("TIDEMARK_", "VIRTUAL_ENV"))}
        cold = kept | {"PIP_NO_CACHE_DIR": "1", "MAVEN_OPTS": f"-Dmaven.repo.local={scratch}/m2"}
        cold_s, _ = run(clone, cold)
        warm_s, stop_s = run(clone, kept)
    figures = {"cold_s": round(cold_s, 1), "warm_s": round(warm_s, 1), "ctrl_c_to_end_s": round(stop_s, 1)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
