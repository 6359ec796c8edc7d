"""The process that explains beside a replica is bounded before it is large, and does not outlive the replica."""

from __future__ import annotations

import json
import subprocess
import sys

from api.tables.explanations import ENDS_AFTER_S
from tidemark.child_processes import wait_gone

_BOUNDED = """
import ctypes, json, os, resource, signal, sys
from streams.replay.explain_within_bounds import keep_within_bounds
keep_within_bounds()
sent = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(sent))
print(json.dumps({
    "nice": os.nice(0),
    "processor": resource.getrlimit(resource.RLIMIT_CPU)[0],
    "data": resource.getrlimit(resource.RLIMIT_DATA)[1],
    "oom": open("/proc/self/oom_score_adj").read().strip(),
    "ends_with_its_parent": sent.value == signal.SIGKILL,
    "alarm_s": signal.alarm(0),
    "large": [name for name in ("aiokafka", "msgspec", "pydantic", "asyncio") if name in sys.modules],
}), flush=True)
"""
_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def test_bounds_hold_before_anything_large_is_imported() -> None:
    said = subprocess.run([sys.executable, "-c", _BOUNDED], check=True, capture_output=True).stdout
    found = json.loads(said)

    assert ENDS_AFTER_S < found.pop("alarm_s")
    assert {
        "nice": 19,
        "processor": 60,
        "data": 384 * 2**20,
        "oom": "1000",
        "ends_with_its_parent": True,
        "large": [],
    } == found


def test_the_process_ends_with_the_one_that_started_it_however_that_ends() -> None:
    child = f"{_BOUNDED}\nimport time\ntime.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", _PARENT, child], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()

    assert wait_gone(pid, 60)
