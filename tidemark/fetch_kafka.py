"""Fetches the broker's jars, 44 MB, once from Maven's repositories: ``python -m tidemark.fetch_kafka DIRECTORY``.

It stands outside of ``tidemark.broker``, which imports ``jars`` itself: Python warns of a module that it runs and has
imported before.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tidemark.broker import BrokerFailed
from tidemark.broker.jars import ensure_jars


def main() -> None:
    """Fetch the jars into the directory given as the only argument."""
    try:
        ensure_jars(Path(sys.argv[1]))
    except BrokerFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
