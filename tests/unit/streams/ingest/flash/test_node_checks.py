"""What doctor says of the nodes of both chains of Flash."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from models.findings import Finding, Verdict
from models.flash.flash_accounts import encode_account
from streams.ingest.flash import node_checks
from streams.ingest.flash.node_checks import check_flash_nodes
from streams.settings.flash.flash_settings import FlashSettings
from tests.support.clocks import WallClock
from tests.support.flash import NOW_S, PROGRAMME, SOL_LONG, basket, basket_of, position
from tests.support.hostile_solana import two_chains
from tidemark.demo.solana_node import SolanaNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import pytest

    from tidemark.demo.solana_node import SolanaChain

NOWHERE = "http://127.0.0.1:1"
HEAD_S = 30.0


class TickingNode(SolanaNode):
    """Says a slot to whoever subscribes, so that no test waits for one."""

    def _subscribe(self, asked: dict[str, Any], subscriptions: dict[int, Any]) -> dict[str, Any]:
        answer = super()._subscribe(asked, subscriptions)
        self.chain.next_slot()
        return answer


class OldNode(SolanaNode):
    """Stopped long ago."""

    def shown_slot(self) -> int:
        return self.chain.slot - 200


@asynccontextmanager
async def nodes(*some: SolanaNode) -> AsyncIterator[None]:
    for node in some:
        await node.start()
    try:
        yield
    finally:
        for node in some:
            await node.stop()


def chains() -> tuple[SolanaChain, SolanaChain]:
    base, rollup = two_chains()
    rollup.put(basket_of(), PROGRAMME, encode_account(basket(position(SOL_LONG))))
    for chain in (base, rollup):
        for _ in range(300):
            chain.next_slot()
    return base, rollup


async def found(base: Sequence[str], rollup: Sequence[str], now_s: float = NOW_S + 151) -> Mapping[str, Finding]:
    section = FlashSettings(base_rpc=tuple(map(SecretStr, base)), rollup_rpc=tuple(map(SecretStr, rollup)))
    clock = WallClock(lambda: round(now_s * 1_000))
    return {one.check: one for one in await check_flash_nodes("flash", section, HEAD_S, clock)}


async def test_nodes_that_are_in_order_are_fine_and_say_how_far_they_are() -> None:
    base, rollup = (TickingNode(chain) for chain in chains())
    async with nodes(base, rollup):
        findings = await found(base.urls, rollup.urls)
    assert {Verdict.FINE} == {one.verdict for one in findings.values()}
    assert len(findings) == 4
    assert "1 Baskets" in findings["rpc #1 of the rollup chain of flash"].found
    assert "slot 300, 1 s old" in findings["rpc #1 of the base chain of flash"].found
    assert "it says slot" in findings["socket #1 of the rollup chain of flash"].found


async def test_who_does_not_answer_is_behind_or_is_of_another_programme_is_named_and_no_key_is_shown() -> None:
    base, rollup = chains()
    of_base, old, of_rollup = SolanaNode(base), OldNode(base), SolanaNode(rollup)
    async with nodes(of_base, old, of_rollup):
        findings = await found(
            (f"{NOWHERE}/secret", of_base.urls[0], old.urls[0]),
            # The rollup's setting names a node of the base chain.
            (of_base.urls[0], of_rollup.urls[0]),
        )
    of = {name.split(" of ")[0] + " " + name.split()[4]: one for name, one in findings.items()}
    assert (Verdict.WRONG, Verdict.FINE, Verdict.WARNING) == tuple(of[f"rpc #{at} base"].verdict for at in (1, 2, 3))
    assert Verdict.WRONG is of["rpc #1 rollup"].verdict
    assert "nothing of the programme" in of["rpc #1 rollup"].found
    assert Verdict.FINE is of["rpc #2 rollup"].verdict
    assert "secret" not in str(findings)


async def test_a_chain_that_stands_still_and_a_clock_that_is_behind_are_said() -> None:
    base, rollup = chains()
    both = SolanaNode(base), SolanaNode(rollup)
    async with nodes(*both):
        of_base, of_rollup = (node.urls[:1] for node in both)
        late = await found(of_base, of_rollup, NOW_S + 300)
        early = await found(of_base, of_rollup, NOW_S)
    assert {Verdict.WARNING} == {one.verdict for one in (*late.values(), *early.values())}
    assert all("NTP" in one.to_do for one in early.values())


async def test_a_socket_that_says_no_slot_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_checks, "_SLOT_WITHIN_S", 0.2)
    base, rollup = (SolanaNode(chain) for chain in chains())
    async with nodes(base, rollup):
        findings = await found(base.urls, (*rollup.urls, "ws://127.0.0.1:1"))
    for name in ("socket #1 of the base chain of flash", "socket #2 of the rollup chain of flash"):
        assert (Verdict.WRONG, "it says no slot in 0 s") == findings[name][1:3]


async def test_endpoints_that_are_not_configured_are_one_finding() -> None:
    (finding,) = (await found((), ())).values()
    assert Verdict.WRONG is finding.verdict
    assert "deployments.flash.base_rpc" in finding.found
