"""Ceilings of what transactions may cost: fees, gas, and spending a window and a day.

Spending is counted from the records of transactions, so a restart forgets none of it. A transaction that is not final
counts with the most that any form of it can cost, since until then it may leave the chain and come back at another
price; a final one counts with what it did cost.

* ``CeilingInTheWay``: the root of what a ceiling keeps from being sent.
    * ``TooMuchGas``: the transaction itself is too large.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, assert_never

from prometheus_client import Counter, Gauge

from models.errors import TidemarkError
from models.symmio.funding_records import CeilingMet, Transaction, spent_s
from models.symmio.open_funding import DAY_S
from streams.funder.fees import Fees

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.funder.funding_journal import Journal
    from streams.settings import FundingSettings

_log = logging.getLogger(__name__)

_MET = Gauge(
    "tidemark_funding_ceiling_met",
    "1 while a ceiling keeps transactions from being sent or replaced.",
    ("deployment", "signer", "ceiling"),
)
_TIMES = Counter(
    "tidemark_funding_ceilings_met_total", "How often a ceiling was met.", ("deployment", "signer", "ceiling")
)
_SPENT = Gauge(
    "tidemark_funding_spent_wei",
    "What transactions of the last day cost; those that are not final with the most that they can cost.",
    ("deployment", "signer"),
)

_WEI_OF_GWEI = 10**9
_WEI_OF_COIN = 10**18


class Ceiling(StrEnum):
    """What is bounded."""

    FEE = "fee"
    TIP = "tip"
    GAS = "gas"
    WINDOW = "window"
    DAY = "day"


class CeilingInTheWay(TidemarkError):
    """A ceiling keeps a transaction from being sent now. It is tried again while its window is open."""


class TooMuchGas(CeilingInTheWay):
    """A transaction takes more gas than one may; with fewer charges it takes less."""


class Limits(NamedTuple):
    """The ceilings: of fees in wei a unit of gas, of gas, and of spending a window and a day in wei."""

    fees: Fees
    gas: int
    window_wei: int
    day_wei: int


def limits_of(settings: FundingSettings) -> Limits:
    """Convert the settings' units."""
    return Limits(
        Fees(int(settings.max_fee_gwei * _WEI_OF_GWEI), int(settings.max_tip_gwei * _WEI_OF_GWEI)),
        settings.max_gas,
        int(settings.max_window_spend * _WEI_OF_COIN),
        int(settings.max_day_spend * _WEI_OF_COIN),
    )


def bound_wei(record: Transaction) -> int:
    """The most in wei that a transaction costs, or may still cost."""
    return int(record.worst_wei if record.cost_wei is None or not record.final else record.cost_wei)


class Ceilings:
    """The ceilings of one signer, what has been spent, and which of them are met.

    Args:
        deployment: The deployment's name.
        signer: The signer's address.
        limits: The ceilings.
        journal: Where it is recorded that one is met.
    """

    def __init__(self, deployment: str, signer: str, limits: Limits, journal: Journal) -> None:
        self.limits = limits
        self._deployment = deployment
        self._signer = signer
        self._journal = journal
        self._spent: dict[int, Transaction] = {}
        self._newest_s = 0
        self._met: dict[Ceiling, CeilingMet] = {}
        self._needed: dict[Ceiling, tuple[int, int]] = {}
        for ceiling in Ceiling:
            _MET.labels(deployment, signer, ceiling).set(0)

    def restore(self, records: Iterable[CeilingMet]) -> None:
        """Take over which ceilings are met, so that it is told when they are not any more."""
        for record in records:
            if record.signer == self._signer:
                ceiling = Ceiling(record.ceiling)
                self._met.pop(ceiling, None)
                if record.until_s is None:
                    self._met[ceiling] = record
        for ceiling in self._met:
            _MET.labels(self._deployment, self._signer, ceiling).set(1)

    def note(self, record: Transaction) -> None:
        """Count a transaction as its newest record has it.

        What ended a day before the newest was signed is of no more use: a window that is open now may close hours
        later. No clock decides that: an endpoint's may be wrong, and what is forgotten is never counted again.
        """
        self._spent[record.nonce] = record
        if record.signed_s > self._newest_s:
            self._newest_s = record.signed_s
            since_s = self._newest_s - DAY_S
            self._spent = {nonce: one for nonce, one in self._spent.items() if not one.final or spent_s(one) >= since_s}

    def spent_wei(self, now_s: int, closes_s: int) -> tuple[int, int]:
        """Sum what was spent, and may be spent already, for a window and within a day, in wei.

        Args:
            now_s: The chain's time, Unix s.
            closes_s: When the window closes, Unix s; it names the window.
        """
        window_wei = sum(bound_wei(one) for one in self._spent.values() if one.closes_s == closes_s)
        day_wei = sum(bound_wei(one) for one in self._spent.values() if spent_s(one) > now_s - DAY_S)
        _SPENT.labels(self._deployment, self._signer).set(day_wei)
        return window_wei, day_wei

    async def expect_gas(self, gas: int, now_s: int) -> None:
        """Let a transaction of so much gas pass.

        Args:
            gas: Its limit.
            now_s: The chain's time, Unix s.

        Raises:
            TooMuchGas: It is above the ceiling.
        """
        if gas <= self.limits.gas:
            return
        said = f"expected a transaction of at most {self.limits.gas} gas, found {gas}; see max_gas and batch"
        await self._meet(Ceiling.GAS, said, now_s)
        raise TooMuchGas(said)

    async def expect_fees(self, base_wei: int, tip_wei: int, floor_wei: int, *, most: Fees, now_s: int) -> None:
        """Let fees pass that a chain and its nodes require; a suggestion above the ceiling is told, and not followed.

        Args:
            base_wei: The base fee, a unit of gas.
            tip_wei: The tip that is suggested.
            floor_wei: The least tip that a node takes, 0 where that is not known.
            most: The ceilings, or so much below them that there is room for a replacement.
            now_s: The chain's time, Unix s.

        Raises:
            CeilingInTheWay: Nothing within the ceilings would be taken.
        """
        highest_wei = max(tip_wei, floor_wei)
        if highest_wei > most.tip_wei:
            said = f"expected tips of at most {most.tip_wei} wei, found {highest_wei}; see max_tip_gwei"
            await self._meet(Ceiling.TIP, said, now_s)
            if floor_wei > most.tip_wei:
                raise CeilingInTheWay(said)
        if base_wei + floor_wei > most.max_wei:
            said = f"expected gas at most at {most.max_wei} wei, found it at {base_wei + floor_wei}; see max_fee_gwei"
            await self._meet(Ceiling.FEE, said, now_s)
            raise CeilingInTheWay(said)

    async def expect_room(self, more_wei: int, closes_s: int, now_s: int) -> None:
        """Let more be spent.

        Args:
            more_wei: The most that it costs beyond what is counted already.
            closes_s: When its window closes, Unix s; 0 where it has none.
            now_s: The chain's time, Unix s. A later one than ``closes_s`` frees nothing of the day.

        Raises:
            CeilingInTheWay: It might come to more than a window or a day may cost.
        """
        window_wei, day_wei = self.spent_wei(min(now_s, closes_s or now_s), closes_s)
        for ceiling, spent_wei, most_wei in (
            (Ceiling.WINDOW, window_wei, self.limits.window_wei),
            (Ceiling.DAY, day_wei, self.limits.day_wei),
        ):
            if spent_wei + more_wei > most_wei:
                said = (
                    f"expected a {ceiling} to cost at most {most_wei} wei, found {spent_wei} spent or under way and "
                    f"up to {more_wei} more wanted; see max_{ceiling}_spend"
                )
                self._needed[ceiling] = more_wei, closes_s
                await self._meet(ceiling, said, now_s)
                raise CeilingInTheWay(said)

    @property
    def are_met(self) -> bool:
        """Whether a ceiling is met now."""
        return bool(self._met)

    async def look_again(self, base_wei: int, tip_wei: int, floor_wei: int, *, now_s: int) -> None:
        """Find out whether the ceilings that were met are not in the way any more.

        Args:
            base_wei: The base fee now, a unit of gas.
            tip_wei: The tip that is suggested now.
            floor_wei: The least tip that a node takes, 0 where that is not known.
            now_s: The chain's time, Unix s.
        """
        most = self.limits.fees.with_room_to_replace()
        fallen = set()
        for ceiling in self._met:
            needed_wei, closes_s = self._needed.get(ceiling, (0, 0))
            window_wei, day_wei = self.spent_wei(now_s, closes_s)
            match ceiling:
                case Ceiling.FEE:
                    is_over = base_wei + floor_wei <= most.max_wei
                case Ceiling.TIP:
                    is_over = max(tip_wei, floor_wei) <= most.tip_wei
                case Ceiling.WINDOW:
                    is_over = now_s > closes_s or window_wei + needed_wei <= self.limits.window_wei
                case Ceiling.DAY:
                    is_over = day_wei + needed_wei <= self.limits.day_wei
                case Ceiling.GAS:
                    # A batch that was too large has been divided; the next one that is too large says it again.
                    is_over = True
                case _:
                    assert_never(ceiling)
            if is_over:
                fallen.add(ceiling)
        for ceiling in sorted(fallen):
            record = self._met.pop(ceiling)
            _log.info("ceiling not met any more ceiling=%s", ceiling)
            _MET.labels(self._deployment, self._signer, ceiling).set(0)
            await self._journal.write([CeilingMet(record.signer, record.ceiling, record.said, record.since_s, now_s)])

    async def _meet(self, ceiling: Ceiling, said: str, now_s: int) -> None:
        if ceiling in self._met:
            return
        record = self._met[ceiling] = CeilingMet(self._signer, ceiling, said, now_s)
        _log.error("ceiling met, waiting ceiling=%s: %s", ceiling, said)
        _MET.labels(self._deployment, self._signer, ceiling).set(1)
        _TIMES.labels(self._deployment, self._signer, ceiling).inc()
        await self._journal.write([record])
