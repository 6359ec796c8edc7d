"""The funding of the last three days, as it is on record: epochs, and what became of each quote in them."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from api.dialects.symmio.funding_reader import KEPT_MS
from api.tables.charged_funding import ChargedQuote
from models.errors import BadRecord
from models.ids import split_key
from models.row_keys import expect_key
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
    decode_record,
)
from models.symmio.funding_views import charge_view, epoch_view, outcome_of_quote
from streams.kafka.topics import FUNDING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from api.dialects.symmio.funding_reader import FundingRecords
    from models.views import View

_log = logging.getLogger(__name__)

_KEPT_S = KEPT_MS // 1_000


class EpochHistory:
    """What is on record of one epoch of a hedger; ``terms`` is None until its freezing is read.

    Args:
        deployment: The deployment's name.
        epoch: The epoch.
        hedger: The hedger's address, empty in records of before there could be several.
        sent_of: Finds the newest transaction that charges a quote for the epoch.
        sent: The newest record of each transaction that charges any for it, by signer and nonce, also other hedgers'.
    """

    def __init__(
        self,
        deployment: str,
        epoch: Epoch,
        hedger: str,
        *,
        sent_of: Callable[[int], Transaction | None],
        sent: Mapping[tuple[str, int], Transaction],
    ) -> None:
        self.place = (-epoch.pays_s, deployment, str(epoch), hedger)
        self.terms: Frozen | Missed | None = None
        self.plans: dict[str, Plan] = {}
        self.outcomes: dict[str, Outcome] = {}
        self._deployment = deployment
        self._epoch = epoch
        self._sent_of = sent_of
        self._sent = sent

    @property
    def view(self) -> View | None:
        """It is shown so; None while its freezing is not read."""
        if self.terms is None:
            return None
        planned = {quote_id for plan in self.plans.values() for quote_id, _ in plan.quotes}
        sent = [
            one
            for one in self._sent.values()
            if any(cells.epoch == self._epoch and cells.quote_id in planned for cells in one.charges)
        ]
        return epoch_view(self._deployment, self.terms, sent)

    @property
    def accounts(self) -> Sequence[str]:
        """The accounts that have quotes in it, in order."""
        return sorted(self.plans)

    def quotes(self, account: str) -> Iterator[ChargedQuote]:
        """The quotes of an account, in order."""
        plan, terms, outcome = self.plans[account], self.terms, self.outcomes.get(account)
        if isinstance(terms, Frozen):
            for quote in sorted(plan.quotes):
                name = outcome_of_quote(outcome, quote[0])[0]
                yield ChargedQuote(quote[0], name, partial(self._quote_view, plan, quote, terms, outcome))

    def _quote_view(self, plan: Plan, quote: tuple[int, int], terms: Frozen, outcome: Outcome | None) -> View:
        sent = self._sent_of(quote[0])
        return charge_view(self._deployment, plan, quote, frozen=terms, outcome=outcome, sent=sent)


class FundingHistory:
    """Folds the records of funding, the newest of each key.

    Args:
        records: Hands them out.
        deployments: The names of those of which they are kept.
    """

    def __init__(self, records: FundingRecords, deployments: Collection[str]) -> None:
        self._records = records
        self._deployments = frozenset(deployments)
        self._epochs: dict[tuple[str, Epoch, str], EpochHistory] = {}
        self._sent: dict[tuple[str, Epoch, int], Transaction] = {}
        self._sent_for: dict[tuple[str, Epoch], dict[tuple[str, int], Transaction]] = {}
        # When the newest epoch of a deployment began, Unix s.
        self._newest_s: dict[str, int] = {}
        records.listen(self._take)

    @property
    def is_read(self) -> bool:
        """Whether what is missing is known not to be on record."""
        return self._records.is_read()

    def epochs(self) -> Iterable[EpochHistory]:
        """All epochs, in any order."""
        return self._epochs.values()

    def _take(self, key: bytes, value: bytes) -> None:
        try:
            expect_key(FUNDING, key)
            deployment = split_key(key)[0]
            if deployment not in self._deployments:
                return
            record = decode_record(value)
        except BadRecord as error:
            _log.warning("record of funding refused key=%r error=%s", key, error)
            return
        match record:
            case Transaction():
                self._take_sent(deployment, record)
            case CeilingMet() | Refused() | Settled():
                return
            case Frozen(epoch=epoch) | Missed(epoch=epoch):
                self._newest_s[deployment] = max(epoch.pays_s, self._newest_s.get(deployment, 0))
                self._of(deployment, record).terms = record
                # What became of an epoch may be told long after it began: it is not one of the last for that.
                self._forget(deployment, self._newest_s[deployment])
            case Plan(party_a=party_a):
                self._of(deployment, record).plans[party_a] = record
            case Outcome(party_a=party_a):
                self._of(deployment, record).outcomes[party_a] = record

    def _of(self, deployment: str, record: Frozen | Missed | Plan | Outcome) -> EpochHistory:
        key = deployment, record.epoch, record.party_b
        if key not in self._epochs:
            self._epochs[key] = EpochHistory(
                *key,
                sent_of=lambda quote_id: self._sent.get((*key[:2], quote_id)),
                sent=self._sent_for.setdefault(key[:2], {}),
            )
        return self._epochs[key]

    def _take_sent(self, deployment: str, record: Transaction) -> None:
        for epoch in {cells.epoch for cells in record.charges}:
            self._sent_for.setdefault((deployment, epoch), {})[record.signer, record.nonce] = record
        for cells in record.charges:
            key = deployment, cells.epoch, cells.quote_id
            standing = self._sent.get(key)
            # A quote is sent again under a later nonce where the former transaction failed; both stay on record.
            if standing is None or standing.signer != record.signer or standing.nonce <= record.nonce:
                self._sent[key] = record

    def _forget(self, deployment: str, newest_s: int) -> None:
        """Forget the epochs that began three days before the newest one."""
        old = [key for key in self._epochs if key[0] == deployment and key[1].pays_s < newest_s - _KEPT_S]
        if not old:
            return
        gone = {epoch for _, epoch, _ in old}
        for key in old:
            del self._epochs[key]
        self._sent = {key: sent for key, sent in self._sent.items() if key[0] != deployment or key[1] not in gone}
        for epoch in gone:
            self._sent_for.pop((deployment, epoch), None)
