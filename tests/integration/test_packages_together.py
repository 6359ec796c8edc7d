"""Two packages beside SYMMIO, installed into an environment of its own that worker and api run from.

Inverse contracts have ids in which case counts, no blocks, gains that are not linear in a mark, and orders and wallets
beside their positions; paper trading is the guide's example.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tidemark_options import PACKAGE as INVERSE
from tidemark_paper import PACKAGE as PAPER

from models.codec import encode_row
from models.engine.tables import ACCOUNTS, VALUATIONS
from models.prices import MarkTick
from streams.kafka.topics import changelog_name, topic_name
from streams.settings import ApiSettings
from tests.support.contract import validate_server_message
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, Oracle, golden_chain, golden_deployment, versioned
from tests.support.installing import announced
from tests.support.pipeline import feed_rows, free_port, producer, worker, write_chain, write_ticks
from tests.support.records import create_all
from tests.support.server import answers, api_process
from tests.support.venues import EXAMPLES, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiohttp import ClientWebSocketResponse

    from streams.settings import Settings

SOURCE = "binance-futures"
FOREVER_MS = 10**15
ANN, COINS = "game:Ann", "coins:7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
BROKEN = "coins:7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K3"
OTHER_CASE = "coins:7np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
# A coin is worth a dollar here, so that figures are what they are in coins.
COIN_TICK = ("XBTUSD", "1", 1)
OWN = ("currency", "upnl_native", "equity_native", "available_balance_native", "order_margin_native")
RECORDS = {"game": "paper-records", "coins": "inverse-records"}


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """That of an environment which has both packages; this process's own has neither."""
    return environment(tmp_path / "environment", EXAMPLES / "paper", EXAMPLES / "options")


@pytest.fixture(autouse=True)
def _known_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings are checked in this process too, where the packages are announced and not installed."""
    venues = "tidemark.venues"
    paper, inverse = (venues, "paper", "tidemark_paper:PACKAGE"), (venues, "inverse", "tidemark_options:PACKAGE")
    with announced(tmp_path / "announced", monkeypatch, paper, inverse):
        yield


def tick(market: str, price: str, at_ms: int) -> MarkTick:
    return MarkTick(SOURCE, market, at_ms, at_ms, price, None, None, None)


async def say(settings: Settings, account: str, *records: dict[str, Any]) -> None:
    topic = topic_name(settings, RECORDS[account.partition(":")[0]])
    async with producer(settings) as sender:
        for record in records:
            await sender.send(topic, json.dumps(record).encode(), key=account.encode())


async def corrupt(settings: Settings, table: str, account: str) -> None:
    """Write a row of nonsense into a table's changelog, under the term of its first owner."""
    async with producer(settings) as sender:
        row = encode_row(1, 1, {"nonsense": True})
        await sender.send(changelog_name(settings, table), row, key=account.encode())


class Client:
    """Asks the api."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, path: str, status: int = 200) -> Any:  # noqa: ANN401 - what JSON says
        async with self.session.get(path) as answer:
            assert status == answer.status, await answer.text()
            return await answer.json()

    async def shows(self, account: str, **figures: object) -> bool:
        async with self.session.get(f"/v1/accounts/{account}") as answer:
            return answer.status == 200 and figures.items() <= (await answer.json()).items()

    async def totals(self, **upnl: str) -> bool:
        """Whether these deployments have these totals."""
        items = (await self.get("/v1/totals"))["items"]
        return upnl.items() <= {one["deployment"]: one.get("upnl") for one in items}.items()


async def told(socket: ClientWebSocketResponse, upnl: str) -> dict[str, Any]:
    """What the socket is told until the account's uPnL is this."""
    view: dict[str, Any] = {}
    while view.get("upnl") != upnl:
        for message in json.loads((await socket.receive(60)).data):
            if message["type"] in {"snapshot", "delta"}:
                view |= message["data"]
                # The contract names the columns that all venues have; these are the package's own.
                for name in OWN:
                    message["data"].pop(name, None)
            validate_server_message(message)
    return view


def with_packages(settings: Callable[..., Settings]) -> Settings:
    own: dict[str, Any] = {"default_sources": (SOURCE,), "default_max_age_ms": FOREVER_MS}
    deployments = {
        **golden_deployment(),
        "game": PAPER.settings(kind="paper", **own),
        "coins": INVERSE.settings(kind="inverse", **own),
    }
    return settings(deployments=deployments, api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.1))


async def begin(settings: Settings) -> None:
    """Write what all accounts have, and the prices of their markets."""
    await create_all(settings)
    await write_ticks(settings, [tick("BTCUSDT", "110", 1), tick("BTCUSD", "100", 1), tick(*COIN_TICK)])
    await write_chain(settings, DEPLOYMENT, golden_chain())
    await say(
        settings,
        ANN,
        {"kind": "cash", "time_ms": 1, "amount": "1000"},
        {"kind": "position", "time_ms": 2, "market": "BTCUSDT", "size": "2", "entry": "100"},
    )
    await say(
        settings,
        COINS,
        {"kind": "paid", "time_ms": 1, "wallet": "main", "amount": "1"},
        {"kind": "order", "time_ms": 2, "id": "7", "margin": "0.1"},
        {"kind": "position", "time_ms": 3, "id": "9", "market": "BTCUSD", "size": "500", "entry": "50"},
    )


class Symmio:
    """What SYMMIO's accounts have to be, whatever happens to those of packages."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rows = Oracle(golden_deployment(), golden_chain()).rows(ACCOUNTS, settings.topics.partitions)
        party = max(self._rows, key=lambda key: len(self._rows[key][1]["state"]["quotes"])).decode().partition(":")[2]
        self._paths = (
            "/open-interest", "/contract-symbols", f"/partyA_upnl/{party}", f"/v1/accounts/{DEPLOYMENT}:{party}",
        )  # fmt: skip

    async def is_folded(self) -> bool:
        """Whether its rows are those that the engine alone makes of its chain."""
        rows = await feed_rows(self._settings, ACCOUNTS)
        mine = {key: row for key, row in rows.items() if key.startswith(f"{DEPLOYMENT}:".encode())}
        return self._rows == versioned(mine)

    async def answers(self, client: Client) -> dict[str, Any]:
        """What its own endpoints and those of all venues answer of it."""
        return {path: await client.get(path) for path in self._paths}


async def test_they_are_served_as_symmio_is_and_no_row_of_theirs_touches_it(
    settings: Callable[..., Settings], python: Path
) -> None:
    mine = with_packages(settings)
    symmio = Symmio(mine)
    await begin(mine)
    async with (
        worker(mine, python=python) as process,
        api_process(mine, python),
        aiohttp.ClientSession(f"http://127.0.0.1:{mine.api.port}") as session,
    ):
        client = Client(session)
        await process.ready(60)
        await eventually(lambda: answers(session, "/readyz", 200), 60)
        await eventually(symmio.is_folded, 60)
        await eventually(lambda: client.shows(ANN, upnl="20", notional="220", equity="1020"), 30)
        # 500 dollars x (1/50 - 1/100) are 5 coins.
        await eventually(lambda: client.shows(COINS, upnl="5", notional="5", equity="6", order_margin_native="0.1"), 30)
        await _expect_more_than_a_valuation(client)
        await _expect_an_alarm(client, mine)

        before = await symmio.answers(client)
        await corrupt(mine, VALUATIONS, BROKEN)
        await eventually(lambda: answers(session, f"/v1/accounts/{BROKEN}", 503), 30)
        assert before == await symmio.answers(client)
        assert await client.shows(ANN, upnl="20")

        # Where neither is installed nothing of theirs is read, and nothing of SYMMIO's is touched.
        process.kill()
        async with worker(mine, instance="worker-2") as without:
            await without.ready(60)
            await say(mine, COINS, {"kind": "order", "time_ms": 4, "id": "8", "margin": "0.05"})
            # Until it speaks for every partition of the one before, the api says so.
            await eventually(lambda: answers(session, "/readyz", 200), 60)
            assert before == await symmio.answers(client)
            assert await client.shows(ANN, upnl="20")
            assert await symmio.is_folded()
            assert without.process.poll() is None
            without.kill()

        # One of its accounts has a row that no worker can read: the next one leaves that as it is.
        await corrupt(mine, ACCOUNTS, BROKEN)
        async with worker(mine, instance="worker-1", python=python) as next_one:
            await next_one.ready(60)
            unreadable = f"row cannot be read, its key is served as one without table={ACCOUNTS} key={BROKEN} cause="
            await eventually(lambda: unreadable in next_one.log.read_text(), 30)
            await write_ticks(mine, [tick("BTCUSDT", "120", 2)])
            await eventually(lambda: client.shows(ANN, upnl="40"), 30)
            await say(mine, COINS, {"kind": "paid", "time_ms": 5, "wallet": "main", "amount": "2"})
            await eventually(lambda: client.shows(COINS, liquidatable=False), 30)
            # What was said while it was away was told once, and in its place.
            told = (await client.get(f"/v1/accounts/{COINS}/statement"))["events"]
            kinds = ["paid", "order", "position", "order", "paid"]
            assert list(enumerate(kinds, 1)) == [(one["number"], one["event"]["kind"]) for one in told]
        assert await symmio.is_folded()


async def _expect_more_than_a_valuation(client: Client) -> None:
    # A worker says its subtotals behind its rows, so that they may stand where a total does not yet.
    await eventually(lambda: client.totals(game="20", coins="5"), 30)
    statement = await client.get(f"/v1/accounts/{COINS}/statement")
    assert {"wallets": {"main": "1"}, "orders": {"7": "0.1"}} == statement["statement"]
    assert ["paid", "order", "position"] == [one["event"]["kind"] for one in statement["events"]]
    assert not {"wallets", "orders"} & (await client.get(f"/v1/accounts/{COINS}")).keys()
    # Case counts: this is another account, of which nothing was said.
    await client.get(f"/v1/accounts/{OTHER_CASE}", 404)


async def _expect_an_alarm(client: Client, settings: Settings) -> None:
    async with client.session.ws_connect("/v1/ws") as socket:
        await socket.send_json({"op": "subscribe", "id": 1, "channel": "account", "keys": [COINS]})
        assert {"BTCUSD"} == {one["symbol_id"] for one in (await told(socket, "5"))["positions"].values()}
        # A loss of 500 x (1/45 - 1/50) coins is more than the wallet has.
        await write_ticks(settings, [tick("BTCUSD", "45", 2)])
        assert (await told(socket, "-1.111111111111111111"))["liquidatable"]

    async def is_told() -> bool:
        return COINS in {one["account"] for one in (await client.get("/v1/alerts"))["items"]}

    await eventually(is_told, 30)
    assert (await client.get(f"/v1/accounts/{COINS}/alerts"))["alarms"]
