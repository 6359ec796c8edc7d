"""The terms under which this worker writes to the partitions that it owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class NotOwner(TidemarkError):
    """A row was to be written in a partition that this worker does not own, or no longer.

    It is a fault of the writer.
    """


class Superseded(TidemarkError):
    """A later owner writes in a partition that this worker took for its own. The process slept.

    A restart joins anew.
    """


class Terms:
    """The terms of the partitions that are owned now; only ``Ownership`` sets and clears them."""

    def __init__(self) -> None:
        self._terms: Mapping[int, int] = {}

    @property
    def partitions(self) -> Collection[int]:
        """The partitions owned now."""
        return self._terms.keys()

    def owns(self, partition: int) -> bool:
        """Whether this worker may write rows of ``partition``."""
        return partition in self._terms

    def term(self, partition: int) -> int:
        """Find the term under which rows of ``partition`` are written.

        Raises:
            NotOwner: This worker does not own the partition.
        """
        term = self._terms.get(partition)
        if term is None:
            msg = f"expected to own partition {partition}, found only {sorted(self._terms)}"
            raise NotOwner(msg)
        return term

    def hold(self, terms: Mapping[int, int]) -> None:
        """Own these partitions and no others."""
        self._terms = terms
