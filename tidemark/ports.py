"""Finds free TCP ports of this machine."""

from __future__ import annotations

import errno
import socket

from models.errors import TidemarkError

# A host name may resolve to an address of a family that this machine has switched off.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_ATTEMPTS = 20


class NoSuchHost(TidemarkError):
    """A host is no address of this machine. Correct it in the configuration."""


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on ``port`` now, at every address of ``host``.

    Raises:
        NoSuchHost: ``host`` is no name or address of this machine.
    """
    return _bound_port(host, port) is not None


def any_free_port(host: str) -> int:
    """Return a port of ``host`` that is free.

    Raises:
        NoSuchHost: ``host`` is no name or address of this machine.
    """
    for _ in range(_ATTEMPTS):
        # The first of several addresses chooses the port, which may be taken at another address.
        port = _bound_port(host, 0)
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


def url_host(host: str) -> str:
    """Return ``host`` as it stands in URLs: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


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
