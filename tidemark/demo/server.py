"""The running simulator: its state file, its two ports, and the loop that makes a block and prices each second."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from models.errors import TidemarkError
from tidemark.demo.chain import FINALITY_DEPTH, START_BLOCK, Chain
from tidemark.demo.flash_venue import SimulatedFlash
from tidemark.demo.market import Market
from tidemark.demo.node import CHAIN_ID, Node
from tidemark.demo.solana_node import SolanaNode
from tidemark.demo.traders import make_trader
from tidemark.demo.venue import Venue
from tidemark.ports import any_free_port

if TYPE_CHECKING:
    from pathlib import Path

# How many blocks a new simulation begins with, so that there is something to see at once.
_HISTORY_BLOCKS = 600
_DEFAULT_SEED = 1
_HOST = "127.0.0.1"


class DemoError(TidemarkError):
    """The simulator cannot start; the message says what to change."""


class DemoState(msgspec.Struct, frozen=True):
    """What a restart needs to continue the same chain at the same addresses."""

    seed: int
    genesis_s: int
    rpc_port: int
    venue_port: int
    base_port: int = 0
    rollup_port: int = 0


def load_state(path: Path, seed: int | None, now_s: int, ports: tuple[int, int] | None = None) -> DemoState:
    """Read the state file, or begin a simulation and write it.

    Args:
        path: The state file.
        seed: The seed asked for; None takes the file's, or the default for a new simulation.
        now_s: Wall-clock seconds.
        ports: Those of node and venue for a new simulation; None takes any free ones.

    Raises:
        DemoError: The file is no state file, or belongs to another seed.
    """
    if not path.exists():
        taken = ports or (any_free_port(_HOST), any_free_port(_HOST))
        chains = any_free_port(_HOST), any_free_port(_HOST)
        state = DemoState(_DEFAULT_SEED if seed is None else seed, now_s - _HISTORY_BLOCKS, *taken, *chains)
        _write(path, state)
        return state
    try:
        state = msgspec.json.decode(path.read_bytes(), type=DemoState)
    except msgspec.DecodeError as error:
        msg = f"expected the simulator's state in {path}, found something else ({error}); remove it to begin anew"
        raise DemoError(msg) from error
    if not state.base_port:
        # It was written before there was a simulated Flash.
        state = msgspec.structs.replace(state, base_port=any_free_port(_HOST), rollup_port=any_free_port(_HOST))
        _write(path, state)
    if seed not in (None, state.seed):
        msg = f"expected seed {state.seed} as in {path}, found {seed}; remove the file to begin anew"
        raise DemoError(msg)
    return state


def _write(path: Path, state: DemoState) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(state))
    partial.replace(path)


class DemoServer:
    """Serves the simulation of ``state`` on loopback until it is stopped."""

    def __init__(self, state: DemoState) -> None:
        self.state = state
        self._market = Market(state.seed)
        self.chain = Chain(state.seed, state.genesis_s, self._market)
        self._node = Node(self.chain)
        self.flash = SimulatedFlash(state.seed, state.genesis_s, self._market)
        self._layers = SolanaNode(self.flash.base), SolanaNode(self.flash.rollup)
        self._runners: list[web.AppRunner] = []

    @property
    def description(self) -> dict[str, Any]:
        """Where everything is, as Tidemark's settings name it."""
        rpc, venue = f"{_HOST}:{self.state.rpc_port}", f"{_HOST}:{self.state.venue_port}"
        population = self.chain.population
        return {
            "rpc": [f"http://{rpc}", f"ws://{rpc}"],
            "websocket": f"ws://{venue}",
            "rest": f"http://{venue}",
            # One of those who own sub-accounts.
            "owner": make_trader(self.state.seed, 0).owner,
            "deployment": {
                "chain_id": CHAIN_ID,
                "diamond": self.chain.contract.address,
                "multi_accounts": [multi_account.address for multi_account in population.multi_accounts],
                "hedgers": list(population.hedgers),
                "start_block": START_BLOCK,
                "finality_depth": FINALITY_DEPTH,
                # The simulated traders have some 20 million open.
                "solver": {"open_interest_cap": 100_000_000},
            },
            "flash": {
                "base_rpc": _both_ways(self.state.base_port),
                "rollup_rpc": _both_ways(self.state.rollup_port),
                "owner": self.flash.owners[0],
            },
        }

    async def start(self) -> None:
        """Make the chain up to now and open both ports.

        Raises:
            DemoError: A port of the state file is taken.
        """
        self._catch_up()
        self._venue = Venue(_now_ms(), self._marks_e8)
        for application, port in (
            (self._node.application(), self.state.rpc_port),
            (self._venue.application(), self.state.venue_port),
        ):
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
            await runner.setup()
            self._runners.append(runner)
            try:
                await web.TCPSite(runner, _HOST, port).start()
            except OSError as error:
                await self.stop()
                raise _taken(port, error) from error
        self.flash.open(self.chain.head.number)
        for layer, port in zip(self._layers, (self.state.base_port, self.state.rollup_port), strict=True):
            try:
                await layer.start(port)
            except OSError as error:
                await self.stop()
                raise _taken(port, error) from error

    def _catch_up(self) -> None:
        # No object of a chain ever becomes garbage, and the collector would take a third of the time looking for some.
        gc.disable()
        self.chain.grow_to(self._second(), forks=False)
        gc.freeze()
        gc.enable()

    async def run(self) -> None:
        """Grow the chain and send prices each second, until cancelled."""
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            heard = self.chain.grow_to(self._second(), forks=True)
            await self._node.announce(heard)
            await self._venue.publish(_now_ms(), self._marks_e8)
            self.flash.grow_to(self.chain.head.number)

    async def stop(self) -> None:
        """Close every socket and both ports."""
        for layer in self._layers:
            await layer.stop()
        for runner in self._runners:
            await runner.cleanup()

    @property
    def _marks_e8(self) -> tuple[int, ...]:
        # The head's second is used, since the clock may be set back, or jump after a sleep, to one that is forgotten.
        return self._market.marks_e8(self.chain.head.number)

    def _second(self) -> int:
        return int(time.time()) - self.state.genesis_s


def _both_ways(port: int) -> list[str]:
    return [f"http://{_HOST}:{port}", f"ws://{_HOST}:{port}"]


def _taken(port: int, error: OSError) -> DemoError:
    return DemoError(f"expected port {port} of the simulator's state file to be free, found it taken ({error})")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
