"""Explanations in a replay: there are none, since the process that works them out reads the cluster of now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.tables.explanations import NotNow

if TYPE_CHECKING:
    from api.tables.explanations import Outcome, Question


class ReplayedExplanations:
    """Refuses each question: what is replayed may be of another cluster, or of none."""

    def ask(self, user: str, question: Question) -> Outcome:
        """Refuse a question.

        Args:
            user: Who asks.
            question: What is asked.

        Raises:
            NotNow: Always.
        """
        del user, question
        msg = "this is a replay of the past, which explains nothing: tidemark explain reads the same log"
        raise NotNow(msg)

    async def stop(self) -> None:
        """Return: nothing is worked on."""
