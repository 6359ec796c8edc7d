"""What a check of a deployment found: how it is, and what is to be done where it is not as it should be."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(StrEnum):
    """How something is; ``UNKNOWN`` where it could not be checked: something else is wrong, or a right is missing."""

    FINE = "fine"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


class Finding(NamedTuple):
    """What was checked, how it is, what was found, and what to do; ``""`` where nothing is to be done."""

    check: str
    verdict: Verdict
    found: str
    to_do: str = ""


def fine(check: str, found: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(check, Verdict.FINE, found)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The verdict on all: wrong before unknown before warning before fine."""
    order = (Verdict.FINE, Verdict.WARNING, Verdict.UNKNOWN, Verdict.WRONG)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.FINE)
