"""A storm over one epoch: each thing happens while the charge of an account is under way, where it can hurt.

The gateway holds every account until its turn comes, and the chain stands still where a charge is to be neither before
nor after what happens to it. So nothing depends on how fast executors are, and a storm in which something did not come
to anything fails.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from models.symmio.funding_records import CeilingMet
from streams.funder.ceilings import Ceiling
from streams.funder.flights import State
from tests.evm.judge import closed_at_s
from tests.evm.market import HOUR_S, SYMBOLS
from tests.support.eventually import eventually

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

    from models.symmio.funding_records import Transaction as Sent
    from tests.evm.killer import Killer
    from tests.evm.market import Scene
    from tests.evm.pipeline import Pipeline

GWEI = 10**9
# What gas costs in a spike: more than the ceiling, where it is not 0, and then so much that charges are replaced at it.
_TOO_MUCH_WEI, _MUCH_WEI = (0, 40 * GWEI, 200 * GWEI), 15 * GWEI
_SUGGESTED_WEI = (30 * GWEI, 5_000 * GWEI)
_SOON_S = 60
_BLOCK_S = 1
# So many blocks more than a charge's own are made for endpoints that lag; a fork reaches further.
_LAGS_BLOCKS = 6
# What each kind comes to, as it is counted.
_EFFECTS = {
    "fork": "charges that left with their blocks",
    "fork and kill": "executors killed when a charge had left",
    "spike": "charges at high fees",
    "suggest": "fees suggested",
    "kill": "executors killed with a charge under way",
    "late": "receipts withheld",
    "stall": "charges handed over again",
    "odds": "answers that failed",
    "worker": "charges without a worker",
    "ingest": "charges without an ingest",
    "close": "quotes closed",
    "leap": "charges that came too late",
}


class Storm:
    """What happens to an epoch, and how often it came to something.

    Args:
        one: The scene.
        tables: The ingest and the worker.
        killer: Has the executors.
        draw: Decides how bad it is.
        depth: A fork is shorter than this.
        priced: The market whose second source is never silent.
        mixed: Accounts with quotes of every market, one of which at least is of that one.
        plain: Accounts with quotes of that market alone.
        lasting: Ids of quotes that are not closed.
    """

    def __init__(
        self,
        one: Scene,
        tables: Pipeline,
        killer: Killer,
        draw: random.Random,
        *,
        depth: int,
        priced: int,
        mixed: Sequence[str],
        plain: Sequence[str],
        lasting: Collection[int],
    ) -> None:
        self._one = one
        self._tables = tables
        self._killer = killer
        self._draw = draw
        self._depth = depth
        self._priced = priced
        self._mixed = [*mixed]
        self._plain = [*plain]
        self._lasting = {*lasting}
        self._closed: set[int] = set()
        self._others = asyncio.Lock()
        self.happened: Counter[str] = Counter()

    async def open_window(self, pays_s: int) -> None:
        """Let feeds fall silent about the epoch's beginning and what makes tables be down, then go there."""
        one, draw = self._one, self._draw
        sources = one.venue.sources
        # A short silence, one after which a source does not count, one that leaves no mark, and one that is for good.
        silences = (
            range(0),
            range(pays_s - 7, pays_s + 6),
            range(pays_s - 4, pays_s + 30),
            range(pays_s - 200, pays_s + 5),
            range(pays_s - 3, pays_s + 10**6),
        )
        for symbol in SYMBOLS.values():
            one.venue.hushed[sources[0], symbol] = draw.choice(silences)
        for symbol_id in SYMBOLS.keys() - {self._priced}:
            one.venue.hushed[sources[1], SYMBOLS[symbol_id]] = draw.choice(silences)
        self.happened["feeds silent at T"] = sum(pays_s in hush for hush in one.venue.hushed.values())
        one.gateway.hold({quote.party_a for quote in one.quotes})
        if draw.random() < 0.5:
            self._tables.kill_worker()
            self.happened["worker down at T"] += 1
        if draw.random() < 0.25:
            self._tables.kill_ingest()
            self.happened["ingest down at T"] += 1
        await self._killer.start()
        if draw.random() < 0.5:
            await eventually(lambda: len(self._killer.working) == 1, timeout_s=_SOON_S)
        await one.chain.mine_every(_BLOCK_S)
        await one.chain.go_to(pays_s + 1)
        if draw.random() < 0.5:
            await self._killer.kill_one()
            self.happened["executor killed at T"] += 1
        # Who has not spoken yet when the chain's time leaps on says nothing of the epoch's beginning any more.
        await eventually(lambda: one.venue.said_s > pays_s, timeout_s=_SOON_S)
        # A fork that reached below this would take the chain's clock back before the window.
        await one.chain.ask("anvil_mine", hex(self._depth), hex(1))
        # Nothing is under way before the epoch is frozen, for which tables are waited for.
        self._tables.start_worker()
        self._tables.start_ingest()

    async def meddle(self, draw: random.Random) -> None:
        """Act for accounts, as others do, all the time that the chain does not stand still: signatures are stale then.

        Args:
            draw: Its own: with the storm's, which it draws of whenever its turn comes, no storm would happen twice.
        """
        pairs = sorted({(quote.party_b or self._one.party_b, quote.party_a) for quote in self._one.quotes})
        while True:
            async with self._others:
                await self._one.diamond.send("act", *draw.choice(pairs))
            await asyncio.sleep(draw.random() * 3)

    async def happen(self, kind: str) -> None:
        """Let one thing of a kind happen; it has come to something when this returns."""
        match kind:
            case "fork":
                await self._fork(then_kill=False)
            case "fork and kill":
                await self._fork(then_kill=True)
            case "spike":
                await self._spike()
            case "suggest":
                await self._suggest()
            case "kill":
                await self._kill()
            case "late":
                await self._be_late()
            case "stall":
                await self._stall()
            case "odds":
                await self._fail()
            case "worker":
                await self._charge_without("a worker", self._tables.kill_worker, self._tables.start_worker)
            case "ingest":
                await self._charge_without("an ingest", self._tables.kill_ingest, self._tables.start_ingest)
            case "close":
                await self._close_one()
            case _:
                await self._leap()
        self.happened[kind] += 1

    async def calm(self, pays_s: int) -> None:
        """Let everything be up, and the chain be where every source that comes back has come back."""
        one = self._one
        one.node.calm()
        one.gateway.let_all_through()
        self._tables.start_worker()
        self._tables.start_ingest()
        await self._close()
        # A base fee of 200 gwei falls below the ceiling in 20 empty blocks.
        await one.chain.ask("anvil_mine", hex(24), hex(1))
        # Blocks come meanwhile, and time does not go back.
        await one.chain.go_to(max(await one.chain.time_s(), pays_s) + HOUR_S // 20)
        await eventually(lambda: one.venue.said_s > pays_s + 60, timeout_s=_SOON_S)

    async def count(self) -> dict[str, int]:
        """What happened, what it came to, and what executors met of it."""
        one = self._one
        found = self.happened + Counter(
            {
                "receipts withheld": one.node.withheld,
                "answers that failed": one.node.failed,
                "fees suggested": one.node.suggested,
                "lies": 0 if one.liar is None else one.liar.lied,
                "quotes closed": len(await closed_at_s(one)),
            }
        )
        found.update(f"transactions {sent.state}" for sent in await one.sent())
        found.update(f"ceiling {met.ceiling}" for met in await one.records() if isinstance(met, CeilingMet))
        return dict(sorted(found.items()))

    async def without_effect(self, kinds: Sequence[str]) -> list[str]:
        """Find what came to nothing of that which was to happen: a storm that tries nothing shows nothing.

        Args:
            kinds: What was to happen.
        """
        expected = {_EFFECTS[kind] for kind in kinds}
        if self._one.liar is not None:
            # The one that withholds receipts is not asked while another one tells them.
            expected = expected - {_EFFECTS["late"]} | {"lies"}
        return sorted(expected - (await self.count()).keys())

    async def _fork(self, *, then_kill: bool) -> None:
        """Take a charge out of the chain that was told as paid. Others act for the pair there, so it is of no use."""
        one, chain = self._one, self._one.chain
        # What has no price yet is not told, so it is an account without that.
        party_a = self._plain.pop(0)
        pairs = {(party_a, quote.party_b or one.party_b) for quote in one.quotes if quote.party_a == party_a}
        async with self._standing_still():
            one.gateway.let_through(party_a)
            more = iter(range(_LAGS_BLOCKS))

            async def is_told() -> bool:
                mined = await self._mined(party_a)
                if mined and pairs <= (await one.told()).keys():
                    return True
                # An endpoint that lags sees a charge when there are later blocks.
                if await self._pending(party_a) or (mined and next(more, None) is not None):
                    await chain.mine()
                return False

            await self._until(is_told)
            mined, charges = await self._mined(party_a), len(await one.charges())
            newest = max(mined, key=lambda nonce: mined[nonce])
            reach = await self._head() - mined[newest] + 1
            # More often than others and charges did in the blocks that go, or the charge would be of use there again.
            acts = [one.diamond.data("act", party_b, party_a) for _, party_b in sorted(pairs)] * (2 * self._depth)
            if then_kill:
                # Until the executor is killed nothing is told anew.
                one.gateway.hold({party_a})
            await chain.fork(self._draw.randint(reach, self._depth - 1), one.diamond.address, acts)
            self.happened["charges that left with their blocks"] += charges - len(await one.charges())

            async def is_in_state(*states: State) -> bool:
                return any((sent.signer, sent.nonce) == newest and sent.state in states for sent in await one.sent())

            await self._until(lambda: is_in_state(State.SENT))
            if then_kill:

                async def is_of_no_use() -> bool:
                    if await is_in_state(State.REVERTED, State.CANCELLED):
                        return True
                    await chain.mine()
                    return False

                # Nothing more becomes of it, so only what was told of it says to who comes next that it is not paid.
                await self._until(is_of_no_use)
                await self._killer.kill_one()
                one.gateway.let_through(party_a)
                self.happened["executors killed when a charge had left"] += 1
            # A chain mines again what it lost; this one forgets it.
            await self._close()

    async def _spike(self) -> None:
        """Let gas cost more than a charge under way pays, and then so much that it is replaced at the ceiling."""
        one = self._one
        async with self._standing_still():
            party_a = await self._under_way()
            too_much_wei = self._draw.choice(_TOO_MUCH_WEI)
            if too_much_wei:
                await self._mine_at(too_much_wei, self._is_fee_met)

            async def is_charged_dearly() -> bool:
                mined = await self._mined(party_a)
                return any(
                    (sent.signer, sent.nonce) in mined and int(sent.max_fee_wei) >= _MUCH_WEI
                    for sent in await one.sent()
                )

            await self._mine_at(_MUCH_WEI, is_charged_dearly)
            self.happened["charges at high fees"] += 1

    async def _suggest(self) -> None:
        self._one.node.suggests_wei = self._draw.choice(_SUGGESTED_WEI)
        await self._charged(self._next())

    async def _kill(self) -> None:
        async with self._standing_still():
            await self._under_way()
            await self._killer.kill_one()
            self.happened["executors killed with a charge under way"] += 1

    async def _be_late(self) -> None:
        node = self._one.node
        node.late_s = self._draw.choice((2.0, 6.0))
        before = node.withheld
        await self._charged(self._next())

        async def is_withheld() -> bool:
            return node.withheld > before

        if self._one.liar is None:
            await self._until(is_withheld)

    async def _stall(self) -> None:
        node = self._one.node
        async with self._standing_still():
            await self._under_way()
            before = node.handed_again

            async def is_handed_again() -> bool:
                return node.handed_again > before

            await self._until(is_handed_again)
            self.happened["charges handed over again"] += 1

    async def _fail(self) -> None:
        self._one.node.odds = self._draw.choice((0.05, 0.1))
        await self._charged(self._next())

    async def _charge_without(self, what: str, kill: Callable[[], None], start: Callable[[], None]) -> None:
        kill()
        await self._charged(self._next())
        self.happened[f"charges without {what}"] += 1
        if self._draw.random() < 0.5:
            start()

    async def _close_one(self) -> None:
        """Close a quote right before or right after it is charged."""
        async with self._standing_still():
            party_a = self._next()
            ids = [quote_id for quote_id, quote in enumerate(self._one.quotes, 1) if quote.party_a == party_a]
            self._closed.add(self._draw.choice([quote_id for quote_id in ids if quote_id not in self._lasting]))
            if self._draw.random() < 0.5:
                await self._close()
                self._one.gateway.let_through(party_a)
            else:
                await self._under_way(party_a)
                await self._close()
        await self._charged(party_a)

    async def _leap(self) -> None:
        """Let the next block be so late that the signature has expired of the charge that is in it."""
        chain = self._one.chain
        async with self._standing_still():
            party_a = await self._under_way()
            pending = await self._pending(party_a)
            await chain.go_to(await chain.time_s("pending") + self._draw.randint(HOUR_S // 60 + 1, HOUR_S // 12))
            receipts = [await chain.ask("eth_getTransactionReceipt", one) for sent in pending for one in sent.hashes]
            self.happened["charges that came too late"] += sum(
                receipt is not None and receipt["status"] == "0x0" for receipt in receipts
            )

    def _next(self) -> str:
        """An account whose turn it is; one that is plain is left for a fork."""
        return (self._mixed or self._plain).pop(0)

    async def _under_way(self, party_a: str = "") -> str:
        """Let an account through, or the next one, and wait until a charge of it waits for a block; return which."""
        party_a = party_a or self._next()
        self._one.gateway.let_through(party_a)

        async def is_under_way() -> bool:
            return bool(await self._pending(party_a))

        await self._until(is_under_way)
        return party_a

    async def _charged(self, party_a: str) -> None:
        """Let an account through, and wait until a charge of it is in the chain."""
        self._one.gateway.let_through(party_a)

        async def is_charged() -> bool:
            return bool(await self._mined(party_a))

        await self._until(is_charged)

    async def _pending(self, party_a: str) -> list[Sent]:
        """An account's charges that are on record and wait for a block."""
        found = []
        for sent in await self._one.sent():
            if sent.party_a == party_a and sent.charges and not sent.cancels:
                told = [await self._one.chain.ask("eth_getTransactionByHash", one) for one in sent.hashes]
                if any(one is not None and one["blockNumber"] is None for one in told):
                    found.append(sent)
        return found

    async def _mined(self, party_a: str) -> dict[tuple[str, int], int]:
        """The blocks of an account's charges that are in the chain, by signer and nonce."""
        found = {}
        for sent in await self._one.sent():
            if sent.party_a == party_a and sent.charges:
                told = [await self._one.chain.ask("eth_getTransactionReceipt", one) for one in sent.hashes]
                for receipt in told:
                    if receipt is not None and receipt["status"] == "0x1":
                        found[sent.signer, sent.nonce] = int(receipt["blockNumber"], 16)
        return found

    async def _head(self) -> int:
        return int(await self._one.chain.ask("eth_blockNumber"), 16)

    async def _is_fee_met(self) -> bool:
        records = [one for one in await self._one.records() if isinstance(one, CeilingMet)]
        newest = {one.signer: one for one in records if one.ceiling == Ceiling.FEE}
        return any(one.until_s is None for one in newest.values())

    async def _mine_at(self, base_fee_wei: int, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Make blocks in which gas costs so much, until something is so."""

        async def mined() -> bool:
            await self._one.chain.mine(base_fee_wei)
            return await is_so()

        await self._until(mined)

    async def _close(self) -> None:
        for quote_id in sorted(self._closed):
            await self._one.diamond.send("close", quote_id)

    async def _until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        await self._killer.until(is_so, timeout_s=_SOON_S)

    @asynccontextmanager
    async def _standing_still(self) -> AsyncIterator[None]:
        """Have no block but those that are asked for, and nobody act for an account."""
        async with self._others:
            await self._one.chain.stand_still()
            # What others did before is in the chain, so what is signed now holds.
            await self._one.chain.mine()
            yield
            await self._one.chain.mine_every(_BLOCK_S)
