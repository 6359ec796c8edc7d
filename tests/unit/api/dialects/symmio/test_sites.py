from __future__ import annotations

import pytest

from api.dialects.symmio.sites import Sites
from streams.settings import BadSettings, Settings
from tests.support.solver import MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT, solver_settings

SHARED = "0x" + "a9" * 20


def two(first_hosts: tuple[str, ...] = (), second_hosts: tuple[str, ...] = ()) -> Settings:
    return solver_settings(
        first={"hosts": first_hosts, "multi_accounts": [MULTI_ACCOUNT, SHARED]},
        second={"hosts": second_hosts, "multi_accounts": [OTHER_MULTI_ACCOUNT, SHARED]},
    )


HOSTED = Sites(two(("a.example",), ("b.example", "B2.Example")))
PLAIN = Sites(two())


@pytest.mark.parametrize(
    ("host", "prefix", "deployment"),
    [
        ("a.example", None, "first"),
        ("A.Example:8443", None, "first"),
        ("b2.example.", None, "second"),
        ("a.example", "first", "first"),
        ("a.example", "second", None),
        ("127.0.0.1:8080", None, None),
        ("127.0.0.1:8080", "second", "second"),
    ],
)
def test_a_host_serves_its_own_deployment_and_others_serve_prefixes_only(
    host: str, prefix: str | None, deployment: str | None
) -> None:
    assert deployment == HOSTED.of(host, prefix)


@pytest.mark.parametrize(("prefix", "deployment"), [(None, None), ("second", "second")])
def test_where_none_of_several_deployments_has_a_host_the_root_is_nobodys(
    prefix: str | None, deployment: str | None
) -> None:
    assert deployment == PLAIN.of("any.example", prefix)


@pytest.mark.parametrize(("hosts", "deployment"), [((), "first"), (("a.example",), None)])
def test_the_root_is_the_only_deployments_unless_that_has_a_host(
    hosts: tuple[str, ...], deployment: str | None
) -> None:
    assert deployment == Sites(solver_settings(first={"hosts": hosts})).of("any.example", None)


@pytest.mark.parametrize(
    ("host", "prefix", "multi_account", "deployment"),
    [
        ("a.example", None, MULTI_ACCOUNT, "first"),
        ("a.example", None, OTHER_MULTI_ACCOUNT, None),
        ("a.example", "second", OTHER_MULTI_ACCOUNT, None),
        ("b.example", None, SHARED, "second"),
        ("localhost", None, OTHER_MULTI_ACCOUNT.upper().replace("0X", "0x"), "second"),
        ("localhost", None, SHARED, None),
        ("localhost", "second", SHARED, "second"),
        ("localhost", "second", MULTI_ACCOUNT, None),
        ("localhost", None, "0x" + "99" * 20, None),
    ],
)
def test_a_multi_account_says_which_deployment_is_meant_unless_host_or_prefix_say_another(
    host: str, prefix: str | None, multi_account: str, deployment: str | None
) -> None:
    assert deployment == HOSTED.of_multi_account(host, prefix, multi_account)


@pytest.mark.parametrize(("multi_account", "deployment"), [(OTHER_MULTI_ACCOUNT, "second"), (SHARED, None)])
def test_without_hosts_too_a_multi_account_says_which_deployment_is_meant(
    multi_account: str, deployment: str | None
) -> None:
    assert deployment == PLAIN.of_multi_account("localhost", None, multi_account)


def test_two_deployments_cannot_have_one_host() -> None:
    with pytest.raises(BadSettings, match=r"deployments\.second\.hosts: .*first's a\.example"):
        Sites(two(("a.example",), ("A.example",)))
