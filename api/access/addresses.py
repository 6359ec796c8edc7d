"""Which client a request comes from, through proxies, and what of an address limits go by."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp import web

Address = IPv4Address | IPv6Address

# What one customer is given of IPv6; within it an address costs nothing.
_IPV6_PREFIX_BITS = 64


class ClientAddresses:
    """Tells the address of a client from its peer's and from what proxies say.

    Args:
        trusted_proxies: Networks whose word is taken.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted = [ip_network(network) for network in trusted_proxies]

    def of(self, peer: str | None, forwarded_for: Sequence[str]) -> Address | None:
        """The nearest address that is no trusted proxy's, or, where the proxies say no more, the farthest of theirs.

        What stands to the left of it anybody may have written.

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
        """What the limits of the request's client go by."""
        return limit_key(self.of(request.remote, request.headers.getall("X-Forwarded-For", ())))

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def limit_key(address: Address | None) -> str:
    """What clients that share a limit have in common: an IPv4 address, or the first 64 bits of an IPv6 one."""
    match address:
        case IPv6Address():
            return str(IPv6Network((address.packed, _IPV6_PREFIX_BITS), strict=False))
        case IPv4Address():
            return str(address)
        case None:
            return "unknown"


def _parse(text: str) -> Address | None:
    """An address; some proxies write its port behind it. One of IPv4 that is written as IPv6 is one of IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
