"""Apache Kafka as a child process: one node in KRaft mode, for a laptop and for tests."""

from __future__ import annotations

from tidemark.broker.broker import Broker
from tidemark.broker.errors import BrokerFailed, DiskFull

__all__ = ["Broker", "BrokerFailed", "DiskFull"]
