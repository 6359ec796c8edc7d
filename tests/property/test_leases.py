"""Claims of any replicas in any order: never more than the capacity is let in, whoever reads from wherever."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from models.leases import LEASE_TTL_MAX_MS, Claim, Hold, LeaseRecord, Ledger, Release, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

CAPACITY = 4
KEYS = (b"connections:a", b"connections:a", b"connections:b")
Log = list[tuple[int, bytes, LeaseRecord]]

HOLDERS = ("one", "two", "three")
TTLS_MS = (1_000, 15_000, LEASE_TTL_MAX_MS)
WAITS_MS = (0, 0, 1, 499, 999, 1_000, 5_000, 14_999, 100_000)
RECORDS = 80
UNITS = (1, 1, 1, 1, 2, 2, 2, 3)


def _log_of(seed: int) -> Log:
    """A busy log: few owners, at their limit most of the time. Drawn apart from hypothesis, which draws short ones.

    What a lease is of is told by its number, so that claims and holds say the same of it.
    """
    random = Random(seed)
    waits_ms = random.choices(WAITS_MS, k=3)
    log: Log = []
    at_ms = 1_000_000
    for _ in range(RECORDS):
        at_ms += random.choice(waits_ms)
        holder, number, ttl_ms = random.choice(HOLDERS), random.randrange(len(UNITS)), random.choice(TTLS_MS)
        units = UNITS[number]
        record: LeaseRecord
        match random.choice(("claim", "claim", "claim", "hold", "hold", "release")):
            case "claim":
                record = Claim(holder, number, units, CAPACITY, ttl_ms)
            case "hold":
                named = random.sample(range(len(UNITS)), random.randrange(1, len(UNITS)))
                record = Hold(holder, tuple((number, UNITS[number]) for number in named), ttl_ms)
            case _:
                record = Release(holder, number)
        log.append((at_ms, random.choice(KEYS), record))
    return log


_logs = st.builds(_log_of, st.integers(0, 2**32))


@dataclass
class Plain:
    """What the leases of a key are, said as plainly as can be."""

    leases: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def apply(self, at_ms: int, record: LeaseRecord) -> Verdict | list[int] | None:
        self.leases = {name: lease for name, lease in self.leases.items() if lease[1] > at_ms}
        match record:
            case Claim(holder, number, units, capacity, ttl_ms):
                if (holder, number) not in self.leases:
                    if sum(taken for taken, _ in self.leases.values()) + units > capacity:
                        return Verdict.REFUSED
                    self.leases[holder, number] = units, at_ms + ttl_ms
                return Verdict.GRANTED
            case Hold(holder, leases, ttl_ms):
                ended = [number for number, _ in leases if (holder, number) not in self.leases]
                for number, _ in leases:
                    if number not in ended:
                        self.leases[holder, number] = self.leases[holder, number][0], at_ms + ttl_ms
                return ended
            case Release(holder, number):
                self.leases.pop((holder, number), None)
                return None


def apply(ledger: Ledger, at_ms: int, key: bytes, record: LeaseRecord) -> Verdict | list[int] | None:
    match record:
        case Claim():
            return ledger.claim(key, record, at_ms)
        case Hold():
            return ledger.hold(key, record, at_ms)
        case Release():
            ledger.release(key, record, at_ms)
            return None


@given(_logs)
def test_who_reads_from_the_beginning_says_what_the_plain_fold_says(log: Log) -> None:
    ledger, plain = Ledger(0), {key: Plain() for key in KEYS}
    for at_ms, key, record in log:
        assert plain[key].apply(at_ms, record) == apply(ledger, at_ms, key, record)
        units = ledger.units(key, at_ms)
        assert sum(taken for taken, _ in plain[key].leases.values()) == units
        assert units <= CAPACITY
        for then_ms, but_of in ((at_ms, "one"), (at_ms + 999, ""), (at_ms + 1_000, "two"), (at_ms + 15_000, "")):
            others = ((taken, ends_ms) for (of, _), (taken, ends_ms) in plain[key].leases.items() if of != but_of)
            left = sum(taken for taken, ends_ms in others if ends_ms > then_ms)
            assert left == ledger.units(key, then_ms, but_of)


@settings(max_examples=300)
@given(_logs, st.lists(st.integers(0, RECORDS - 1), min_size=1, max_size=4))
def test_what_a_reader_from_the_middle_takes_for_granted_always_was(log: Log, starts: Sequence[int]) -> None:
    whole = Ledger(0)
    truths = [apply(whole, *record) for record in log]
    for start in starts:
        ledger, truth = Ledger(log[start][0]), Ledger(0)
        for record in log[:start]:
            apply(truth, *record)
        complete_ms = log[start][0] + LEASE_TTL_MAX_MS
        for record, expected in zip(log[start:], truths[start:], strict=True):
            said = apply(ledger, *record)
            apply(truth, *record)
            at_ms, key, _ = record
            assert said is Verdict.UNSURE or not isinstance(said, Verdict) or expected == said
            if isinstance(said, list):
                assert isinstance(expected, list)
                assert set(said) <= set(expected)
            if at_ms >= complete_ms:
                assert truth.units(key, at_ms) <= ledger.units(key, at_ms)


@given(_logs)
def test_all_who_know_the_whole_log_agree_and_forget_what_has_ended(log: Log) -> None:
    ledger = Ledger(0)
    for record in log:
        apply(ledger, *record)
    ledger.release(b"connections:c", Release("one", 1), log[-1][0] + 2 * LEASE_TTL_MAX_MS)
    assert 0 == len(ledger)
