"""Which records of ``funding`` whoever comes next still needs, and since when the oldest of them stands there.

A record is needed as long as something may follow from it: an epoch until it is final, a transaction until it is final
and a day longer, since it counts for the day's ceiling. So how far back a successor reads is bounded by the window, the
finality and a day, and not by how long nobody was there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from models.symmio.funding_plan import When, missed_windows
from models.symmio.funding_records import (
    CeilingMet,
    Epoch,
    Frozen,
    Missed,
    Outcome,
    Plan,
    Refused,
    Settled,
    Transaction,
    spent_s,
)

if TYPE_CHECKING:
    from models.symmio.funding_records import Record

DAY_S = 86_400
"""For so long what was spent counts."""


class OpenFunding:
    """Follows the records of one deployment. Those of one key are added in order, others in any."""

    def __init__(self) -> None:
        # When the first record of an epoch was written, by epoch and hedger.
        self._epochs: dict[tuple[Epoch, str], int] = {}
        self._ended: set[tuple[Epoch, str]] = set()
        # When a refusal was written, with when its window closes, by epoch and hedger; and what each hedger came to.
        self._refused: dict[tuple[Epoch, str], tuple[int, int]] = {}
        self._came_to_s: dict[str, int] = {}
        # The newest epoch of each hedger and kind, with when its newest record was written.
        self._last: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._sent: dict[tuple[str, int], tuple[Transaction, int]] = {}
        self._met: dict[tuple[str, str], int] = {}

    def add(self, record: Record, at_ms: int) -> None:
        """Take in a record.

        Args:
            record: The record.
            at_ms: When it was written, Unix ms.
        """
        match record:
            case Frozen(epoch=epoch, party_b=party_b):
                self._seen(record, at_ms)
                if record.final:
                    self._ended.add((epoch, party_b))
                    self._epochs.pop((epoch, party_b), None)
                else:
                    self._opened(epoch, party_b, at_ms)
            case Plan(epoch=epoch, party_b=party_b) | Outcome(epoch=epoch, party_b=party_b):
                self._opened(epoch, party_b, at_ms)
            case Missed():
                self._seen(record, at_ms)
            case Refused(epoch=epoch, party_b=party_b):
                if self._last.get((party_b, epoch.epoch_s, epoch.window_s), (0, 0))[0] < epoch.pays_s:
                    self._refused[epoch, party_b] = record.closes_s, at_ms
            case Transaction():
                self._sent[record.signer, record.nonce] = record, at_ms
            case CeilingMet(signer=signer, ceiling=ceiling, until_s=until_s):
                self._met.pop((signer, ceiling), None)
                if until_s is None:
                    self._met[signer, ceiling] = at_ms
            case Settled():
                pass
            case _:
                assert_never(record)

    @property
    def since_ms(self) -> int | None:
        """When the oldest record was written that is still needed, Unix ms; None where none is."""
        self._forget_kinds()
        self._forget_spent()
        needed = [
            *self._epochs.values(),
            *(
                at_ms
                for (_, party_b), (closes_s, at_ms) in self._refused.items()
                # Who came to a later window has told of this one, unless no market had it any more.
                if closes_s >= self._came_to_s.get(party_b, 0)
            ),
            *(at_ms for _, at_ms in self._last.values()),
            *(at_ms for _, at_ms in self._sent.values()),
            *self._met.values(),
        ]
        return min(needed, default=None)

    def _opened(self, epoch: Epoch, party_b: str, at_ms: int) -> None:
        if (epoch, party_b) not in self._ended:
            self._epochs[epoch, party_b] = min(at_ms, self._epochs.get((epoch, party_b), at_ms))

    def _seen(self, record: Frozen | Missed, at_ms: int) -> None:
        epoch, party_b = record.epoch, record.party_b
        self._came_to_s[party_b] = max(record.opens_s, self._came_to_s.get(party_b, 0))
        kind = party_b, epoch.epoch_s, epoch.window_s
        if self._last.get(kind, (0, 0))[0] <= epoch.pays_s:
            self._last[kind] = epoch.pays_s, at_ms
        self._refused.pop((epoch, party_b), None)

    def _forget_spent(self) -> None:
        """Forget what is final and ended a day before the newest was signed, whoever did: a signer may be replaced."""
        since_s = max((sent.signed_s for sent, _ in self._sent.values()), default=0) - DAY_S
        self._sent = {
            key: (sent, at_ms)
            for key, (sent, at_ms) in self._sent.items()
            if not sent.final or spent_s(sent) >= since_s
        }

    def _forget_kinds(self) -> None:
        """Forget pairs of epoch and window that no market has any more: others came to an epoch after theirs."""
        for party_b, epoch_s, window_s in list(self._last):
            last_s, _ = self._last[party_b, epoch_s, window_s]
            # Whichever side of the epoch is charged, a window has closed by the end of the one after it.
            if missed_windows(last_s, self._came_to_s[party_b], epoch_s, window_s, When.AFTER):
                del self._last[party_b, epoch_s, window_s]
