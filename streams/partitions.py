"""Which partition a key belongs to: murmur2, as Java's default partitioner and every producer of ours."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of ``key`` among ``partitions``, 0 ≤ result < partitions."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
