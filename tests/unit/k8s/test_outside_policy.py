"""What pods that speak with the internet may reach, by the network policy."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import yaml

POLICY = Path(__file__).parents[3] / "k8s" / "components" / "network-policies" / "outside.yaml"


def is_reached(address: str) -> bool:
    (rule,) = yaml.safe_load(POLICY.read_text())["spec"]["egress"]
    return any(
        ip_address(address) in ip_network(to["ipBlock"]["cidr"])
        and not any(ip_address(address) in ip_network(one) for one in to["ipBlock"]["except"])
        for to in rule["to"]
    )


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.8"),
        *("192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::1", "::7f00:1", "64:ff9b:1::a00:1", "fc00::1", "fe80::1", "fec0::1", "ff02::1"),
    ],
)
def test_nothing_of_a_private_network_is_reached(address: str) -> None:
    assert not is_reached(address)


# The second but last is how a cluster without IPv4 reaches the internet of it.
@pytest.mark.parametrize("address", ["1.1.1.1", "198.51.1.1", "223.1.1.1", "64:ff9b::101:101", "2606:4700:4700::1111"])
def test_the_internet_is_reached(address: str) -> None:
    assert is_reached(address)
