"""Reads what nodes of Solana answer and notify: accounts with their bytes, and the slot as of which they were so."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as BadBase64
from typing import TYPE_CHECKING, Any, NamedTuple

from models.flash.solana_keys import key_of
from models.prices import FUTURE_MAX_MS
from streams.node.rpc import BadAnswer

if TYPE_CHECKING:
    from streams.ingest.flash.account_book import Witness

CLOCK_ADDRESS = "SysvarC1ock11111111111111111111111111111111"
"""The account in which every chain keeps its time."""

_SYSTEM_PROGRAMME = "11111111111111111111111111111111"
_CLOCK_UNIX_AT = 32
_CLOCK_BYTES = 40
_SLOT_MAX = 2**63 - 1


class SeenAccount(NamedTuple):
    """An account as a node said it.

    Attributes:
        pubkey: Its address as base58.
        programme: Who owns it, as base58; of one that is no more, nobody knows.
        data: Its bytes, None where there is no such account.
        slot: As of which slot.
        write_version: Which write within the node, 0 where it does not say.
    """

    pubkey: str
    programme: str
    data: bytes | None
    slot: int
    write_version: int = 0


class SeenAccounts(NamedTuple):
    """What one answer says: accounts by their addresses, all as of one slot; and who answered, where that matters."""

    slot: int
    accounts: dict[str, SeenAccount]
    witness: Witness | None = None


class ChainTime(NamedTuple):
    """The time of a chain in seconds of Unix time, as of one slot."""

    slot: int
    unix_s: int


class ListedAccounts(NamedTuple):
    """The addresses of all accounts of a type, as of one slot."""

    slot: int
    pubkeys: list[str]


class Notified(NamedTuple):
    """What a notification says: ``subscription`` is the node's number of it, ``account`` None where it says a slot."""

    subscription: int
    slot: int
    account: SeenAccount | None


def read_slot(result: Any) -> int:  # noqa: ANN401 - of any shape, it is a node's
    """Read an answer to ``getSlot``.

    Raises:
        BadAnswer: It is no such answer.
    """
    if not isinstance(result, int):
        msg = f"expected a slot, found {result!r:.80}"
        raise BadAnswer(msg)
    return _slot(result)


def read_accounts(pubkeys: list[str], result: Any) -> SeenAccounts:  # noqa: ANN401 - the same
    """Read an answer to ``getMultipleAccounts``.

    Args:
        pubkeys: The accounts that were asked for.
        result: The answer.

    Raises:
        BadAnswer: It is no such answer, or has other than so many accounts.
    """
    slot, value = _with_context(result)
    if not isinstance(value, list) or len(value) != len(pubkeys):
        found = len(value) if isinstance(value, list) else repr(value)[:80]
        msg = f"expected {len(pubkeys)} accounts or nulls, found {found}"
        raise BadAnswer(msg)
    return SeenAccounts(slot, {pubkey: _account(pubkey, one, slot) for pubkey, one in zip(pubkeys, value, strict=True)})


def read_programme_accounts(result: Any) -> SeenAccounts:  # noqa: ANN401 - the same
    """Read an answer to ``getProgramAccounts`` that was asked for its context.

    Raises:
        BadAnswer: It is no such answer.
    """
    slot, value = _listed(result)
    accounts = [_keyed(one, slot) for one in value]
    return SeenAccounts(slot, {one.pubkey: one for one in accounts})


def read_programme_addresses(result: Any) -> ListedAccounts:  # noqa: ANN401 - the same
    """Read an answer to ``getProgramAccounts`` that was asked for its context and for no bytes.

    Raises:
        BadAnswer: It is no such answer.
    """
    slot, value = _listed(result)
    return ListedAccounts(slot, [_keyed(one, slot).pubkey for one in value])


def read_time(received_ms: int, result: Any) -> ChainTime:  # noqa: ANN401 - the same
    """Read an answer to ``getMultipleAccounts`` of the chain's clock.

    Args:
        received_ms: When it came, Unix ms.
        result: The answer.

    Raises:
        BadAnswer: It says no time, or one that lies in the future: fees would have accrued that nobody owes.
    """
    answer = read_accounts([CLOCK_ADDRESS], result)
    unix_s = clock_unix_s(answer.accounts[CLOCK_ADDRESS])
    if unix_s * 1_000 > received_ms + FUTURE_MAX_MS:
        msg = f"expected a time of the chain at most {FUTURE_MAX_MS} ms after {received_ms}, found {unix_s} s"
        raise BadAnswer(msg)
    return ChainTime(answer.slot, unix_s)


def read_notification(message: dict[str, Any], subjects: dict[int, str | None]) -> Notified | None:
    """Read a notification of an account, a programme's account or a slot.

    Args:
        message: What the node sent.
        subjects: The account of each subscription to one, None of a programme's, by the node's number.

    Returns:
        None where it is about no subscription of ours.

    Raises:
        BadAnswer: It is of no shape that such a notification has.
    """
    match message:
        case {"method": "slotNotification", "params": {"subscription": int(number), "result": {"slot": int(slot)}}}:
            return Notified(number, _slot(slot), None)
        case {"method": "programNotification", "params": {"subscription": int(number), "result": result}}:
            slot, value = _with_context(result)
            return Notified(number, slot, _keyed(value, slot)) if number in subjects else None
        case {"method": "accountNotification", "params": {"subscription": int(number), "result": result}}:
            slot, value = _with_context(result)
            pubkey = subjects.get(number)
            return None if pubkey is None else Notified(number, slot, _account(pubkey, value, slot))
        case _:
            msg = f"expected a notification of a slot or an account, found {message!r:.80}"
            raise BadAnswer(msg)


def clock_unix_s(account: SeenAccount) -> int:
    """The time that the account of a chain's clock says, in seconds of Unix time.

    Raises:
        BadAnswer: It says none.
    """
    data = account.data or b""
    if len(data) < _CLOCK_BYTES:
        msg = f"expected the account of the clock with {_CLOCK_BYTES} bytes, found {len(data)}"
        raise BadAnswer(msg)
    return max(int.from_bytes(data[_CLOCK_UNIX_AT:_CLOCK_BYTES], "little", signed=True), 0)


def _listed(result: Any) -> tuple[int, list[Any]]:  # noqa: ANN401 - of any shape
    slot, value = _with_context(result)
    if not isinstance(value, list):
        msg = f"expected a list of accounts, found {value!r:.80}"
        raise BadAnswer(msg)
    return slot, value


def _with_context(result: Any) -> tuple[int, Any]:  # noqa: ANN401 - of any shape
    match result:
        case {"context": {"slot": int(slot)}, "value": value}:
            return _slot(slot), value
        case _:
            msg = f"expected an answer with its slot, found {result!r:.80}"
            raise BadAnswer(msg)


def _slot(slot: int) -> int:
    if isinstance(slot, bool) or not 0 <= slot <= _SLOT_MAX:
        msg = f"expected a slot from 0 to 2^63 - 1, found {slot}"
        raise BadAnswer(msg)
    return slot


def _keyed(value: Any, slot: int) -> SeenAccount:  # noqa: ANN401 - of any shape
    match value:
        case {"pubkey": str(pubkey), "account": account} if key_of(pubkey) is not None and account is not None:
            return _account(pubkey, account, slot)
        case _:
            msg = f"expected an account with its address, found {value!r:.80}"
            raise BadAnswer(msg)


def _account(pubkey: str, value: Any, slot: int) -> SeenAccount:  # noqa: ANN401 - of any shape
    match value:
        case None:
            return SeenAccount(pubkey, _SYSTEM_PROGRAMME, None, slot)
        case {"lamports": int(lamports), "owner": str(owner), "data": [str(text), "base64"]}:
            if key_of(owner) is None:
                msg = f"expected the owner of {pubkey} as base58, found {owner[:80]!r}"
                raise BadAnswer(msg)
            try:
                data = b64decode(text, validate=True)
            except (BadBase64, ValueError) as error:
                msg = f"expected the bytes of {pubkey} as base64, found {text[:80]!r}"
                raise BadAnswer(msg) from error
            # What was closed is said once more, with nothing in it.
            is_gone = lamports == 0 or (owner == _SYSTEM_PROGRAMME and not data)
            return SeenAccount(pubkey, owner, None if is_gone else data, slot)
        case _:
            msg = f"expected account {pubkey} with its owner and its bytes as base64, found {value!r:.80}"
            raise BadAnswer(msg)
