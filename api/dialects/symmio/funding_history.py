"""The funding of the last three days, as it is on record: epochs, and what became of each quote in them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from models.errors import BadRecord
from models.ids import split_key
from models.symmio.funding_records import (
    CeilingMet,
    Epoch,
    Frozen,
    Missed,
    Outcome,
    Plan,
    Transaction,
    decode_record,
)
from streams.replicas.funding_reader import KEPT_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.replicas.funding_reader import FundingRecords

_log = logging.getLogger(__name__)

_KEPT_S = KEPT_MS // 1_000


class RoundId(NamedTuple):
    """An epoch of one hedger of a deployment; the hedger is empty in records of before there could be several."""

    deployment: str
    epoch: Epoch
    hedger: str

    @property
    def place(self) -> tuple[int, str, int, int, str]:
        """Its place in lists: the newest epoch first."""
        return -self.epoch.pays_s, self.deployment, self.epoch.epoch_s, self.epoch.window_s, self.hedger


class Round:
    """What is on record of one epoch of a hedger; ``terms`` is None until its freezing is read."""

    def __init__(self) -> None:
        self.terms: Frozen | Missed | None = None
        self.plans: dict[str, Plan] = {}
        self.outcomes: dict[str, Outcome] = {}


class FundingHistory:
    """Folds the records of funding, the newest of each key.

    Args:
        records: Hands them out.
    """

    def __init__(self, records: FundingRecords) -> None:
        self._records = records
        self._rounds: dict[RoundId, Round] = {}
        self._sent: dict[tuple[str, Epoch, int], Transaction] = {}
        records.listen(self._take)

    @property
    def is_read(self) -> bool:
        """Whether what is missing is known not to be on record."""
        return self._records.is_read()

    def rounds(self) -> Sequence[tuple[RoundId, Round]]:
        """All epochs, the newest first."""
        return sorted(self._rounds.items(), key=lambda one: one[0].place)

    def sent(self, deployment: str, epoch: Epoch, quote_id: int) -> Transaction | None:
        """The newest transaction that charges a quote for an epoch, None where there is none."""
        return self._sent.get((deployment, epoch, quote_id))

    def _take(self, key: bytes, value: bytes) -> None:
        deployment = split_key(key)[0]
        try:
            record = decode_record(value)
        except BadRecord as error:
            _log.warning("record of funding refused key=%r error=%s", key, error)
            return
        match record:
            case Transaction():
                self._take_sent(deployment, record)
            case CeilingMet():
                return
            case Frozen() | Missed():
                self._round(deployment, record).terms = record
                self._forget(deployment, record.epoch.pays_s)
            case Plan(party_a=party_a):
                self._round(deployment, record).plans[party_a] = record
            case Outcome(party_a=party_a):
                self._round(deployment, record).outcomes[party_a] = record

    def _round(self, deployment: str, record: Frozen | Missed | Plan | Outcome) -> Round:
        return self._rounds.setdefault(RoundId(deployment, record.epoch, record.party_b), Round())

    def _take_sent(self, deployment: str, record: Transaction) -> None:
        for cells in record.charges:
            key = deployment, cells.epoch, cells.quote_id
            standing = self._sent.get(key)
            # A quote is sent again under a later nonce where the former transaction failed; both stay on record.
            if standing is None or standing.signer != record.signer or standing.nonce <= record.nonce:
                self._sent[key] = record

    def _forget(self, deployment: str, newest_s: int) -> None:
        """Forget the epochs that began three days before the newest one."""
        old = {one for one in self._rounds if one.deployment == deployment and one.epoch.pays_s < newest_s - _KEPT_S}
        if not old:
            return
        epochs = {one.epoch for one in old}
        for one in old:
            del self._rounds[one]
        self._sent = {key: sent for key, sent in self._sent.items() if key[0] != deployment or key[1] not in epochs}
