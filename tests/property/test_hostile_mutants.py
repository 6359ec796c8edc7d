"""With the mending of one kind switched off, some script ends in other rows: the scripts do test it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from streams.ingest.symmio.range_reader import RangeReader
from streams.ingest.symmio.rereading import Rereading
from streams.node import answers
from streams.node.blocks import Header, read_logs
from streams.node.endpoints import Node
from streams.node.standing import Standing
from tests.property.test_hostile_node import fault_of
from tests.support.hostile_node import Traits
from tests.support.hostile_runs import Script, draw_script, play

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SCRIPTS = 60


def without_comparison(patch: pytest.MonkeyPatch) -> None:
    async def settle(_self: Rereading, _last: int) -> bool:
        return True

    patch.setattr(Rereading, "settle", settle)


def without_witness(patch: pytest.MonkeyPatch) -> None:
    async def ask_witness(*_: object, **__: object) -> None:
        return None

    patch.setattr(RangeReader, "_ask_witness", ask_witness)


def without_the_last_header(patch: pytest.MonkeyPatch) -> None:
    """A range is believed though its last block is missing; what is written is still compared."""

    def read(_self: Any, _first: int, last: int, results: Sequence[Any]) -> tuple[frozenset[Any], Header]:  # noqa: ANN401
        known = results[1] or {"hash": "0x" + "00" * 32, "parentHash": "0x", "timestamp": "0x0"}
        edge = Header(last, str(known["hash"]).lower(), str(known["parentHash"]).lower(), int(known["timestamp"], 16))
        return frozenset(read_logs(results[0]).logs), edge

    patch.setattr(RangeReader, "_read", read)


def without_comparison_of_all(patch: pytest.MonkeyPatch) -> None:
    settle = Rereading.settle

    # Neither where the chain stands still, nor before backfill says of it that it is final.
    async def only_of_final(self: Rereading, last: int) -> bool:
        return True if last == self._tail.covered else await settle(self, last)

    patch.setattr(Rereading, "settle", only_of_final)


def without_dividing_batches(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Standing, "_may_be_too_many", lambda *_, **__: False)


def without_dividing_ranges(patch: pytest.MonkeyPatch) -> None:
    ask_elsewhere = Node.ask_elsewhere

    async def undivided(self: Node, calls: Any, read: Any, *, than: Any, is_divisible: bool = False) -> Any:  # noqa: ANN401
        del is_divisible
        return await ask_elsewhere(self, calls, read, than=than)

    patch.setattr(Node, "ask_elsewhere", undivided)


def without_lenience(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answers, "_HEX_QUANTITY", re.compile(r"0x(0|[1-9a-f][0-9a-f]*)"))


def as_drawn(seed: int) -> Script:
    return draw_script(seed)


def far_behind(seed: int) -> Script:
    """One endpoint, whose backends are so far behind that they lack final blocks; each range is read once."""
    traits = Traits(behind=0.5, behind_blocks=20)
    return replace(draw_script(seed), endpoints=(traits,), witness="off", history=26)


def behind(traits: Traits) -> Callable[[int], Script]:
    """One endpoint that is wrong in one way."""
    return lambda seed: replace(draw_script(seed), endpoints=(traits,), witness="share", history=26)


@pytest.mark.parametrize(
    ("switch_off", "script"),
    [
        (without_comparison, as_drawn),
        (without_comparison_of_all, as_drawn),
        (without_witness, as_drawn),
        (without_the_last_header, far_behind),
        (without_dividing_batches, behind(Traits(batch_max=1))),
        (without_dividing_ranges, behind(Traits(range_max=3))),
        (without_lenience, behind(Traits(spells=1.0))),
    ],
)
def test_without_it_some_script_fails(
    monkeypatch: pytest.MonkeyPatch, switch_off: Callable[[pytest.MonkeyPatch], None], script: Callable[[int], Script]
) -> None:
    switch_off(monkeypatch)

    failing = next((seed for seed in range(_SCRIPTS) if fault_of(play(script(seed))) is not None), None)

    assert failing is not None
    monkeypatch.undo()
    assert fault_of(play(script(failing))) is None
