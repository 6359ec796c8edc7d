"""Limits that hold over several replicas: claims in the order of a log, and which of them are granted.

A replica appends a claim and reads it back. The claim is granted if the leases before it that have not ended leave
room. Time is the log's own, the broker's stamp on each record, so all readers of a partition decide each claim alike,
whatever their clocks say. A lease ends ``ttl_ms`` after its claim, or after the last hold that named it, or with its
release.

A reader that begins in the middle of the log does not know the leases from before. So, until it has read for as long as
any lease may last, it is unsure of claims: it counts them against others, but does not report them as granted. A claim
that it reports as granted always was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

import msgspec

from models.codec import NUMBER_MAX
from models.errors import BadRecord

# Long enough for two lost repetitions. It costs that the leases of a replica that was killed count for so long.
LEASE_TTL_MS = 15_000
LEASE_EVERY_S = 5.0
# A reader that starts reads back so far. Signed requests are commonly accepted for five minutes.
LEASE_TTL_MAX_MS = 300_000
# Leases that have ended are removed so often, in the log's time; it takes 1 ms for 10,000.
_SWEEP_EVERY_MS = 15_000
# An owner's name comes from outside. The hash of a longer one takes its place, so that keys are bounded.
_OWNER_MAX_BYTES = 200
_KEY_MAX_BYTES = 256
_HOLDER_MAX_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: at most ``capacity`` units of ``name`` are leased to an owner at a time.

    A lease lasts ``ttl_ms`` unless it is held longer. Where leases are not held, ``capacity`` is therefore how many
    units are granted within any ``ttl_ms``. With a capacity of 1, the first claim wins.
    """

    name: str
    capacity: int
    ttl_ms: int = LEASE_TTL_MS


class Claim(msgspec.Struct, tag="claim", tag_field="kind", frozen=True):
    """``holder`` asks for ``units``; ``number`` names the lease, and the holder uses it once."""

    holder: str
    number: int
    units: int
    capacity: int
    ttl_ms: int


class Hold(msgspec.Struct, tag="hold", tag_field="kind", frozen=True):
    """``holder`` still needs these leases, (number, units) each; a lease that has ended is not revived."""

    holder: str
    leases: tuple[tuple[int, int], ...]
    ttl_ms: int


class Release(msgspec.Struct, tag="release", tag_field="kind", frozen=True):
    """``holder`` gives a lease back."""

    holder: str
    number: int


LeaseRecord = Claim | Hold | Release

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[LeaseRecord] = msgspec.json.Decoder(LeaseRecord)


def lease_key(limit: Limit, owner: str) -> bytes:
    """Make the key of the records of one owner's leases."""
    name = owner.encode()
    if len(name) > _OWNER_MAX_BYTES:
        name = hashlib.sha256(name).hexdigest().encode()
    return b"%s:%s" % (limit.name.encode(), name)


def encode_lease(record: LeaseRecord) -> bytes:
    """Encode a record of ``leases`` as JSON with its ``kind``."""
    return _encoder.encode(record)


def decode_lease(key: bytes | None, value: bytes | None) -> LeaseRecord:
    """Decode a record of ``leases``.

    Raises:
        BadRecord: The key cannot be one of ours, or the value is not a record of a lease.
    """
    if not key or len(key) > _KEY_MAX_BYTES:
        msg = f"expected a limit and its owner, of 1 to {_KEY_MAX_BYTES} bytes, found {key[:80] if key else key!r}"
        raise BadRecord(msg)
    try:
        record = _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a claim, hold or release of {key!r}, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error
    if not 0 < len(record.holder) <= _HOLDER_MAX_CHARACTERS or not _is_within_bounds(record):
        msg = f"expected a holder of 1 to {_HOLDER_MAX_CHARACTERS} characters and numbers within bounds, found {record}"
        raise BadRecord(msg[:300])
    return record


def _is_within_bounds(record: LeaseRecord) -> bool:
    match record:
        case Claim():
            return (
                0 <= record.number <= NUMBER_MAX
                and 0 < record.units <= NUMBER_MAX
                and 0 < record.capacity <= NUMBER_MAX
                and 0 < record.ttl_ms <= LEASE_TTL_MAX_MS
            )
        case Hold():
            are_within = all(0 <= number <= NUMBER_MAX and 0 < units <= NUMBER_MAX for number, units in record.leases)
            return are_within and 0 < record.ttl_ms <= LEASE_TTL_MAX_MS
        case Release():
            return 0 <= record.number <= NUMBER_MAX


class Verdict(Enum):
    """What became of a claim."""

    GRANTED = "granted"
    REFUSED = "refused"
    UNSURE = "unsure"
    """It may have been granted; only a reader that began before the claim's competitors can tell."""


class _Lease:
    __slots__ = ("ends_ms", "is_sure", "units")

    def __init__(self, units: int, ends_ms: int, *, is_sure: bool) -> None:
        self.units = units
        self.ends_ms = ends_ms
        self.is_sure = is_sure


class _KeyLeases:
    """The leases of one key, and their sums: of some keys there are ten thousand, and each claim asks for the sums."""

    __slots__ = ("_first_end_ms", "_of_holder", "at_most", "by_name", "surely")

    def __init__(self) -> None:
        self.by_name: dict[tuple[str, int], _Lease] = {}
        self.surely = 0
        self.at_most = 0
        self._of_holder: dict[str, int] = {}
        # No lease ends before it; it may be earlier than the first of them ends.
        self._first_end_ms = 0

    def add(self, name: tuple[str, int], lease: _Lease) -> None:
        self._first_end_ms = min(self._first_end_ms, lease.ends_ms) if self.by_name else lease.ends_ms
        self.by_name[name] = lease
        self._count(name[0], lease, 1)

    def remove(self, name: tuple[str, int]) -> None:
        lease = self.by_name.pop(name, None)
        if lease is not None:
            self._count(name[0], lease, -1)

    def let_end(self, lease: _Lease, ends_ms: int) -> None:
        lease.ends_ms = ends_ms
        self._first_end_ms = min(self._first_end_ms, ends_ms)

    def end(self, now_ms: int) -> None:
        """Remove what has ended."""
        if now_ms < self._first_end_ms:
            return
        for name in [name for name, lease in self.by_name.items() if lease.ends_ms <= now_ms]:
            self.remove(name)
        self._first_end_ms = min((lease.ends_ms for lease in self.by_name.values()), default=0)

    def units(self, at_ms: int, but_of: str) -> int:
        """Count the units that have not ended by ``at_ms``, without those of a holder."""
        if at_ms < self._first_end_ms:
            return self.at_most - self._of_holder.get(but_of, 0)
        held = self.by_name.items()
        return sum(lease.units for (holder, _), lease in held if holder != but_of and lease.ends_ms > at_ms)

    def _count(self, holder: str, lease: _Lease, times: int) -> None:
        units = times * lease.units
        self.at_most += units
        self.surely += units if lease.is_sure else 0
        of_holder = self._of_holder.get(holder, 0) + units
        if of_holder:
            self._of_holder[holder] = of_holder
        else:
            del self._of_holder[holder]


class Ledger:
    """The leases of one partition: the fold of its records.

    Args:
        begun_ms: The log's time at which the reader begins; 0 where it reads the log from its beginning.
    """

    def __init__(self, begun_ms: int) -> None:
        # From this time on every lease that has not ended has been read.
        self._complete_ms = begun_ms + LEASE_TTL_MAX_MS if begun_ms else 0
        self._leases: dict[bytes, _KeyLeases] = {}
        # A broker's clock may step back; a lease that has ended must not be revived by that.
        self._now_ms = 0
        self._swept_ms = 0

    def __len__(self) -> int:
        """Count the leases in memory; one that has ended is removed within ``_SWEEP_EVERY_MS``."""
        return sum(len(leases.by_name) for leases in self._leases.values())

    def claim(self, key: bytes, claim: Claim, at_ms: int) -> Verdict:
        """Apply a claim.

        Args:
            key: The limit and its owner.
            claim: The claim.
            at_ms: The broker's time of the record, in Unix ms.

        Returns:
            What became of the claim.
        """
        leases = self._holding(key, at_ms)
        name = claim.holder, claim.number
        ends_ms = self._now_ms + claim.ttl_ms
        lease = leases.by_name.get(name)
        if lease is not None:
            # The producer sent the claim twice. Where we were unsure of it, it may have been granted only now.
            if not lease.is_sure:
                leases.let_end(lease, max(lease.ends_ms, ends_ms))
            return Verdict.GRANTED if lease.is_sure else Verdict.UNSURE
        if leases.surely + claim.units > claim.capacity:
            return Verdict.REFUSED
        is_sure = self._now_ms >= self._complete_ms and leases.at_most + claim.units <= claim.capacity
        leases.add(name, _Lease(claim.units, ends_ms, is_sure=is_sure))
        self._leases[key] = leases
        return Verdict.GRANTED if is_sure else Verdict.UNSURE

    def hold(self, key: bytes, hold: Hold, at_ms: int) -> list[int]:
        """Apply a hold.

        Args:
            key: The limit and its owner.
            hold: The hold.
            at_ms: The broker's time of the record, in Unix ms.

        Returns:
            The numbers of the leases that the hold names and that had already ended.
        """
        leases = self._holding(key, at_ms)
        ended = []
        for number, units in hold.leases:
            lease = leases.by_name.get((hold.holder, number))
            if lease is not None:
                leases.let_end(lease, self._now_ms + hold.ttl_ms)
            elif self._now_ms < self._complete_ms:
                lease = _Lease(units, self._now_ms + hold.ttl_ms, is_sure=False)
                leases.add((hold.holder, number), lease)
            else:
                ended.append(number)
        if leases.by_name:
            self._leases[key] = leases
        return ended

    def release(self, key: bytes, release: Release, at_ms: int) -> None:
        """Apply a release.

        Args:
            key: The limit and its owner.
            release: The release.
            at_ms: The broker's time of the record, in Unix ms.
        """
        self._holding(key, at_ms).remove((release.holder, release.number))

    def units(self, key: bytes, at_ms: int, but_of: str = "") -> int:
        """Count the units of a key that may be leased.

        Args:
            key: The limit and its owner.
            at_ms: The time now, in Unix ms; what has ended by then does not count.
            but_of: A holder whose leases do not count; none is left out where it is empty.
        """
        leases = self._leases.get(key)
        return 0 if leases is None else leases.units(at_ms, but_of)

    def next_end_ms(self, key: bytes, at_ms: int) -> int | None:
        """When the first of a key's leases ends, in Unix ms; None where none is left.

        Args:
            key: The limit and its owner.
            at_ms: The time now, in Unix ms.
        """
        leases = self._leases.get(key)
        held = () if leases is None else leases.by_name.values()
        return min((lease.ends_ms for lease in held if lease.ends_ms > at_ms), default=None)

    def _holding(self, key: bytes, at_ms: int) -> _KeyLeases:
        """Find the leases of a key that have not ended."""
        self._now_ms = max(self._now_ms, at_ms)
        if self._now_ms - self._swept_ms >= _SWEEP_EVERY_MS:
            self._swept_ms = self._now_ms
            for one in list(self._leases):
                self._end(one)
        return self._end(key)

    def _end(self, key: bytes) -> _KeyLeases:
        leases = self._leases.get(key)
        if leases is None:
            return _KeyLeases()
        leases.end(self._now_ms)
        if not leases.by_name:
            del self._leases[key]
        return leases
