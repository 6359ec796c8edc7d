"""Faults that an executor is given on purpose, to see that the judge of the storms refuses each.

As a program it lets a storm happen to each of them, after the same storms without any fault, and ends with 1 where the
judge did not refuse one: ``python -m tests.evm.mutants [NAME …]``. A fault that shows only where something happens has
a storm with that. An executor's process takes its fault from the environment variable ``FUNDER_MUTANT``; nothing of it
is in what is judged.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from models.symmio import funding_plan
from streams.funder import account_charges, ceilings, executor, finality, funder_process, outcomes, rounds
from streams.funder.fees import Fees
from tests.evm.weather import REFUSED, kinds_of, lie_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.symmio.funding_records import Frozen, Outcome, Plan

    Patch = Callable[[object, str, object], None]

VARIABLE = "FUNDER_MUTANT"
_STORM = "tests/evm/test_funder_pipeline_storm.py"
_TEST = "test_every_quote_is_charged_at_the_judges_rate_or_has_the_judges_reason"
_SEED = "TIDEMARK_TEST_SEED"
# What has to happen for a fault to show. Each storm has a charge at high fees, and a quote that the contract refuses.
_SHOWN_BY = {"unnoticed-fork": "fork", "forgotten-death": "fork and kill"}


def _changed(make: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *about, **more: change(make(*about, **more))


def _another_mark(patch: Patch) -> None:
    """The mark of an epoch is one too high in the last digit."""

    def moved(found: tuple[Frozen, list[Plan]]) -> tuple[Frozen, list[Plan]]:
        frozen, plans = found
        markets = {
            symbol_id: msgspec.structs.replace(one, mark=str(int(one.mark) + 1))
            for symbol_id, one in frozen.markets.items()
        }
        return msgspec.structs.replace(frozen, markets=markets), plans

    patch(executor, "freeze", _changed(rounds.freeze, moved))


def _another_rate(patch: Patch) -> None:
    """What is charged is one more in the last digit than by the terms on record."""
    charge_of = _changed(funding_plan.charge_of, lambda one: one._replace(rate_e18=one.rate_e18 + 1))
    patch(account_charges, "charge_of", charge_of)


def _no_ceiling(patch: Patch) -> None:
    """Fees may be some wei above the ceiling."""

    def above(fees: Fees) -> Fees:
        return Fees(fees.max_wei * 9 // 8 + 9, fees.tip_wei * 9 // 8 + 9)

    limits_of = _changed(ceilings.limits_of, lambda one: one._replace(fees=above(one.fees)))
    patch(funder_process, "limits_of", limits_of)


def _forgotten_quote(patch: Patch) -> None:
    """One quote is in no plan."""

    def without_one(found: tuple[Frozen, list[Plan]]) -> tuple[Frozen, list[Plan]]:
        frozen, (first, *others) = found
        return frozen, [msgspec.structs.replace(first, quotes=first.quotes[:-1]), *others]

    patch(executor, "freeze", _changed(rounds.freeze, without_one))


def _wrong_reason(patch: Patch) -> None:
    """Quotes that the contract refuses are told with another reason than its own."""

    def reworded(found: Outcome) -> Outcome:
        return msgspec.structs.replace(found, culprits=dict.fromkeys(found.culprits, "it could not be charged"))

    patch(executor, "outcome_of", _changed(outcomes.outcome_of, reworded))


def _unnoticed_fork(patch: Patch) -> None:
    """What left the chain after it was charged stays paid."""
    patch(executor.Executor, "unmined", lambda _self, _record: None)
    patch(finality, "disputed", lambda *_: set())


def _forgotten_death(patch: Patch) -> None:
    """Who comes after an executor that died believes what it has told, also what it would have told anew."""
    patch(rounds.Round, "doubt", lambda _self, _sent: None)
    patch(finality, "disputed", lambda *_: set())


MUTANTS: Mapping[str, Callable[[Patch], None]] = {
    "another-mark": _another_mark,
    "another-rate": _another_rate,
    "no-ceiling": _no_ceiling,
    "forgotten-quote": _forgotten_quote,
    "wrong-reason": _wrong_reason,
    "unnoticed-fork": _unnoticed_fork,
    "forgotten-death": _forgotten_death,
}


def apply_named() -> None:
    """Give this process the fault that the environment names, if it names one."""
    name = os.environ.get(VARIABLE)
    if name is not None:
        MUTANTS[name](setattr)


def _seed(name: str) -> int:
    """The first storm in which a fault shows, from the seed that was asked for on."""
    # Of several endpoints the others would outvote the one that suggests a price.
    alone = (seed for seed in itertools.count(int(os.environ.get(_SEED) or 0)) if not lie_of(seed))
    return next(seed for seed in alone if name not in _SHOWN_BY or _SHOWN_BY[name] in kinds_of(seed))


def _storm(name: str | None, seed: int) -> tuple[int, list[str]]:
    """Let a storm happen to an executor with a fault, or with none; return how it ended, and what was said."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", f"{_STORM}::{_TEST}"],
        env=os.environ | {_SEED: str(seed)} | ({} if name is None else {VARIABLE: name}),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return ended.returncode, [line for line in ended.stdout.splitlines() if line.startswith("E  ")][:2]


def _is_refused(name: str) -> bool:
    seed = _seed(name)
    _, said = _storm(name, seed)
    is_refused = any(REFUSED in line for line in said)
    print(name, seed, "refused" if is_refused else "NOT REFUSED", *said, flush=True)  # noqa: T201 - a program
    return is_refused


def _is_sound(seed: int) -> bool:
    """Whether a storm passes without a fault: that it fails with one shows nothing otherwise."""
    code, said = _storm(None, seed)
    print("no fault", seed, "passed" if code == 0 else "FAILED", *said, flush=True)  # noqa: T201 - a program
    return code == 0


if __name__ == "__main__":
    names = sys.argv[1:] or [*MUTANTS]
    if not all(_is_sound(seed) for seed in sorted({*map(_seed, names)})):
        sys.exit(1)
    refused = [_is_refused(name) for name in names]
    sys.exit(0 if all(refused) else 1)
