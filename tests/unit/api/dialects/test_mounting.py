"""A dialect of an installed package: found by its kind, gated as all are, and refused where it cannot stand."""

from __future__ import annotations

import asyncio
import importlib
import logging
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSServerHandshakeError

from api.access.gate import Filtered, OneAccount
from api.app import create_app
from api.dialects.mounting import DialectPackage, dialect_of
from streams.process.clock import SystemClock
from streams.settings import BadSettings, Settings, load_settings
from streams.settings.dialects import UnreadDialect
from streams.settings.installed import BadPackage
from tests.support.api import FakeInterest, serving, symmio_that_hears
from tests.support.eventually import eventually
from tests.support.feed import FakeTables
from tests.support.venues import announce
from tests.support.walk import GHOST, MINE, NOW_S, THEIRS, asks, records, token, walked_settings, walked_tables
from tidemark.config_text import effective_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]

GROUP = "tidemark.dialects"
# What a row has of the account MINE, at 1e18.
UPNL = "-12500000000000000000"


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place where packages are installed; one is."""
    directory = announce(tmp_path / "site", "plaintext", "tidemark_plaintext:PACKAGE", GROUP)
    monkeypatch.syspath_prepend(str(directory))
    importlib.invalidate_caches()
    dialect_of.cache_clear()
    yield directory
    dialect_of.cache_clear()


def mounting(settings: Settings, **sections: dict[str, Any]) -> Settings:
    """The settings with these sections of dialects, as a file would have them."""
    dialects = {name: UnreadDialect.model_validate(section) for name, section in sections.items()}
    return settings.model_copy(update={"dialects": dialects})


def plain(**more: object) -> dict[str, Any]:
    return {"kind": "plaintext", "deployments": ["main"], **more}


def walked(**sections: dict[str, Any]) -> AbstractAsyncContextManager[Client]:
    """Two deployments, tokens, and the figures of two accounts."""
    settings = mounting(walked_settings(), **sections)
    return serving(walked_tables(), settings, records=records(), clock_ms=lambda: NOW_S * 1_000)


def bearer(*accounts: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(*accounts)}"}


async def text_of(client: Client, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    async with client.get(path, headers=headers or {}) as response:
        return response.status, await response.text()


async def refused(settings: Settings) -> str:
    with pytest.raises(BadSettings) as caught:
        create_app(
            settings,
            FakeTables("main").feeds,
            FakeInterest(),
            clock=SystemClock(),
            find_dialect=symmio_that_hears(),
        )
    return str(caught.value)


async def test_an_installed_dialect_answers_beside_symmios_with_its_own_settings() -> None:
    async with walked(lines=plain(greeting="uPnL ")) as client:
        assert (200, f"uPnL {UPNL}") == await text_of(client, f"/plain/account/main:{MINE}", bearer("main:*"))
        status, text = await text_of(client, f"/partyA_upnl/{MINE}", bearer("main:*"))
        assert (200, '"-12.5"') == (status, text)


async def test_it_is_gated_as_every_dialect_is() -> None:
    async with walked(lines=plain()) as client:
        for headers, status in ((None, 401), (bearer(f"main:{MINE}"), 404), (bearer(f"main:{THEIRS}"), 200)):
            found, text = await text_of(client, f"/plain/account/main:{THEIRS}", headers)
            assert (status, status == 200) == (found, "77125" in text)
        theirs, nobodys = (
            [one for one in asks(client.app, account, account, 1) if one.canonical.startswith("/plain")]
            for account in (THEIRS, GHOST)
        )
        assert [Filtered, Filtered, OneAccount, OneAccount] == sorted((type(ask.reads) for ask in theirs), key=str)
        for shown, absent in zip(theirs, nobodys, strict=True):
            answers = [await text_of(client, one.path, bearer(f"main:{MINE}")) for one in (shown, absent)]
            assert answers[0] == (answers[1][0], answers[1][1].replace(GHOST, THEIRS))
        with pytest.raises(WSServerHandshakeError, match="401"):
            await client.ws_connect("/plain/ws")


async def test_what_is_refused_under_its_paths_is_said_in_its_own_words_and_elsewhere_as_before() -> None:
    async with walked(lines=plain()) as client:
        for headers, said in (({}, "error 401: "), (bearer("main:*"), "error 404: ")):
            assert said == (await text_of(client, "/plain/x", headers))[1][: len(said)]
        for path in ("/plainer", "/upnl-a/x", "/main/x"):
            async with client.get(path, headers=bearer("main:*")) as response:
                assert (404, 404) == (response.status, (await response.json())["error_code"])


async def test_its_accounts_are_watched_and_its_sockets_drained_with_all() -> None:
    settings = mounting(walked_settings(), lines=plain())
    interest = FakeInterest()
    async with (
        serving(
            walked_tables(), settings, records=records(), interest=interest, clock_ms=lambda: NOW_S * 1_000
        ) as client,
        client.ws_connect("/plain/ws", headers=bearer("main:*")) as socket,
    ):
        await socket.send_str(f"main:{MINE}")
        assert UPNL == await socket.receive_str()
        draining = asyncio.create_task(client.app.shutdown())
        await socket.receive()
        await draining
        assert 1012 == socket.close_code
    assert [f"main:{MINE}".encode()] == interest.ever_watched


async def test_a_replica_is_not_ready_before_its_dialects_are() -> None:
    settings = mounting(walked_settings(), lines=plain())
    tables = FakeTables("main", "other", ready=False)
    async with serving(tables, settings, records=records(), clock_ms=lambda: NOW_S * 1_000) as client:
        async with client.get("/readyz") as response:
            assert "lines cannot be written yet" in (await response.json())["reasons"]
        tables.become_ready()

        async def is_said() -> bool:
            async with client.get("/readyz") as response:
                return "lines cannot be written yet" not in (await response.json())["reasons"]

        await eventually(is_said)


async def test_a_kind_that_is_not_installed_is_told_and_stops_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with walked(mine={"kind": "telex", "deployments": ["main"]}, lines=plain()) as client:
        assert (200, UPNL) == await text_of(client, f"/plain/account/main:{MINE}", bearer("main:*"))
        assert 200 == (await text_of(client, f"/partyA_upnl/{MINE}", bearer("main:*")))[0]

    (said,) = (record.getMessage() for record in caplog.records)
    assert "dialects.mine is not served" in said
    assert "'telex'" in said
    assert f"install the package that brings it by an entry point of the group {GROUP}; there are bitfinex, " in said
    assert "plaintext, symmio" in said


def test_two_packages_of_one_kind_are_refused(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = announce(site.with_name("second"), "plaintext", "another:PACKAGE", GROUP)
    monkeypatch.syspath_prepend(str(second))
    importlib.invalidate_caches()
    with pytest.raises(BadPackage, match="uninstall all but one"):
        dialect_of("plaintext")


@pytest.mark.parametrize(
    ("path", "of"),
    [
        ("/v1/plain", "the api"),
        ("/docs", "the api"),
        ("/healthz", "the api"),
        ("/upnl-ws", "dialects.symmio"),
        ("/ws", "dialects.symmio"),
        ("/api/plain", "dialects.symmio"),
        ("/main", "dialects.symmio"),
        ("/other/plain", "dialects.symmio"),
    ],
)
async def test_a_path_that_something_else_has_is_refused_at_start(path: str, of: str) -> None:
    assert f"is one of {of}" in await refused(mounting(walked_settings(), lines=plain(path=path)))


async def test_two_sections_on_one_path_are_refused_and_on_two_served() -> None:
    assert "dialects.second: expected paths that nothing else has, found /plain, which is one of dialects.first" in (
        await refused(mounting(walked_settings(), first=plain(), second=plain()))
    )
    async with walked(first=plain(), second=plain(path="/plain-other", greeting="second ")) as client:
        assert (200, UPNL) == await text_of(client, f"/plain/account/main:{MINE}", bearer("main:*"))
        assert f"second {UPNL}" == (await text_of(client, f"/plain-other/account/main:{MINE}", bearer("main:*")))[1]


async def test_a_route_beside_the_paths_that_it_says_is_refused() -> None:
    package = dialect_of("plaintext")
    assert package is not None

    def astray(site: Any, settings: Any) -> Any:  # noqa: ANN401 - as packages have it
        mounted = package.mount(site, settings)
        return mounted._replace(path_prefixes=["/elsewhere"])

    with pytest.raises(BadSettings, match=r"dialects\.lines: expected routes within its path_prefixes, found /plain/"):
        create_app(
            mounting(walked_settings(), lines=plain()),
            FakeTables("main").feeds,
            FakeInterest(),
            clock=SystemClock(),
            find_dialect=lambda kind: DialectPackage(kind, package.settings, astray) if kind == "plaintext" else None,
        )


async def test_a_wrong_key_of_a_section_is_said_with_the_one_that_was_meant_and_no_value() -> None:
    said = await refused(mounting(walked_settings(), lines=plain(greting="hello", password={"x": "secret"})))

    assert "dialects.lines.greting: expected a key that there is, found an unknown one; did you mean greeting?" in said
    assert "dialects.lines.password: " in said
    assert "secret" not in said


async def test_symmio_in_a_section_stands_on_the_deployments_that_it_names_and_on_no_others() -> None:
    section = {"kind": "symmio", "deployments": ["other"]}
    async with walked(legacy=section) as client:
        assert 404 == (await text_of(client, "/main/get_market_info", bearer("main:*", "other:*")))[0]
        assert 200 == (await text_of(client, "/other/get_market_info", {**bearer("other:*"), "Host": "localhost"}))[0]


def test_a_dialect_on_a_deployment_that_is_not_configured_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tidemark.toml"
    file.write_text(
        f"[deployments.main]\nchain_id = 1\ndiamond = '0x{'d' * 40}'\n"
        "[dialects.lines]\nkind = 'plaintext'\ndeployments = ['mian']\n"
    )
    monkeypatch.setenv("TIDEMARK_CONFIG", str(file))
    with pytest.raises(BadSettings, match=r"dialects\.lines\.deployments: .*'mian'; did you mean main\?"):
        load_settings()


def test_the_configuration_is_shown_without_what_a_dialect_keeps_secret_and_handed_on_with_it() -> None:
    settings = mounting(
        walked_settings(),
        lines=plain(password="a-password"),
        mine={"kind": "telex", "deployments": ["main"], "answerback": "a-code"},
    )

    shown = tomllib.loads(effective_toml(settings))["dialects"]
    assert ("/plain", "**********") == (shown["lines"]["path"], shown["lines"]["password"])
    assert ("telex", "**********") == (shown["mine"]["kind"], shown["mine"]["answerback"])
    handed = tomllib.loads(effective_toml(settings, reveal_secrets=True))
    assert settings.dialects == Settings.model_validate(handed).dialects
