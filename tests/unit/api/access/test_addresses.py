"""Which client a request comes from, and whose pages may open websockets."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from aiohttp.test_utils import make_mocked_request

from api.access.addresses import ClientAddresses, limit_key
from api.access.origins import is_origin_allowed

PROXY, OUTER_PROXY, CLIENT = "10.0.0.1", "2001:db8:1::5", "203.0.113.9"
TRUSTED = ("10.0.0.0/8", "2001:db8:1::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        (CLIENT, [], CLIENT),
        (CLIENT, ["198.51.100.1"], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"1.2.3.4, {CLIENT}"], CLIENT),
        (PROXY, [f"1.2.3.4, {CLIENT}", OUTER_PROXY], CLIENT),
        (PROXY, [f"{CLIENT}:4711"], CLIENT),
        (PROXY, [f"{CLIENT}, [{OUTER_PROXY}]:443"], CLIENT),
        (PROXY, [f"{CLIENT}, unknown"], PROXY),
        (PROXY, [", ,"], PROXY),
        (PROXY, ["10.0.0.2"], "10.0.0.2"),
        (PROXY, ["::ffff:203.0.113.9"], CLIENT),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_trusted_proxy(
    peer: str, forwarded_for: list[str], client: str
) -> None:
    assert ip_address(client) == ClientAddresses(TRUSTED).of(peer, forwarded_for)


def test_without_trusted_proxies_nobody_can_say_where_they_come_from() -> None:
    assert ip_address(PROXY) == ClientAddresses(()).of(PROXY, [CLIENT])


@pytest.mark.parametrize("peer", [None, "", "no address"])
def test_a_peer_without_address_is_none(peer: str | None) -> None:
    assert ClientAddresses(TRUSTED).of(peer, [CLIENT]) is None


def test_addresses_of_one_customer_share_their_limits() -> None:
    addresses = map(ip_address, ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1", CLIENT))
    assert ["2001:db8::/64", "2001:db8::/64", "2001:db8:0:1::/64", CLIENT] == list(map(limit_key, addresses))
    assert "unknown" == limit_key(None)


def test_the_headers_of_a_request_are_read() -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": CLIENT})
    request = request.clone(remote=PROXY)
    assert CLIENT == ClientAddresses(TRUSTED).limit_key_of(request)


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (None, True),
        ("https://app.example", True),
        ("HTTPS://App.Example", True),
        ("http://app.example", False),
        ("https://app.example:8443", False),
        ("https://app.example.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_pages_of_allowed_origins_may(origin: str | None, *, is_allowed: bool) -> None:
    assert is_allowed == is_origin_allowed(origin, "api.example", ("https://app.example",))


def test_any_page_may_where_any_is_allowed() -> None:
    assert is_origin_allowed("null", "api.example", ("*",))
    assert is_origin_allowed("https://anywhere.example", "api.example", ("*",))


@pytest.mark.parametrize(
    ("origin", "host", "is_allowed"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("https://API.example", "api.example", True),
        ("https://api.example", "api.example:443", True),
        ("http://api.example", "api.example:80", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://api.example:8081", "api.example:8080", False),
        ("http://api.example", "api.example:443", False),
        ("https://evil.example", "api.example", False),
        ("https://api.example.evil.example", "api.example", False),
        ("null", "", False),
        ("", "", False),
        ("file://", "", False),
        ("ftp://api.example", "api.example", False),
    ],
)
def test_the_pages_that_the_server_itself_serves_may_whatever_is_allowed_beside_them(
    origin: str, host: str, *, is_allowed: bool
) -> None:
    assert is_allowed == is_origin_allowed(origin, host, ("https://app.example",))
