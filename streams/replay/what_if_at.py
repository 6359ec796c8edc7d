"""What would become of all accounts of a deployment if marks or funding were others, as of an instant of the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from models.money import E18, parse_e18
from models.what_if import BadScenario, Change, Figures, Outcome, Scenario, figures_of, outcomes, put_scenario
from streams.replay.accounts_at import value_accounts_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streams.replay.bounded_log import Log, LogRecord
    from streams.replay.checkpoints import Checkpoints
    from streams.settings import Settings

_NUMBER = re.compile(r"([+-]?[0-9.]+)(%?)")


class WhatIf(NamedTuple):
    """What a scenario came to: every account's figures before and after, those that are others, and the marks moved.

    ``doubts`` say what the log cannot tell any more.
    """

    before: Mapping[bytes, Figures]
    after: Mapping[bytes, Figures]
    changed: Sequence[Outcome]
    moved: Mapping[str, tuple[int, int]]
    doubts: Sequence[str]


def read_scenario(shocks: Iterable[tuple[str, str]], marks: Iterable[tuple[str, str]], funding: str | None) -> Scenario:
    """Read a scenario as users write it.

    Args:
        shocks: Markets, and by how much their marks move, such as ``-30%``.
        marks: Markets, and what their marks become, such as ``25000``; these count first.
        funding: Which part of their opened price positions pay, such as ``0.1%`` or ``0.001``; None for no charge.

    Raises:
        BadScenario: It is none.
    """
    changes: dict[str, Change] = {}
    for market, text in marks:
        value_e18, is_share = _number(text, "a mark such as 25000")
        if is_share:
            msg = f"expected a mark such as 25000, found {text!r}"
            raise BadScenario(msg)
        changes[market] = Change(E18, value_e18)
    for market, text in shocks:
        value_e18, is_share = _number(text, "a shock such as -30%")
        if not is_share:
            msg = f"expected a shock such as -30%, found {text!r}"
            raise BadScenario(msg)
        changes.setdefault(market, Change(E18 + value_e18 // 100))
    rate_e18 = None
    if funding is not None:
        value_e18, is_share = _number(funding, "funding such as 0.1% or 0.001")
        rate_e18 = value_e18 // (100 if is_share else 1)
    if not changes and rate_e18 is None:
        msg = "expected a shock, a mark or funding, found none"
        raise BadScenario(msg)
    return Scenario(changes, rate_e18)


async def what_if_at(
    log: Log, settings: Settings, deployment: str, scenario: Scenario, *, at_ms: int,
    on_record: Callable[[LogRecord], None], checkpoints: Checkpoints | None = None,
) -> WhatIf:  # fmt: skip
    """Value all accounts of a deployment as of an instant, and then as a scenario has it.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        scenario: What is other.
        at_ms: The instant, Unix ms.
        on_record: Is told each record that was read.
        checkpoints: Where checkpoints are; by default every record is folded.

    Raises:
        ReplayError: It cannot be said of this log.
        BadScenario: It names no market that has a mark, or says what cannot be.
    """
    found = await value_accounts_at(
        log, settings, deployment, at_ms, on_record=on_record, is_stated=False, checkpoints=checkpoints
    )
    engine = found.fold.engine
    before = figures_of(engine)
    moved = put_scenario(engine, (deployment, found.fold.venue), scenario, at_ms) if before else {}
    after = figures_of(engine)
    return WhatIf(before, after, tuple(outcomes(before, after)), moved, found.doubts)


def _number(text: str, expected: str) -> tuple[int, bool]:
    """A number as text, 1e18-scaled, and whether it is one of a hundred."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        msg = f"expected {expected}, found {text!r}"
        raise BadScenario(msg)
    return parse_e18(found[1].removeprefix("+")), bool(found[2])
