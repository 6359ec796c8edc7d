"""What a replica needs before it can accept sockets."""

from __future__ import annotations

import json
import subprocess
import sys

# Each takes some 50 to 500 ms to import, and none is of use to a replica.
NOT_OF_A_REPLICA = {"faust", "mode", "eth_account", "rich", "rocksdict", "hypothesis", "numpy"}
_SAY_MODULES = "import json, sys, tidemark.cli, api.server; print(json.dumps(sorted(sys.modules)))"


def test_a_replica_imports_nothing_that_only_workers_and_funders_need() -> None:
    said = subprocess.run([sys.executable, "-c", _SAY_MODULES], capture_output=True, check=True, timeout=60)

    assert set() == NOT_OF_A_REPLICA & set(json.loads(said.stdout))
