"""Replay for Python: what the commands of replay answer, as objects, for scripts and notebooks.

    from tidemark.replay import open_log
    log = open_log("incident/")             # a capture or an archive; without it, the Kafka of the configuration
    log.asof("demo", "0x5b38…", time="2026-11-20T10:30:00Z").upnl
    log.explain("demo", "0x5b38…", since="-30m").terms.to_pandas()

Each method reads what the command of its name reads, and comes to the same; nothing is committed or written anywhere.
"""

from tidemark.replay.answers import AccountAnswer, Explanation, Scenario, Verification
from tidemark.replay.opened_log import OpenedLog, open_log
from tidemark.replay.tables import NeedsExtra, Table

__all__ = [
    "AccountAnswer",
    "Explanation",
    "NeedsExtra",
    "OpenedLog",
    "Scenario",
    "Table",
    "Verification",
    "open_log",
]
