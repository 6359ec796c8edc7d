"""Finds free TCP ports of this machine, outside the range from which its clients are given theirs.

A server on a port of that range can lose it: while the server is down, a client that tries to reach it may be given the
very port that it connects to. It is then connected to itself, and the server cannot bind the port for minutes.
"""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Sequence

# A host name may resolve to an address of a family that this machine has switched off.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_ATTEMPTS = 20
_CLIENT_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# RFC 6335 names this range; systems that do not say theirs use it.
_USUAL_CLIENT_RANGE = (49_152, 65_535)
# Only root may bind the ports below this one.
_FIRST_PORT = 1_024
# Servers of other programs have their usual ports below this one.
_FIRST_QUIET_PORT = 10_000
_LAST_PORT = 65_535


class NoSuchHost(TidemarkError):
    """A host is no address of this machine. Correct it in the configuration."""


class PortInUse(TidemarkError):
    """A port that the configuration sets is taken. Stop what listens there, or set another port."""


def client_ports() -> range:
    """The ports of which this machine gives one to each client that connects."""
    try:
        first, last = map(int, _CLIENT_RANGE_FILE.read_text().split())
    except (OSError, ValueError):
        first, last = _USUAL_CLIENT_RANGE
    return range(first, last + 1)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on ``port`` now, at every address of ``host``.

    Raises:
        NoSuchHost: ``host`` is no name or address of this machine.
    """
    return _bound_port(host, port) is not None


def any_free_port(host: str) -> int:
    """Return a port of ``host`` that is free and that no client of this machine is given.

    Where clients may be given any port there is, it is one of these.

    Raises:
        NoSuchHost: ``host`` is no name or address of this machine.
    """
    candidates = _server_ports()
    # A random one, so that two stacks that start at a time do not look at the same ports.
    for wanted in random.sample(candidates, min(_ATTEMPTS, len(candidates))) or [0] * _ATTEMPTS:
        # With 0, the first of several addresses chooses the port, which may be taken at another address.
        port = _bound_port(host, wanted)
        if port is not None:
            return port
    msg = f"expected a free port at {host}, found none in {_ATTEMPTS} attempts"
    raise NoSuchHost(msg)


def free_port(host: str, wanted: int | None) -> int:
    """Return ``wanted`` if it is free, else another free port.

    Raises:
        NoSuchHost: ``host`` is no name or address of this machine.
    """
    return wanted if wanted and is_free(host, wanted) else any_free_port(host)


def required_port(host: str, wanted: int, setting: str) -> int:
    """Return ``wanted``, which somebody set, if it is free.

    Args:
        host: Where a server is to listen.
        wanted: The port; 0 stands for any free one.
        setting: The setting's name, such as ``api.port``.

    Returns:
        The port, or the one chosen for 0.

    Raises:
        NoSuchHost: ``host`` is no name or address of this machine.
        PortInUse: The port is taken.
    """
    if not wanted:
        return any_free_port(host)
    if is_free(host, wanted):
        return wanted
    variable = f"TIDEMARK_{setting.upper().replace('.', '__')}"
    msg = (
        f"{setting}: expected {url_host(host)}:{wanted} to be free, found that something listens there; "
        f"stop it, or set another port, or 0 for any free one ({variable})"
    )
    raise PortInUse(msg)


def url_host(host: str) -> str:
    """Return ``host`` as it stands in URLs: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _server_ports() -> Sequence[int]:
    """The ports that no client is given; those where other programs' servers usually are only if there are no more."""
    clients = client_ports()
    quiet = range(_FIRST_QUIET_PORT, clients.start)
    below = range(_FIRST_PORT, clients.start)
    above = range(clients.stop, _LAST_PORT + 1)
    return quiet or below or above


def _bound_port(host: str, port: int) -> int | None:
    """Bind every address of ``host`` to one port for a moment, and return the port; None where it is taken."""
    bound = None
    for family, address in _addresses(host):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                # asyncio sets this too, so that :: and 0.0.0.0 can be listened on side by side.
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, bound or port))
            except OSError as error:
                if error.errno in _NOT_HERE:
                    continue
                return None
            bound = int(probe.getsockname()[1])
    if bound is None:
        msg = f"expected a name or address of this machine to listen on, found {host!r}"
        raise NoSuchHost(msg)
    return bound


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        msg = f"expected a name or address of this machine to listen on, found {host!r}: {error.strerror}"
        raise NoSuchHost(msg) from error
    return [(family, str(address[0])) for family, _, _, _, address in found]
