"""Which addresses may be posted to: those of the public internet, unless the configuration allows others.

A name is resolved by the connection itself and its answers are looked at then, so that a name which means
another address a moment later is refused as well.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    import socket

# Networks of IPv6 in whose addresses one of IPv4 stands, in the last 32 bits (NAT64) or behind the prefix (6to4).
_NAT64 = ip_network("64:ff9b::/96")
# What is of no public network either, and not in the lists of every version of Python that we run on: translators of a
# network's own (RFC 8215), site-local addresses, addresses with one of IPv4 in them that nobody translates any more,
# and what is set aside for protocols, examples and segment routing.
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            *("64:ff9b:1::/48", "fec0::/10", "::/96", "3fff::/20", "5f00::/16"),
            *("192.0.0.0/24", "192.88.99.0/24"),
        ),
    )
)


class PrivateAddress(OSError):
    """A receiver's name means an address that may not be posted to. Set ``allow_private`` if it is meant to."""


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, also where it has one of IPv4 in it."""
    address = ip_address(text.partition("%")[0])
    return all(map(_is_of_the_internet, (address, *_inner(address))))


def _is_of_the_internet(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    return not any(address.version == network.version and address in network for network in _NOT_PUBLIC)


def expect_public(host: str) -> None:
    """Refuse a host that is written as an address which may not be posted to; a name is looked at when it is resolved.

    Raises:
        PrivateAddress: It is such an address.
    """
    try:
        is_private = not is_public(host)
    except ValueError:
        return
    if is_private:
        msg = f"expected a public address, found {host}"
        raise PrivateAddress(msg)


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses one if any address that it means is not public.

    Args:
        resolver: Asks DNS.
    """

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = 0) -> list[ResolveResult]:  # type: ignore[assignment]
        """Resolve a name.

        Args:
            host: The name.
            port: The port that is going to be connected to.
            family: Of which family addresses are wanted.

        Raises:
            PrivateAddress: It means an address that may not be posted to.
        """
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            if not is_public(one["host"]):
                msg = f"expected {host} to mean public addresses, found {one['host']}"
                raise PrivateAddress(msg)
        return found

    async def close(self) -> None:
        """Close what asks DNS."""
        await self._resolver.close()


def _inner(address: IPv4Address | IPv6Address) -> tuple[IPv4Address, ...]:
    if isinstance(address, IPv4Address):
        return ()
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return tuple(one for one in found if one is not None)
