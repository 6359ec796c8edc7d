"""Asks a Kafka broker for its cluster's id, with one Metadata request over a plain socket."""

from __future__ import annotations

import socket
import struct

_METADATA = 3
# Version 2 is the first that answers with the cluster's id, and has no tagged fields yet.
_VERSION = 2
_CLIENT = b"tidemark-probe"
_LONGEST_ANSWER = 1 << 20
_REQUEST = struct.pack(
    f">hhih{len(_CLIENT)}si",
    _METADATA,
    _VERSION,
    1,
    len(_CLIENT),
    _CLIENT,
    0,
)


def cluster_id_at(host: str, port: int, timeout_s: float = 1.0) -> str | None:
    """Ask a broker for the id of its cluster.

    Args:
        host: The broker's name or address.
        port: Its port.
        timeout_s: How long to wait for it to connect, and for each part of its answer, in s.

    Returns:
        The cluster's id; None while no live broker answers there.
    """
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(_REQUEST)) + _REQUEST)
            with connection.makefile("rb") as stream:
                (size,) = struct.unpack(">i", stream.read(4))
                if not 0 < size <= _LONGEST_ANSWER:
                    return None
                return _cluster_id(stream.read(size))
    except (OSError, struct.error, UnicodeDecodeError):
        return None


def _cluster_id(answer: bytes) -> str | None:
    _correlation, brokers = struct.unpack_from(">ii", answer)
    at = 8
    for _ in range(brokers):
        at += 4
        _host, at = _text(answer, at)
        at += 4
        _rack, at = _text(answer, at)
    cluster_id, _ = _text(answer, at)
    # A broker that has not joined its cluster yet answers with an empty list of brokers.
    return cluster_id if brokers > 0 else None


def _text(answer: bytes, at: int) -> tuple[str | None, int]:
    (length,) = struct.unpack_from(">h", answer, at)
    at += 2
    return (None, at) if length < 0 else (answer[at : at + length].decode(), at + length)
