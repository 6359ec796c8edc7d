"""Accounts whose values are not linear in a mark, or depend on references: when they are valued anew, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tidemark_options import PACKAGE

from models.book_figures import REACH
from models.codec import decode_row, join_row
from models.engine.board import InputBoard, PriceSource
from models.engine.deployment import EngineDeployment, Venues
from models.engine.tables import ACCOUNTS, ALERTS, VALUATIONS
from models.engine.valuing import Valuing
from models.money import E18
from models.prices import Mark
from models.references import UsedReference
from models.watermarks import DeploymentWatermark
from tests.support.dict_rows import DictRows
from tidemark.venue import Own, ValuedWhole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.venue import Exposure, Inputs, Valued

ID = "7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
KEY = f"coins:{ID}".encode()


class Taxed(type(PACKAGE.venue)):  # type: ignore[misc]
    """Inverse contracts of which a reference says what else is kept back, in coins; it counts its tangents."""

    tangents = 0

    def exposure(self, deployment: str, held: Any, inputs: Inputs) -> Exposure:  # noqa: ANN401
        self.tangents += 1
        line = super().exposure(deployment, held, inputs)
        return line._replace(margin=line.margin - self._tax(inputs))  # type: ignore[no-any-return]

    def valuer(self, held: Any, term: int) -> ValuedWhole:  # noqa: ANN401
        return ValuedWhole(self, held, term)

    def value(self, held: Any, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:  # noqa: ANN401
        valued = super().value(held, term, inputs, unsupported=unsupported)
        shown = valued.shown
        available = int(valued.body["available_balance"]) - int(self._tax(inputs) * E18)
        body = {**valued.body, "available_balance": str(available), "liquidatable": available < 0}
        return valued._replace(body=body, shown=shown._replace(available=available / E18))  # type: ignore[no-any-return]

    @staticmethod
    def _tax(inputs: Inputs) -> float:
        used = inputs.reference("tax")
        return 0.0 if used is None else float(used.value)


class World:
    """One account, long 60,000 dollars from 60,000, so worth one coin, in a market at 60,000."""

    def __init__(self, coins: str = "1", deadband: float = 0.1) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.marks: dict[bytes, Mark] = {}
        self.now_ms = 0
        self.venue = Taxed()
        self.board = InputBoard(self.marks.get)
        sources = lambda name: (PriceSource(f"venue:{name}".encode(), 10**9),)  # noqa: E731
        # What a coin is worth: a dollar, so that figures are what they are in coins.
        self.marks[b"venue:XBTUSD"] = Mark(E18, None, None, None, 1, 1, 0)
        self.tick(60_000)
        self.valuing = Valuing(
            0,
            DictRows(self.rows),
            venues=Venues({"coins": EngineDeployment(self.venue, None, sources)}, None),
            board=self.board,
            watermark_of=lambda _: DeploymentWatermark(),
            deadband=deadband,
        )
        account = None
        for offset, record in enumerate(_records(coins)):
            account = self.venue.fold(account, Own((offset, -1), json.dumps(record).encode()), DeploymentWatermark())
        assert account is not None
        self.rows[ACCOUNTS, KEY] = join_row(1, account.version, self.venue.write(account))
        self.valuing.put(KEY, self.venue.held(account))
        self.value()

    def tick(self, price: float) -> None:
        self.now_ms += 1_000
        mark_e18 = int(price * E18)
        self.marks[b"venue:BTCUSD"] = Mark(mark_e18, None, None, None, self.now_ms, self.now_ms, 0)
        moved = self.board.choose_all(self.now_ms)
        if hasattr(self, "valuing"):
            self.valuing.move(moved)

    def due(self) -> tuple[set[bytes], list[bytes]]:
        """Who is to be valued at once, and who in turn."""
        urgent, deferred = self.valuing.take_urgent(self.now_ms / 1_000), list(self.valuing.deferred)
        self.valuing.deferred.clear()
        return urgent, deferred

    def value(self) -> None:
        while True:
            urgent, deferred = self.due()
            if not urgent and not deferred:
                return
            write = self.valuing.value(KEY, self.now_ms, is_urgent=True)
            if write is not None:
                self.rows[write.table, KEY] = join_row(1, write.version, write.body)
                if write.table == ALERTS:
                    self.valuing.acknowledged(KEY, is_urgent=True)

    @property
    def body(self) -> dict[str, Any]:
        return decode_row(self.rows[VALUATIONS, KEY]).body


def _records(coins: str) -> Sequence[dict[str, Any]]:
    return (
        {"kind": "paid", "time_ms": 1, "wallet": "main", "amount": coins},
        {"kind": "position", "time_ms": 2, "id": "9", "market": "BTCUSD", "size": "60000", "entry": "60000"},
    )


def test_a_move_within_reach_and_deadband_leaves_the_account_alone() -> None:
    world = World()
    tangents = world.venue.tangents
    world.tick(60_000 * (1 + REACH * 0.9))

    assert (set(), []) == world.due()
    assert tangents == world.venue.tangents


def test_a_mark_out_of_reach_has_the_account_valued_in_turn_and_its_tangent_made_anew() -> None:
    world = World()
    tangents = world.venue.tangents
    world.tick(60_000 * (1 + REACH * 1.1))

    assert (set(), [KEY]) == world.due()
    world.valuing.value(KEY, world.now_ms, is_urgent=False)
    assert tangents + 1 == world.venue.tangents
    world.tick(60_000 * (1 + REACH * 1.2))
    assert (set(), []) == world.due()


def test_many_small_moves_add_up_to_one_out_of_reach() -> None:
    world = World()
    found = []
    for step in range(1, 20):
        world.tick(60_000 * (1 + REACH * step / 10))
        if world.due()[1]:
            found.append(step)
            world.valuing.value(KEY, world.now_ms, is_urgent=False)

    assert [11] == found


def test_an_account_that_becomes_liquidatable_within_reach_is_pressing() -> None:
    # 0.0115 coins, of which 0.01 are kept back: 0.0015 may be lost, and a price lower by 0.149 % loses 0.00149.
    world = World(coins="0.0115")
    assert not world.body["liquidatable"]
    world.tick(60_000 / 1.00149)
    urgent, _ = world.due()

    assert {KEY} == urgent
    world.valuing.touch((KEY,))
    world.value()
    assert not world.body["liquidatable"]
    world.tick(60_000 / 1.0016)
    world.value()
    assert world.body["liquidatable"]


def test_a_reference_that_changed_has_the_accounts_of_its_deployment_valued_in_turn() -> None:
    world = World(coins="0.5")
    assert not world.body["liquidatable"]
    world.valuing.refer(world.board.refer(b"coins:tax", UsedReference("0.6", 0, 7)))
    assert (set(), [KEY]) == world.due()
    world.valuing.touch((KEY,))
    world.value()

    assert world.body["liquidatable"]
    world.valuing.refer(world.board.refer(b"coins:tax", None))
    world.valuing.touch(world.due()[1])
    world.value()
    assert not world.body["liquidatable"]


def test_another_deployments_reference_concerns_no_account_of_this_one() -> None:
    world = World()
    world.valuing.refer(world.board.refer(b"coin:tax", UsedReference("0.6", 0, 7)))

    assert (set(), []) == world.due()
