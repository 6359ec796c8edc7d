"""Decoding of logs by the catalogue of events, strictly: what does not decode is an error, never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_abi.decoding import ContextFramesBytesIO, TupleDecoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import registry
from eth_hash.auto import keccak

from models.errors import BadRecord
from models.symmio.builders import BUILDERS, expect_numbers
from models.symmio.catalogue import ENTRIES, Entry, Treatment
from models.symmio.events import OtherEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import RawLog
    from models.symmio.events import Event

_WORD = 32


class BadLog(BadRecord):
    """A log's topics or data are not what its event declares. The node or this version is wrong about it."""


class UnknownTopic(BadRecord):
    """A log's topic0 is in no known ABI: its contract is another version than this one supports."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an event; ``kind`` is its canonical ABI type."""

    name: str
    kind: str
    indexed: bool


@dataclass(frozen=True, slots=True, eq=False)
class EventAbi:
    """One event of the catalogue, ready to decode."""

    entry: Entry
    name: str
    topic0: str
    parameters: tuple[Parameter, ...]

    @property
    def duplicate_of(self) -> frozenset[str]:
        """Topic0s of the modern forms beside which this legacy one is left out; none for any other event."""
        return DUPLICATE_OF.get(self.topic0, frozenset())

    def decode(self, log: RawLog) -> dict[str, Any]:
        """Read the parameters of a log by name; addresses come lower-case, invalid UTF-8 replaced.

        Raises:
            BadLog: Topics or data are not what the event declares.
        """
        indexed = [parameter for parameter in self.parameters if parameter.indexed]
        plain = [parameter for parameter in self.parameters if not parameter.indexed]
        if len(log.topics) != len(indexed) + 1:
            msg = f"expected {len(indexed) + 1} topics of {self.name}, found {len(log.topics)}"
            raise BadLog(msg)
        try:
            data = bytes.fromhex(log.data.removeprefix("0x"))
            values = _values(plain, data)
            values |= _values(indexed, b"".join(bytes.fromhex(topic.removeprefix("0x")) for topic in log.topics[1:]))
        except (DecodingError, OverflowError, ValueError) as error:
            msg = f"expected data of {self.name}({', '.join(p.kind for p in plain)}), found {log.data[:200]}: {error}"
            raise BadLog(msg) from error
        return values


def _values(parameters: Sequence[Parameter], data: bytes) -> dict[str, Any]:
    kinds = tuple(parameter.kind for parameter in parameters)
    if all(_is_word(kind) for kind in kinds):
        if len(data) != _WORD * len(kinds):
            msg = f"expected {_WORD * len(kinds)} bytes, found {len(data)}"
            raise ValueError(msg)
    elif len(data) % _WORD:
        msg = f"expected a multiple of {_WORD} bytes, found {len(data)}"
        raise ValueError(msg)
    values = _decoder(kinds)(ContextFramesBytesIO(data))  # type: ignore[no-untyped-call]
    return {
        # Text is whatever its sender chose, which need not be UTF-8; that is no reason to refuse the log.
        parameter.name: value.decode(errors="replace") if parameter.kind == "string" else value
        for parameter, value in zip(parameters, values, strict=True)
    }


def _is_word(kind: str) -> bool:
    return kind not in ("string", "bytes") and not kind.endswith("]")


_decoders: dict[tuple[str, ...], TupleDecoder] = {}


def _decoder(kinds: tuple[str, ...]) -> TupleDecoder:
    decoder = _decoders.get(kinds)
    if decoder is None:
        # A string is encoded as bytes are.
        items = [registry.get_decoder("bytes" if kind == "string" else kind, strict=True) for kind in kinds]
        decoder = _decoders[kinds] = TupleDecoder(decoders=items)  # type: ignore[no-untyped-call]
    return decoder


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def _parameter(text: str) -> Parameter:
    head, _, name = text.rpartition(" ")
    indexed = head.endswith(" indexed")
    kind = head.removesuffix(" indexed")
    if kind.startswith("("):
        inner, _, array = kind[1:].rpartition(")")
        kind = f"({','.join(_parameter(item).kind for item in _split(inner))}){array}"
    return Parameter(name, kind, indexed)


def _abi(entry: Entry) -> EventAbi:
    name, _, rest = entry.declaration.partition("(")
    parameters = tuple(_parameter(text) for text in _split(rest.removesuffix(")")))
    topic0 = keccak(f"{name}({','.join(parameter.kind for parameter in parameters)})".encode())
    return EventAbi(entry, name, f"0x{topic0.hex()}", parameters)


CATALOGUE: dict[str, EventAbi] = {abi.topic0: abi for abi in map(_abi, ENTRIES)}
"""Every known event by topic0; no topic0 belongs to both contracts."""

DUPLICATE_OF: dict[str, frozenset[str]] = {
    legacy.topic0: frozenset(
        abi.topic0
        for abi in CATALOGUE.values()
        if abi.name in legacy.entry.modern and not abi.entry.modern and abi.entry.treatment is not Treatment.UNSUPPORTED
    )
    for legacy in CATALOGUE.values()
    if legacy.entry.modern
}
"""Topic0 of each legacy form to the topic0s of the modern ones that stand for it."""


def abi_of(log: RawLog) -> EventAbi:
    """Find a log's event.

    Raises:
        UnknownTopic: No known event has its topic0.
    """
    topic0 = log.topics[0] if log.topics else "none"
    abi = CATALOGUE.get(topic0)
    if abi is None:
        msg = f"expected an event of SYMMIO 0.8.0 to 0.8.4, found topic0 {topic0} from {log.address}"
        raise UnknownTopic(msg)
    return abi


def decode_log(log: RawLog) -> Event:
    """Decode a log.

    Returns:
        An event of its own class where it is folded or says a market's settings, else OtherEvent.

    Raises:
        UnknownTopic: No known event has its topic0.
        BadLog: Topics or data are not what the event declares, or a status, side, type, id or duration is out of
            its range.
    """
    abi = abi_of(log)
    values = abi.decode(log)
    builder = BUILDERS.get(abi.name) if abi.entry.treatment is not Treatment.UNSUPPORTED else None
    if builder is None:
        return OtherEvent(abi.name, values)
    try:
        expect_numbers(values)
        return builder(values, log.address)
    except ValueError as error:
        msg = f"expected the parameters of {abi.name} in their ranges: {error}; found {values}"
        raise BadLog(msg) from error
