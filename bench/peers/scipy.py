"""scipy: the bare product of all exposures and prices, by its sparse matrix."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

# Installed where this runs, in an environment of its own, and not where it is checked.
from scipy.sparse import csr_array  # type: ignore[import-untyped]


def main(directory: Path, rounds: int) -> None:
    """Print what each round took, in ns of processor and of wall time.

    Args:
        directory: Has ``symbol`` and ``signed`` of (accounts, positions) and ``prices`` of (symbols), as .npy.
        rounds: How many.
    """
    symbol, signed, prices = (np.load(directory / f"{name}.npy") for name in ("symbol", "signed", "prices"))
    accounts, positions = symbol.shape
    starts = np.arange(0, accounts * positions + 1, positions, dtype=np.int32)
    matrix = csr_array((signed.ravel(), symbol.ravel(), starts), shape=(accounts, len(prices)))
    process_ns, wall_ns = [], []
    for _ in range(rounds):
        wall, process = time.perf_counter_ns(), time.process_time_ns()
        matrix @ prices
        process_ns.append(time.process_time_ns() - process)
        wall_ns.append(time.perf_counter_ns() - wall)
    print(json.dumps({"process_ns": process_ns, "wall_ns": wall_ns}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
