"""scipy: the bare product of all exposures and prices, by its sparse matrix."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

# Installed where this runs, in an environment of its own, and not where it is checked.
from scipy.sparse import csr_array  # type: ignore[import-untyped]

from bench.peers.timed import Timed


def main(directory: Path, rounds: int) -> None:
    """Print the times of each round.

    Args:
        directory: Has ``symbol`` and ``signed`` of (accounts, positions) and ``prices`` of (symbols), as .npy.
        rounds: How many.
    """
    symbol, signed, prices = (np.load(directory / f"{name}.npy") for name in ("symbol", "signed", "prices"))
    accounts, positions = symbol.shape
    starts = np.arange(0, accounts * positions + 1, positions, dtype=np.int32)
    matrix = csr_array((signed.ravel(), symbol.ravel(), starts), shape=(accounts, len(prices)))
    timed = Timed()
    for _ in range(rounds):
        timed.call(lambda: matrix @ prices)
    print(json.dumps(asdict(timed)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
