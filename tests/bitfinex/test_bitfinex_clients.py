"""Official and other clients, as they are published, each in a process of its own against one replica."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from api.dialects.bitfinex.api_keys import ApiKey
from models.money import E18
from models.nonces import nonce_key
from tests.bitfinex.environments import HERE, python_of
from tests.support.bitfinex import ACCOUNT, SECRET, SYMBOL_SETTINGS, FakeNonces, Scene
from tests.support.eventually import eventually
from tests.support.ledger import holdings, order, position, wallet
from tests.support.node_packages import node_with_packages
from tests.support.pipeline import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# The first test with a client installs it, which takes minutes where others work beside it.
pytestmark = pytest.mark.timeout(900)

CALCULATIONS = (
    "margin_base", "margin_sym_tBTCUSD", "funding_sym_fUSD", "position_tBTCUSD", "wallet_margin_USD", "balance",
)  # fmt: skip
HELD = holdings(wallet("100"), position("0.2", "153.71"), order(9, "1", "10", type_="EXCHANGE LIMIT"))
# The venue's own published sample, at a price of 153.62.
PL, PL_PERC = -0.07944800000000068, -0.05855181835925015


class Client:
    """A client's process, and the events that it told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told: list[list[Any]] = []

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"["):
                self.told.append(json.loads(line))

    async def ask(self, *words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(words).encode() + b"\n")
        await self._process.stdin.drain()

    def of(self, event: str) -> list[Any]:
        return [said[1] if len(said) > 1 else None for said in self.told if said[0] == event]

    async def tells(self, event: str, times: int = 1, timeout_s: float = 60) -> Any:  # noqa: ANN401 - whatever it tells
        """What it tells with the so-many-th event of a name."""
        try:
            await eventually(lambda: len(self.of(event)) >= times, timeout_s=timeout_s)
        except AssertionError:
            raise AssertionError([event, self.told]) from None
        return self.of(event)[times - 1]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    nonces = FakeNonces()
    # Any nonce that a client may make is below one that was used.
    nonces.marks.take(nonce_key("bitfinex", "used"), 2**53)
    made = Scene(tmp_path, nonces)
    fill(made)
    made.hold(k1=ApiKey(SECRET, "alice", (ACCOUNT,)), used=ApiKey(SECRET, "alice", (ACCOUNT,)))
    return made


def fill(made: Scene) -> None:
    made.ledger.refer("symbol:tBTCUSD", SYMBOL_SETTINGS)
    made.ledger.mark("tBTCUSD", 15_362 * E18 // 100)
    made.ledger.show(HELD)


def changed(kind: str, **what: Any) -> dict[str, Any]:  # noqa: ANN401 - what a happening holds
    return {"kind": kind, "seq": 1, "time_ms": 5, "cause": "x", **msgspec.to_builtins(what)}


@asynccontextmanager
async def client(command: str, port: int, key: str = "k1", secret: str = SECRET) -> AsyncIterator[Client]:
    match command:
        case "py" | "ccxt":
            runs = python_of(command)
            program = "python_client.py" if command == "py" else "ccxt_client.py"
        case _:
            runs, program = node_with_packages(HERE), "node_client.cjs"
    process = await asyncio.create_subprocess_exec(
        str(runs), program, f"ws://127.0.0.1:{port}/ws/2", key, secret, cwd=HERE,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**22,
    )  # fmt: skip
    shown = Client(process)
    listening = asyncio.create_task(shown.listen())
    try:
        yield shown
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening


def happen(made: Scene) -> None:
    """Open a position and close it, change a wallet, and say something."""
    made.ledger.show(
        HELD,
        changed("position_opened", position=position("3", "10", symbol="tETHUSD")),
        changed("position_changed", position=position("4", "10", symbol="tETHUSD")),
        changed("position_closed", position=position("0", "10", symbol="tETHUSD")),
        changed("wallet_changed", wallet=wallet("77")),
        changed("order_opened", order=order(5, "1", "2")),
        changed("notified", notice={"type": "deposit", "text": "came"}),
    )


async def test_the_python_client_has_every_callback_and_comes_back_after_a_restart(scene: Scene, port: int) -> None:
    async with client("py", port) as py:
        async with scene.serving(port):
            assert "OK" == (await py.tells("authenticated"))["status"]
            (held,) = await py.tells("position_snapshot")
            assert ["tBTCUSD", 0.2, 153.71, None] == [held[one] for one in ("symbol", "amount", "base_price", "pl")]
            assert 100 == (await py.tells("wallet_snapshot"))[0]["balance"]
            assert 9 == (await py.tells("order_snapshot"))[0]["id"]
            await py.ask(*CALCULATIONS)
            base = await py.tells("base_margin_info")
            assert (100, pytest.approx(100 + PL)) == (base["margin_balance"], base["margin_net"])
            shown = await py.tells("position_update")
            assert [PL, PL_PERC] == [shown["pl"], shown["pl_perc"]]
            assert "tBTCUSD" == (await py.tells("symbol_margin_info"))["symbol"]
            assert "fUSD" == (await py.tells("funding_info_update"))["symbol"]
            available = (await py.tells("wallet_update"))["available_balance"]
            assert 0 < available < 100
            assert [100, pytest.approx(100 + PL)] == list((await py.tells("balance_update")).values())
            happen(scene)
            assert "CLOSED" == (await py.tells("position_close"))["status"]
            assert [3, 4] == [
                (await py.tells("position_new"))["amount"],
                (await py.tells("position_update", 2))["amount"],
            ]
            assert 77 == (await py.tells("wallet_update", 2))["balance"]
            assert 5 == (await py.tells("order_new"))["id"]
            assert "came" == (await py.tells("notification"))["text"]
        again = Scene(scene.keys.parent, scene.nonces)
        fill(again)
        async with again.serving(port):
            # It says nothing of a second login, so it is asked until it is heard.
            async def is_back() -> bool:
                await py.ask("balance")
                return len(py.of("balance_update")) > 1

            await eventually(is_back, timeout_s=20)
            await py.ask("close")
            await py.tells("ended")


async def test_the_node_client_audits_every_number_and_comes_back_after_a_restart(scene: Scene, port: int) -> None:
    async with scene.serving(port), client("node", port) as node:
        assert "OK" == (await node.tells("auth"))["status"]
        assert 0.2 == (await node.tells("position_snapshot"))[0]["amount"]
        assert 100 == (await node.tells("wallet_snapshot"))[0]["balance"]
        await node.ask(*CALCULATIONS)
        shown = await node.tells("position_update")
        assert [PL, PL_PERC] == [shown["pl"], shown["plPerc"]]
        assert 2 == len([await node.tells("margin_info", times) for times in (1, 2)])
        await node.tells("funding_info")
        await node.tells("balance_info")
        assert 100 == (await node.tells("wallet_update"))["balance"]
        await node.ask("ticker", "tBTCUSD")
        assert 153.62 == (await node.tells("ticker"))["lastPrice"]
        happen(scene)
        await node.tells("position_new")
        await node.tells("position_close")
        for times in range(100):
            scene.ledger.show(
                HELD, *[changed("wallet_changed", wallet=wallet(str(times * 100 + n))) for n in range(100)]
            )
        await eventually(lambda: len(node.of("wallet_update")) > 10_000, timeout_s=30)
        assert [] == node.of("error")
        assert 9_999 == node.of("wallet_update")[-1]["balance"]


async def test_the_node_client_logs_in_again_after_a_restart(scene: Scene, port: int) -> None:
    async with client_after_start(scene, port) as node:
        again = Scene(scene.keys.parent, scene.nonces)
        fill(again)
        async with again.serving(port):
            await node.tells("auth", 2)
            await node.ask("balance")
            await node.tells("balance_info")
            assert [] == [error for error in node.of("error") if "seq" in str(error)]


@asynccontextmanager
async def client_after_start(scene: Scene, port: int) -> AsyncIterator[Client]:
    async with scene.serving(port):
        connecting = client("node", port)
        node = await connecting.__aenter__()
        await node.tells("wallet_snapshot")
    try:
        await node.tells("restart")
        yield node
    finally:
        await connecting.__aexit__(None, None, None)


async def test_ccxt_watches_the_margin_wallet(scene: Scene, port: int) -> None:
    # It wants to know the market of every order, which it knows from REST alone.
    held = holdings(wallet("100"), position("0.2", "153.71"))
    scene.ledger.show(held)
    async with scene.serving(port):
        for tries_left in (2, 1, 0):
            async with client("ccxt", port) as ccxt:
                await ccxt.tells("watches")
                try:
                    # Where it hangs for longer than the server waits for it, it reads the snapshot together with the
                    # answer to its login, and passes it over. It comes in an instant or never.
                    assert {"USD": 100} == await ccxt.tells("balance", timeout_s=2 if tries_left else 15)
                except AssertionError:
                    if ccxt.of("balance") or ccxt.of("raised") or not tries_left:
                        raise
                    continue
                scene.ledger.show(held, changed("wallet_changed", wallet=wallet("77")))
                assert {"USD": 77} == await ccxt.tells("balance", 2)
                break


@pytest.mark.parametrize(
    ("command", "event", "of_wrong_key", "of_used_nonce"),
    [
        ("py", "raised", "InvalidCredentialError", "InvalidCredentialError"),
        ("node", "error", "auth failed: apikey: digest invalid (FAILED)", "auth failed: nonce small"),
        ("ccxt", "raised", "AuthenticationError", "AuthenticationError"),
    ],
)
async def test_a_wrong_secret_and_a_used_nonce_give_the_clients_own_errors(  # noqa: PLR0917 - a table
    scene: Scene, port: int, command: str, event: str, of_wrong_key: str, of_used_nonce: str
) -> None:
    async with scene.serving(port):
        async with client(command, port, secret="wrong") as refused:
            assert of_wrong_key in await refused.tells(event)
        async with client(command, port, key="used") as late:
            assert of_used_nonce in await late.tells(event)
