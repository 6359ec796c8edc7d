"""The api as a frontend sees it that is built with the SYMMIO front-end SDK, with its requests and its sockets."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import jwt
import pytest

from models.codec import decode_row
from models.engine.tables import POSITION_STATES, VALUATIONS
from models.position_states import EMPTY
from models.symmio.position_states import with_engine_state
from streams.kafka.topics import create_topics, registry
from streams.process.clock import SystemClock
from streams.settings import ApiSettings, AuthSettings, Settings, TokenKeySettings, TopicSettings
from tests.sdk.browser import install, page
from tests.sdk.front_door import FrontDoor
from tests.support.api import serving as serving_tables
from tests.support.changelog import Changelogs, changelogs
from tests.support.eventually import eventually
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.pipeline import free_port
from tests.support.positions import MADE, engine_state
from tests.support.server import answers, api_process
from tests.support.solver import MULTI_ACCOUNT, deployment, put_instrument, put_mark, put_market

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from tests.sdk.browser import Page
    from tests.support.server import Process

WALLET = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
ONE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
TWO = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
NEW = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"
# What stands in the data of one of two chains alone, or in a path that only one of them has an answer to.
OF_ONE_CHAIN = {"first": ("BTCUSDT", '"first"', '"upnl": "1"'), "second": ("ETHUSDT", '"second"', '"upnl": "2"')}
SECRET = "a secret of more than 32 bytes, as it should be"
# Marks are put once, of an instant long ago, and a market whose mark is stale has no funding.
AGELESS = {"default_max_age_ms": 10**15}
HOUR_S = 3_600.0
LISTED = f"# wallets\n{WALLET}\n"


@pytest.fixture(scope="module", autouse=True)
def _node() -> None:
    install()


def sub_account(upnl: str) -> dict[str, Any]:
    return valuation_body(upnl=e18(upnl), owner=WALLET.lower(), multi_account=MULTI_ACCOUNT)


def put_markets(tables: FakeTables, of: str, *names: str) -> None:
    for symbol_id, name in enumerate(names, 1):
        put_market(tables, symbol_id, name, of=of)
        put_mark(tables, name, "58123.4", rate="0.00010788")
        put_instrument(tables, name)


async def write(rows: Changelogs, tables: FakeTables) -> None:
    """Let the tables stand in their changelogs."""
    for table, feed in tables.feeds.by_table().items():
        for key, row in feed.rows.items():
            await rows.put(table, key.decode(), decode_row(row).version, decode_row(row).body)


class Engine:
    """Says what becomes of positions, and is heard through the table."""

    def __init__(self, rows: Changelogs) -> None:
        self._rows = rows
        self._bodies: dict[str, Mapping[str, Any]] = {}

    async def say(self, address: str, **record: object) -> None:
        key = f"main:{address.lower()}"
        state = engine_state(counterparty_address=address, **record)
        body = self._bodies[key] = with_engine_state(self._bodies.get(key, EMPTY), state, MADE, fresh=True, gaps=True)
        await self._rows.put(POSITION_STATES, key, int(body["count"]), body)


@asynccontextmanager
async def written(settings: Settings, tables: FakeTables) -> AsyncIterator[Changelogs]:
    await create_topics(settings.bootstrap, registry(settings))
    async with changelogs(settings) as rows:
        await write(rows, tables)
        yield rows


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Process]:
    """A replica that has read its tables."""
    async with (
        api_process(settings) as process,
        aiohttp.ClientSession(f"http://127.0.0.1:{settings.api.port}") as client,
    ):
        await eventually(lambda: answers(client, "/readyz", 200), timeout_s=30)
        yield process


def upnl_is(text: str) -> Callable[[Any], bool]:
    return lambda shown: bool(shown["upnl"] == text)


async def test_a_frontend_works_unchanged_and_comes_back_after_a_restart(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    file = tmp_path / "whitelist"
    file.write_text(LISTED)
    own = settings(
        deployments={"main": deployment(whitelist={"mode": "list", "file": str(file)}, **AGELESS)},
        topics=TopicSettings(partitions=2),
        api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.05),
    )
    tables = FakeTables("main")
    put_markets(tables, "main", "BTCUSDT", "ETHUSDT")
    for address, upnl in ((ONE, "1.5"), (TWO, "-2.5")):
        tables.valuations.put(f"main:{address.lower()}", 1, sub_account(upnl))
    async with written(own, tables) as rows, FrontDoor(own.api.port).standing() as door, page() as shown:
        engine = Engine(rows)
        async with serving(own) as replica:
            await shown.do(
                "show",
                base=f"http://solver.example:{door.port}/",
                sockets=f"ws://solver.example:{door.port}/ws/",
                wallet=WALLET,
                multiAccount=MULTI_ACCOUNT,
                account=ONE,
                accounts=[ONE],
                market="BTCUSDT",
            )
            await it_starts(shown)
            await it_shows_the_account_that_is_chosen(shown)
            await it_is_told_of_positions(shown, engine)
            await it_rests_while_nobody_looks(shown)
            await it_asks_for_what_it_needs(shown)
            await a_new_sub_account_is_activated(shown, rows)
            door.shut()
            replica.terminate()
            assert 0 == await asyncio.wait_for(replica.wait(), 30)
        await it_comes_back(shown, own, engine, door)

        assert [] == shown.saw("warning")
        kinds = {event["name"] for event in shown.saw("frame") if event["data"] == "{}"}
        assert kinds <= {"funding"}


async def it_starts(shown: Page) -> None:
    checked = await shown.sees("answer", path=f"/check_in-whitelist/{WALLET}/{MULTI_ACCOUNT}")
    assert (200, True, None) == (checked["status"], checked["value"], checked["fault"])
    # Of a sub-account nobody has asked to be put on the list yet.
    activated = await shown.sees("answer", path=f"/add-sub-address-in-whitelist/{ONE}/{MULTI_ACCOUNT}")
    assert {"successful": True, "message": None} == activated["value"]
    for name in ("upnl", "news", "many", "funding"):
        await shown.sees("socket", name=name, state="OPEN")
    await shown.shows("upnl", upnl_is("1.5"))
    balances = await shown.sees("answer", path=f"/get_balance_info/{WALLET}/{MULTI_ACCOUNT}")
    assert {ONE.lower(), TWO.lower()} == {key.lower() for key in balances["value"]}
    states = await shown.sees("answer", path="position-state/0/10")
    assert {"count": 0, "position_state": []} == states["value"]


async def it_shows_the_account_that_is_chosen(shown: Page) -> None:
    activated = len(shown.events)
    await shown.do("show", account=TWO)
    await shown.sees("answer", activated, path=f"/add-sub-address-in-whitelist/{TWO}/{MULTI_ACCOUNT}")
    await shown.shows("upnl", upnl_is("-2.5"), activated)
    for account, upnl in [(ONE, "1.5"), (TWO, "-2.5")] * 2:
        since = len(shown.events)
        await shown.do("show", account=account)
        at = await shown.shows("upnl", upnl_is(upnl), since)
        # Sent again, the account is shown again.
        for visible in (False, True):
            await shown.sees("frame", await shown.is_looked_at(visible=visible), name="upnl")
        assert {upnl} == {event["shown"]["upnl"] for event in shown.saw("upnl", at)}


async def it_is_told_of_positions(shown: Page, engine: Engine) -> None:
    since = len(shown.events)
    await engine.say(TWO, id="a", order_type=1)
    await shown.shows("notification", lambda one: one["id"] == "a", since)
    # A list is sent again, longer: nothing comes twice or not at all.
    await shown.do("show", accounts=[ONE, TWO])
    await shown.asks("error_codes")
    await engine.say(ONE, id="b", state_type="report", filled_amount_open="1.5", version=2)
    await shown.do("show", accounts=[TWO, ONE, NEW])
    await engine.say(TWO, id="c", action_status="failed", failure_message="no", quote_id=None, temp_quote_id=-9)
    await shown.shows("notification", lambda one: one["id"] == "c", since)
    await shown.shows("one of many", lambda one: one["id"] == "c", since)
    await shown.shows("one of many", lambda one: one["id"] == "b", since)

    assert [("a", "131388", "MARKET", "SEEN"), ("c", "-9", "LIMIT", "ERROR")] == [
        (one["id"], one["quoteId"], one["orderType"], one["kind"])
        for one in (event["shown"] for event in shown.saw("notification", since))
    ]
    of_many = [event["shown"] for event in shown.saw("one of many", since)]
    assert ["b", "c"] == sorted(one["id"] for one in of_many if one["id"] != "a")
    assert {("PARTIAL_FILL", "2")} == {(one["kind"], one["version"]) for one in of_many if one["id"] == "b"}
    for quote_id in ("131388", 131_388):
        found = await shown.asks("position-state/0/5", {"address": TWO, "quote_id": quote_id})
        assert ["a"] == [one["id"] for one in found["value"]["position_state"]]


async def it_rests_while_nobody_looks(shown: Page) -> None:
    await shown.sees("funding", len(shown.events), market="BTCUSDT")
    await shown.sees("frame", await shown.is_looked_at(visible=False), name="upnl")
    # By now what was on its way of funding has come; figures of the account go on every 2 s.
    await shown.asks("error_codes")
    since = len(shown.events)
    await shown.sees("frame", since, name="upnl")
    assert [] == shown.saw("frame", since, name="funding")
    since = await shown.is_looked_at(visible=True)
    funding = await shown.sees("funding", since)
    assert ("-0.000053940", 14_400) == (
        funding["shown"]["next_funding_rate_long"], funding["shown"]["funding_rate_epoch_duration"],
    )  # fmt: skip
    await shown.do("show", market="ETHUSDT")
    await shown.sees("funding", since, market="ETHUSDT")


async def it_asks_for_what_it_needs(shown: Page) -> None:
    relative = ["contract-symbols", "error_codes", "open-interest", "notional_cap/1", "price-range/BTCUSDT"]
    relative += ["get_market_info", "get_funding_info", f"instant_open/{ONE}", f"instant_close/{ONE}"]
    absolute = ["/get_locked_params/BTCUSDT?leverage=9", f"/get_balance_info/{WALLET}/{MULTI_ACCOUNT}"]
    for path in [*relative, *absolute]:
        answer = await shown.asks(path)
        assert (200, None) == (answer["status"], answer["fault"])
        assert answer["value"] is not None
        assert answer["href"].endswith(f"/{path.removeprefix('/')}")


async def a_new_sub_account_is_activated(shown: Page, rows: Changelogs) -> None:
    """It is chosen as soon as its transaction is mined, before the block has been read here."""
    since = len(shown.events)
    await shown.do("show", account=NEW)
    checked = await shown.sees("answer", since, path=f"/check_in-whitelist/{NEW}/{MULTI_ACCOUNT}")
    assert checked["value"] is False
    await rows.put(VALUATIONS, f"main:{NEW.lower()}", 1, sub_account("0"))
    activated = await shown.sees("answer", since, path=f"/add-sub-address-in-whitelist/{NEW}/{MULTI_ACCOUNT}")
    assert {"successful": True, "message": None} == activated["value"]
    await shown.shows("upnl", upnl_is("0"), since)


async def it_comes_back(shown: Page, settings: Settings, engine: Engine, door: FrontDoor) -> None:
    """The page tries twice, 5 s apart, and then never again; the second time it is heard once a replica is there."""
    since = len(shown.events)
    for name in ("upnl", "news", "funding", "many"):
        closed = await shown.sees("closed", 0, name=name)
        assert 1012 == closed["code"]
    await shown.sees("failed", since, name="upnl")
    async with serving(settings):
        door.open()
        for name in ("upnl", "news", "funding", "many"):
            await shown.sees("socket", since, name=name, state="OPEN")
        await shown.shows("upnl", upnl_is("0"), since)
        await shown.shows("funding", lambda one: "next_funding_time" in one, since)
        # The page asks for the account's notifications again only when another one is chosen.
        await shown.do("show", account=ONE)
        at = await shown.shows("upnl", upnl_is("1.5"), since)
        await engine.say(ONE, id="after", action_status="success")
        await shown.shows("notification", lambda one: one["id"] == "after", at)
        await shown.shows("one of many", lambda one: one["id"] == "after", at)
        for what in ("notification", "one of many"):
            assert ["after"] == [event["shown"]["id"] for event in shown.saw(what, since)]


async def test_what_a_frontend_asks_for_is_shown_though_the_next_turn_of_the_schedule_is_an_hour_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.dialects.symmio.funding_rate_ws.INTERVAL_S", HOUR_S)
    tables = FakeTables("main")
    put_markets(tables, "main", "BTCUSDT", "ETHUSDT")
    for address, upnl in ((ONE, "1.5"), (TWO, "-2.5")):
        tables.valuations.put(f"main:{address.lower()}", 1, sub_account(upnl))
    own = Settings(deployments={"main": deployment(**AGELESS)}, api=ApiSettings(drain_s=0.05))
    async with serving_tables(tables, own, upnl_interval_s=HOUR_S) as client, page() as shown:
        properties = {"wallet": WALLET, "multiAccount": MULTI_ACCOUNT, "account": ONE, "market": "BTCUSDT"}
        host = f"solver.example:{client.port}"
        await shown.do("show", base=f"http://{host}/", sockets=f"ws://{host}/ws/", **properties)
        await shown.shows("upnl", upnl_is("1.5"))
        await shown.sees("funding", market="BTCUSDT")
        for account, upnl in [(TWO, "-2.5"), (ONE, "1.5")] * 2:
            since = len(shown.events)
            await shown.do("show", account=account)
            await shown.shows("upnl", upnl_is(upnl), since)
            for visible in (False, True):
                since = await shown.is_looked_at(visible=visible)
                await shown.sees("frame", since, name="upnl")
            await shown.sees("frame", since, name="funding")
        since = len(shown.events)
        await shown.do("show", market="ETHUSDT")
        await shown.sees("funding", since, market="ETHUSDT")


async def test_a_frontend_that_can_send_no_header_works_unchanged_with_a_ticket_in_its_base_address(
    settings: Callable[..., Settings],
) -> None:
    """Paths that it begins with a slash lose the ticket in a browser: the operator opens those."""
    keys = {"main": TokenKeySettings.model_validate({"algorithm": "HS256", "key": SECRET})}
    opened = ["check_in-whitelist", "add-sub-address-in-whitelist", "get_balance_info"]
    own = settings(
        deployments={"main": deployment(open_paths=opened, **AGELESS)},
        topics=TopicSettings(partitions=2),
        api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.05),
        auth=AuthSettings(mode="tokens", keys=keys),
    )
    tables = FakeTables("main")
    put_markets(tables, "main", "BTCUSDT")
    for address, upnl in ((ONE, "1.5"), (TWO, "-2.5")):
        tables.valuations.put(f"main:{address.lower()}", 1, sub_account(upnl))
    host = f"solver.example:{own.api.port}"
    async with written(own, tables), serving(own), page() as shown:
        path = f"ticket/{ticket(f'main:{ONE}', holds_s=600)}"
        properties = {"wallet": WALLET, "multiAccount": MULTI_ACCOUNT, "account": ONE, "market": "BTCUSDT"}
        await shown.do("show", base=f"http://{host}/{path}/", sockets=f"ws://{host}/{path}/ws/", **properties)
        await shown.shows("upnl", upnl_is("1.5"))
        await shown.sees("funding", market="BTCUSDT")
        for asked in ("contract-symbols", "get_funding_info"):
            assert 200 == (await shown.asks(asked))["status"]
            assert 401 == (await shown.asks(asked, base=f"http://{host}/"))["status"]
        # The tables' newest block is an old one, so nothing is said of accounts that do not exist, nor of others' ones.
        said = [(await shown.asks(f"partyA_upnl/{address}"))["status"] for address in (ONE, TWO, NEW)]
        assert [200, 503, 503] == said
        since = len(shown.events)
        await shown.do("show", account=TWO)
        await shown.sees("answer", since, path="position-state/0/10", status=200)
        assert [] == [one for one in shown.saw("upnl") if one["shown"]["upnl"] == "-2.5"]
        ending = f"ws://{host}/ticket/{ticket(f'main:{ONE}', holds_s=5)}/ws/"
        since = len(shown.events)
        await shown.do("show", sockets=ending, account=ONE)
        await shown.shows("upnl", upnl_is("1.5"), since)

        await shown.sees("closed", since, name="upnl", code=4401)
        await shown.sees("failed", since, name="upnl")


def ticket(*accounts: str, holds_s: int) -> str:
    now_s = SystemClock().now_ms() // 1_000
    claims = {"sub": "page-1", "accounts": list(accounts), "iat": now_s, "exp": now_s + holds_s, "use": "path"}
    return jwt.encode(claims, SECRET)


async def test_two_chains_on_two_hosts_are_never_taken_for_one_another(settings: Callable[..., Settings]) -> None:
    """Contracts, wallets and sub-accounts have the same addresses on both; only the host tells."""
    own = settings(
        deployments={
            "first": deployment(hosts=["a.example"], whitelist={"mode": "multiaccount"}, **AGELESS),
            "second": deployment(hosts=["b.example"], chain_id=2, **AGELESS),
        },
        topics=TopicSettings(partitions=2),
        api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.05),
    )
    tables = FakeTables("first", "second")
    put_markets(tables, "first", "BTCUSDT")
    put_markets(tables, "second", "ETHUSDT")
    for name, upnl in (("first", "1"), ("second", "2")):
        tables.valuations.put(f"{name}:{ONE.lower()}", 1, sub_account(upnl))
        body = with_engine_state(EMPTY, engine_state(id=name, counterparty_address=ONE), MADE, fresh=True, gaps=True)
        tables.position_states.put(f"{name}:{ONE.lower()}", 1, body)
    async with written(own, tables), serving(own), page() as shown:
        properties = {"wallet": WALLET, "multiAccount": MULTI_ACCOUNT, "account": ONE}
        for host, upnl, market in (("a.example", "1", "BTCUSDT"), ("b.example", "2", "ETHUSDT")):
            origin = f"{host}:{own.api.port}"
            since = len(shown.events)
            await shown.do("show", base=f"http://{origin}/", sockets=f"ws://{origin}/ws/", market=market, **properties)
            at = await shown.shows("upnl", upnl_is(upnl), since)
            await shown.sees("funding", since, market=market)
            for visible in (False, True):
                await shown.sees("frame", await shown.is_looked_at(visible=visible), name="upnl")
            assert {upnl} == {one["shown"]["upnl"] for one in shown.saw("upnl", at)}
        for base, expected in bases(own.api.port).items():
            found = await what_is_seen(shown, base)
            assert (base, expected) == (base, found)


def bases(port: int) -> dict[str, set[str]]:
    """Base addresses and whose data is seen under them, by the paths that keep a prefix and those that drop it."""
    return {
        f"http://a.example:{port}/": {"first"},
        f"http://a.example:{port}/first/": {"first"},
        # The host is the first one's whatever the prefix says: what keeps the prefix is answered with nothing.
        f"http://a.example:{port}/second/": {"first"},
        f"http://b.example:{port}/second/": {"second"},
        f"http://b.example:{port}/api/": {"second"},
        # A host of nobody's: what drops the prefix is answered with nothing.
        f"http://c.example:{port}/second/": {"second"},
        f"http://c.example:{port}/": set(),
    }


async def what_is_seen(shown: Page, base: str) -> set[str]:
    """Whose data a frontend of a base address gets: by symbols, figures and states, which are of one chain each."""
    paths = ["contract-symbols", "get_market_info", "get_funding_info", "price-range/BTCUSDT"]
    paths += ["/get_locked_params/BTCUSDT?leverage=9", "/get_locked_params/ETHUSDT?leverage=9"]
    paths += [f"/get_balance_info/{WALLET}/{MULTI_ACCOUNT}"]
    said = [await shown.asks(path, base=base) for path in paths]
    said.append(await shown.asks("position-state/0/10", {"address": ONE}, base=base))
    assert {None} == {one["fault"] for one in said}
    seen = set()
    for one in said:
        value = json.dumps(one["value"])
        for name, marks in OF_ONE_CHAIN.items():
            is_of_a_symbol = one["value"] is not None and any(mark in one["path"] for mark in marks)
            if is_of_a_symbol or any(mark in value for mark in marks):
                seen.add(name)
    return seen
