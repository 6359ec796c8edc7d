"""``calc``: what clients ask to be calculated, in all the forms in which they are known to ask.

There is no number in a request and no acknowledgement: a reply is the ordinary frame of what was calculated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard, get_args

from models.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_MAX = 30
"""How many keys a request may have; of one with more, none is calculated."""

_TEXT_MAX = 64
_Kind = Literal["margin_base", "balance", "margin_sym", "funding_sym", "position", "wallet"]
_KINDS = get_args(_Kind)
_WHOLE: tuple[_Kind, ...] = ("margin_base", "balance")
# Symbols of derivatives hold a colon, and names of wallets an underscore: what a key is about follows its prefix.
_PREFIXED: tuple[_Kind, ...] = ("margin_sym", "funding_sym", "position")
_WALLETS = ("exchange", "margin", "funding")


class Calculation(NamedTuple):
    """One calculation: ``position`` of ``tBTCUSD``; of a wallet the subject is such as ``margin_USD``."""

    kind: _Kind
    subject: str = ""

    @classmethod
    def of_text(cls, text: str) -> Calculation:
        """Read what ``__str__`` wrote.

        Raises:
            BadRecord: It is no calculation that this version knows.
        """
        kind, _, subject = text.partition(" ")
        if not _is_kind(kind):
            msg = f"expected one of {', '.join(_KINDS)}, found {text!r:.100}: another version calculated it"
            raise BadRecord(msg)
        return cls(kind, subject)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()

    @property
    def wallet(self) -> tuple[str, str]:
        """Type and currency of a wallet."""
        type_, _, currency = self.subject.partition("_")
        return type_, currency


def _is_kind(text: str) -> TypeGuard[_Kind]:
    return text in _KINDS


class TooMany(NamedTuple):
    """More keys than a request may have."""

    keys: int


class Asked(NamedTuple):
    """What a request asks for, each once and in its order, and the texts in it that name no calculation."""

    calculations: tuple[Calculation, ...]
    unknown: tuple[str, ...]


def read_calc(payload: Any) -> Asked | TooMany:  # noqa: ANN401 - whatever a client sends
    """Read the payload of a ``calc`` frame.

    Args:
        payload: Lists of one key each, one list of several keys, or plain keys; all else is passed over.
    """
    texts = list(_texts(payload, 2))
    if len(texts) > BATCH_MAX:
        return TooMany(len(texts))
    named = {text: _calculation(text) for text in texts}
    calculations = dict.fromkeys(one for one in named.values() if one is not None)
    return Asked(tuple(calculations), tuple(text for text, one in named.items() if one is None))


def _texts(payload: Any, depth: int) -> Iterator[str]:  # noqa: ANN401 - whatever a client sends
    if isinstance(payload, str):
        yield payload
    elif isinstance(payload, list) and depth:
        for one in payload:
            yield from _texts(one, depth - 1)


def _calculation(text: str) -> Calculation | None:
    if len(text) > _TEXT_MAX:
        return None
    for kind in _WHOLE:
        if text == kind:
            return Calculation(kind)
    for kind in _PREFIXED:
        subject = text.removeprefix(f"{kind}_")
        if subject not in (text, ""):
            return Calculation(kind, subject)
    type_, _, currency = text.removeprefix("wallet_").partition("_")
    if text.startswith("wallet_") and type_ in _WALLETS and currency:
        return Calculation("wallet", f"{type_}_{currency}")
    return None
