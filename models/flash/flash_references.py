"""What values of Flash depend on beside accounts and marks, each under its name on ``flash-references``.

``market.ADDRESS``, ``custody.ADDRESS`` and ``pool.ADDRESS`` are accounts of the chain, ``clock`` is its time, and
``table`` says how things are called. A closed account is taken away by an empty record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.errors import BadRecord
from models.flash.chain_accounts import LAYER_OF, AccountSaid, ClockSaid, account_bytes, decode_account_record
from models.flash.flash_accounts import Custody, Market, Pool, decode_account
from models.flash.flash_table import FlashTable, read_table
from models.prices import FUTURE_MAX_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOCK = "clock"
TABLE = "table"

REFERRED: Mapping[str, type[Market | Custody | Pool]] = {"market": Market, "custody": Custody, "pool": Pool}
"""The types of account that are references, by what their names begin with."""

_PREFIX_OF = {of.__name__: prefix for prefix, of in REFERRED.items()}
_clock_decoder = msgspec.json.Decoder(ClockSaid)

FlashReference = Market | Custody | Pool | ClockSaid | FlashTable


def reference_name(account: str, address: str) -> str | None:
    """The name of an account that is a reference, None where its type is none.

    Args:
        account: Its type, such as ``Custody``.
        address: Its address as base58.
    """
    prefix = _PREFIX_OF.get(account)
    return None if prefix is None else f"{prefix}.{address}"


def decode_reference(name: str, value: bytes) -> FlashReference:
    """Read a record of ``flash-references``.

    Args:
        name: The reference's name.
        value: The record.

    Raises:
        BadRecord: It is not what its name says, or cannot be read.
    """
    if name == TABLE:
        return read_table(value)
    if name == CLOCK:
        return decode_clock(value)
    prefix, _, address = name.partition(".")
    of = REFERRED.get(prefix)
    if of is None:
        msg = f"expected {TABLE}, {CLOCK} or an account of {sorted(REFERRED)}, found a reference called {name!r:.100}"
        raise BadRecord(msg)
    record = decode_account_record(value)
    if not isinstance(record, AccountSaid) or (record.pubkey, record.account) != (address, of.__name__):
        msg = f"expected {of.__name__} {address} as it stands, found {type(record).__name__} of {record.pubkey}"
        raise BadRecord(msg)
    if record.layer != LAYER_OF[record.account]:
        msg = f"expected a {record.account} of the {LAYER_OF[record.account]} chain, found one of {record.layer}"
        raise BadRecord(msg)
    return decode_account(of, account_bytes(record))


def decode_clock(value: bytes) -> ClockSaid:
    """Read the time of a chain.

    Raises:
        BadRecord: It is none, or lies in the future of who heard of it. A node may have lied of it before ingest
            bounded what it believes.
    """
    try:
        said = _clock_decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"expected the time of a chain, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error
    if said.unix_s * 1_000 > said.received_ms + FUTURE_MAX_MS:
        msg = f"expected a time of the chain at most {FUTURE_MAX_MS} ms after {said.received_ms}, found {said.unix_s} s"
        raise BadRecord(msg)
    return said
