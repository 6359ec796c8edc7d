"""Under which term this worker writes to each partition that it owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class NotOwner(TidemarkError):
    """A row was to be written in a partition that is not, or no longer, this worker's. A fault of the writer."""


class Superseded(TidemarkError):
    """A later owner writes in a partition held for ours. This process slept; its restart joins the group anew."""


class Terms:
    """Partition → term, for the partitions that are owned now; set and cleared by ``Ownership`` alone."""

    def __init__(self) -> None:
        self._terms: Mapping[int, int] = {}

    @property
    def partitions(self) -> Collection[int]:
        """The partitions owned now."""
        return self._terms.keys()

    def owns(self, partition: int) -> bool:
        """Whether rows of ``partition`` may be written."""
        return partition in self._terms

    def term(self, partition: int) -> int:
        """The term under which rows of ``partition`` are written.

        Raises:
            NotOwner: It is not ours.
        """
        term = self._terms.get(partition)
        if term is None:
            msg = f"expected to own partition {partition}, found only {sorted(self._terms)}"
            raise NotOwner(msg)
        return term

    def hold(self, terms: Mapping[int, int]) -> None:
        """Own these partitions and no others."""
        self._terms = terms

    def are(self, terms: Mapping[int, int]) -> bool:
        """Whether what ``hold`` was given still stands, not replaced or cleared since."""
        return self._terms is terms
