"""A local chain: anvil as a child process, our contracts compiled for it, and JSON-RPC to it."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import subprocess
from contextlib import asynccontextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from eth_abi.abi import encode
from eth_account import Account
from eth_hash.auto import keccak

from tests.support.eventually import eventually
from tests.support.node_packages import node_with_packages
from tidemark.ports import any_free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from eth_account.signers.local import LocalAccount

HERE = Path(__file__).parent
CHAIN_ID = 31_337
_RICH_WEI = 10**24
_HEADER_ONLY = False
_AUTOMINE_OFF = False
_MOST_FEE_WEI = 10**12


def install() -> None:
    """Install what package-lock.json names, where it is not installed yet."""
    node_with_packages(HERE, run_scripts=True)


@lru_cache(maxsize=1)
def contracts() -> dict[str, dict[str, Any]]:
    """ABI and bytecode of every contract in ``contracts``, compiled once for all processes of tests."""
    install()
    compiler = HERE / "compile.cjs"
    made_of = [HERE / "package-lock.json", compiler, *sorted((HERE / "contracts").iterdir())]
    kept = HERE / ".cache" / f"{sha256(b''.join(one.read_bytes() for one in made_of)).hexdigest()}.json"
    with compiler.open() as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not kept.exists():
            compiled = subprocess.run(["node", compiler], cwd=HERE, check=True, capture_output=True, timeout=240)
            kept.parent.mkdir(exist_ok=True)
            scratch = kept.with_suffix(".new")
            scratch.write_bytes(compiled.stdout)
            scratch.replace(kept)
    found: dict[str, dict[str, Any]] = json.loads(kept.read_bytes())
    return found


def key_of(name: str) -> LocalAccount:
    """A key that is always the same for a name."""
    account: LocalAccount = Account.from_key(keccak(name.encode()))
    return account


class Contract:
    """A deployed contract, called by the names of its functions."""

    def __init__(self, chain: Anvil, name: str, address: str) -> None:
        self._chain = chain
        self.address = address
        self._kinds = {
            one["name"]: [_kind(parameter) for parameter in one["inputs"]]
            for one in contracts()[name]["abi"]
            if one["type"] == "function"
        }

    def data(self, function: str, *arguments: object) -> str:
        kinds = self._kinds[function]
        return "0x" + (keccak(f"{function}({','.join(kinds)})".encode())[:4] + encode(kinds, arguments)).hex()

    async def send(self, function: str, *arguments: object) -> str:
        """Have it called by a key of the test's own, and do not wait; return the transaction's hash."""
        return await self._chain.send_from_test(self.address, self.data(function, *arguments))

    async def number(self, function: str, *arguments: object) -> int:
        answer = await self._chain.ask(
            "eth_call", {"to": self.address, "data": self.data(function, *arguments)}, "latest"
        )
        return int(answer, 16)


class Anvil:
    """The chain, as a test drives it; every transaction of the test's own comes from one unlocked account."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session
        self._ids = itertools.count(1)
        self.actor = ""

    async def ask(self, method: str, *params: object) -> Any:  # noqa: ANN401 - what the method answers
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with self._session.post(self.url, json=request) as response:
            answer = await response.json()
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    async def send_from_test(self, to: str, data: str) -> str:
        call = {"from": self.actor, "to": to, "data": data, "gas": hex(12_000_000)}
        return str(await self.ask("eth_sendTransaction", call))

    async def deploy(self, name: str, kinds: Sequence[str], arguments: Sequence[object]) -> Contract:
        code = contracts()[name]["bytecode"] + encode(kinds, arguments).hex()
        sent = await self.ask("eth_sendTransaction", {"from": self.actor, "data": code, "gas": hex(12_000_000)})
        receipt = await self.receipt(sent)
        assert "0x1" == receipt["status"]
        return Contract(self, name, receipt["contractAddress"].lower())

    async def receipt(self, sent: str) -> dict[str, Any]:
        """A transaction's receipt, once it is in a block."""

        async def is_mined() -> bool:
            return await self.ask("eth_getTransactionReceipt", sent) is not None

        await eventually(is_mined)
        found: dict[str, Any] = await self.ask("eth_getTransactionReceipt", sent)
        return found

    async def make_rich(self, address: str) -> None:
        await self.ask("anvil_setBalance", address, hex(_RICH_WEI))

    async def time_s(self, block: str = "latest") -> int:
        return int((await self.ask("eth_getBlockByNumber", block, _HEADER_ONLY))["timestamp"], 16)

    async def go_to(self, time_s: int) -> None:
        """Make the next block one of that time."""
        await self.ask("evm_setNextBlockTimestamp", time_s)
        await self.ask("evm_mine")

    async def mine_every(self, seconds: int) -> None:
        await self.ask("evm_setAutomine", seconds == 0)
        await self.ask("evm_setIntervalMining", seconds)

    async def stand_still(self) -> None:
        """Make no block any more but those that a test asks for."""
        await self.ask("evm_setIntervalMining", 0)
        await self.ask("evm_setAutomine", _AUTOMINE_OFF)

    async def mine(self, base_fee_wei: int | None = None) -> None:
        """Make one block, of what waits for one.

        Args:
            base_fee_wei: What a unit of gas costs in it; None for what follows from the block before.
        """
        if base_fee_wei is not None:
            await self.ask("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
        await self.ask("evm_mine")

    async def fork(self, blocks: int, to: str, calls: Sequence[str]) -> None:
        """Replace the newest blocks, of which nothing is mined again, by as many others.

        Args:
            blocks: How many.
            to: Address of a contract.
            calls: The data of calls of it by the test's own account, which are in the first of the other blocks.
        """
        fees = {"maxFeePerGas": hex(_MOST_FEE_WEI), "maxPriorityFeePerGas": hex(1)}
        request = {"from": self.actor, "to": to, "gas": hex(1_000_000), **fees}
        await self.ask("anvil_reorg", blocks, [[request | {"data": data}, 0] for data in calls])


@asynccontextmanager
async def running_anvil() -> AsyncIterator[Anvil]:
    """A chain of its own, which mines each transaction at once."""
    install()
    port = any_free_port("127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        str(HERE / "node_modules" / ".bin" / "anvil"),
        *("--port", str(port), "--chain-id", str(CHAIN_ID), "--silent", "--order", "fifo"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with aiohttp.ClientSession() as session:
            chain = Anvil(f"http://127.0.0.1:{port}", session)

            async def is_up() -> bool:
                try:
                    return bool(await chain.ask("eth_chainId"))
                except aiohttp.ClientError:
                    return False

            await eventually(is_up, timeout_s=20)
            chain.actor = (await chain.ask("eth_accounts"))[0]
            yield chain
    finally:
        process.terminate()
        await process.wait()


def _kind(parameter: dict[str, Any]) -> str:
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_kind, parameter['components']))}){kind.removeprefix('tuple')}"
