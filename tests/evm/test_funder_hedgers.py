"""Two hedgers of one deployment in one funder: one signs with a key, the other has a remote signer sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.money import E18
from models.symmio.funding_records import Outcome, Transaction
from streams.settings import symmio_deployments
from streams.settings.symmio.funding import HedgerSettings
from tests.evm.judge import charged, paid_by
from tests.evm.killer import Killer
from tests.evm.market import GENEROUS, NAME, SIGNER, Opened, account, next_window_s, scene
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.settings import Settings
    from tests.evm.market import Scene


def quote(number: int, party_b: str = "") -> Opened:
    return Opened(account(number), 1, 0, 10 * E18, 100 * E18, GENEROUS, party_b)


def with_hedger(settings: Settings, hedger: HedgerSettings) -> Settings:
    deployment = symmio_deployments(settings)[NAME]
    funding = deployment.funding.model_copy(update={"hedgers": {"second": hedger}})
    return settings.model_copy(update={"deployments": {NAME: deployment.model_copy(update={"funding": funding})}})


async def paid_quotes(one: Scene) -> dict[tuple[str, str], tuple[int, ...]]:
    told = [record for record in await one.records() if isinstance(record, Outcome)]
    return {(outcome.party_b, outcome.party_a): outcome.paid for outcome in told}


async def test_each_hedgers_quotes_are_charged_once_by_its_own_signer_through_a_kill(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    async with scene(settings, party_b="key") as one:
        # Anvil signs for its own accounts by eth_signTransaction, as a remote signer does.
        second = (await one.chain.ask("eth_accounts"))[1].lower()
        hedger = HedgerSettings.model_validate(
            {"party_b": second, "remote_signer": one.chain.url, "remote_address": second}
        )
        one.settings = with_hedger(one.settings, hedger)
        # The second account has quotes with both of them.
        await one.open([quote(0), quote(1), quote(1, second), quote(2, second)])
        await one.chain.mine_every(1)
        await one.chain.go_to(await next_window_s(one.chain) + 1)
        killer = Killer(one, tmp_path, seed=1)
        try:
            await killer.start()
            await eventually(lambda: len(killer.working) == 1, timeout_s=30)
            await killer.kill_one()

            async def all_told() -> bool:
                return len(await paid_quotes(one)) == 4

            await eventually(all_told, timeout_s=30)
        finally:
            await killer.end()
        assert {1: 1, 2: 1, 3: 1, 4: 1} == await charged(one)
        first = SIGNER.address.lower()
        assert {
            (first, account(0)): (1,),
            (first, account(1)): (2,),
            (second, account(1)): (3,),
            (second, account(2)): (4,),
        } == await paid_quotes(one)
        assert {first, second} == {sent.signer for sent in await one.records() if isinstance(sent, Transaction)}
        assert [2, 2] == [len(await paid_by(one, signer)) for signer in (first, second)]
