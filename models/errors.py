"""The errors of the pure core.

* ``TidemarkError``: the root of every error this project raises on purpose.
    * ``BadNumber``: a text is not the decimal number it should be.
    * ``BadRecord``: a Kafka record cannot be read; it belongs on the dead-letter topic.
    * ``BadRow``: a table row cannot be read; the table was written by something else.
        * ``NoAnswer``: the row was read, and the package of its venue can make nothing of it.
    * ``Superseded``: another process has taken this one's place.
"""

from __future__ import annotations

__all__ = ["BadNumber", "BadRecord", "BadRow", "NoAnswer", "Superseded", "TidemarkError"]


class TidemarkError(Exception):
    """Root of the errors Tidemark raises; the message says what was expected, found, and what to do."""


class BadNumber(TidemarkError):
    """A decimal text is malformed, not finite, or needs more than 18 decimals."""


class BadRecord(TidemarkError):
    """A record does not decode; its bytes stay in the topic, its cause and offset go to dead-letters."""


class BadRow(TidemarkError):
    """A table row does not decode. Start the app under a new epoch, which rebuilds every table from the topics."""


class NoAnswer(BadRow):
    """The package of a venue raised at what it was asked of an account whose row it has read. The row is sound.

    The fault is counted where it was raised, as one of the package; what was asked is unknown, as of any ``BadRow``.
    """


class Superseded(TidemarkError):
    """Another process does this one's work now. Nothing needs to be done: started again, this one waits."""
