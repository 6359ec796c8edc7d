"""The address that a request comes from, seen through proxies, and the part of it that limits are counted by."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp import web

Address = IPv4Address | IPv6Address

# A provider gives a customer a network of this size; further addresses within it cost that customer nothing.
_IPV6_PREFIX_BITS = 64


class ClientAddresses:
    """Finds the address of a client from the connection's other end and from what trusted proxies say.

    Args:
        trusted_proxies: Networks of proxies whose ``X-Forwarded-For`` is believed.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted = [ip_network(network) for network in trusted_proxies]

    def of(self, peer: str | None, forwarded_for: Sequence[str]) -> Address | None:
        """Find the nearest address that is not a trusted proxy's; where all are, the farthest one.

        Addresses to the left of it may have been written by anybody.

        Args:
            peer: The address the connection comes from.
            forwarded_for: Values of ``X-Forwarded-For``, in the order of the headers.

        Returns:
            None where the peer has no address.
        """
        client = _parse(peer or "")
        for hop in reversed(",".join(forwarded_for).split(",")):
            if client is None or not self._is_trusted(client):
                break
            said = _parse(hop.strip())
            if said is None:
                break
            client = said
        return client

    def limit_key_of(self, request: web.BaseRequest) -> str:
        """Find the key that limits on the request's client are counted by."""
        return limit_key(self.of(request.remote, request.headers.getall("X-Forwarded-For", ())))

    def key_of_peer(self, peer: str | None) -> str | None:
        """Find the key that limits on connections are counted by, from the address of their other end.

        Returns:
            None for a trusted proxy, through which many clients come.
        """
        return None if self.is_trusted_peer(peer) else limit_key(_parse(peer or ""))

    def forwarded_for(self, peer: str | None, forwarded_for: Sequence[str]) -> str:
        """Make the ``X-Forwarded-For`` of a request that is passed on: what a trusted proxy said, and the peer.

        Args:
            peer: The address the connection comes from.
            forwarded_for: Values of ``X-Forwarded-For``, in the order of the headers. Only those of a trusted proxy are
                passed on.
        """
        address = _parse(peer or "")
        said = [hop.strip() for hop in ",".join(forwarded_for).split(",")] if self.is_trusted_peer(peer) else []
        return ", ".join([*filter(_parse, said), "unknown" if address is None else str(address)])

    def is_trusted_peer(self, peer: str | None) -> bool:
        """Whether a connection comes from a trusted proxy."""
        address = _parse(peer or "")
        return address is not None and self._is_trusted(address)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def limit_key(address: Address | None) -> str:
    """Find what clients that share a limit have in common: an IPv4 address, or the first 64 bits of an IPv6 address."""
    match address:
        case IPv6Address():
            return str(IPv6Network((address.packed, _IPV6_PREFIX_BITS), strict=False))
        case IPv4Address():
            return str(address)
        case None:
            return "unknown"


def _parse(text: str) -> Address | None:
    """Read an address. Some proxies write a port behind it, and some write an IPv4 address in the form of IPv6."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
