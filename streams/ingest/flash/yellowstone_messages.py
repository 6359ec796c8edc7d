"""The messages of Yellowstone gRPC that accounts need, as its published interface numbers their fields.

Source: ``yellowstone-grpc-proto/proto/geyser.proto`` of github.com/rpcpool/yellowstone-grpc at commit
0c3f357a. Fields that are not read here are passed over, as protobuf does; no generated code has to be kept.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from models.flash.solana_keys import key_text
from streams.ingest.flash.solana_answers import SeenAccount
from streams.node.rpc import BadAnswer

SUBSCRIBE = "/geyser.Geyser/Subscribe"

_KEY_BYTES = 32
_SLOT_MAX = 2**63 - 1
_COMMITMENTS = {"processed": 0, "confirmed": 1, "finalized": 2}
_TYPES = {"uint64": 4, "int32": 5, "bool": 8, "string": 9, "message": 11, "bytes": 12}
_ONE, _MANY = 1, 3

# Each message with its fields: the number, the type or the message, and whether there are many.
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "SubscribeRequest": {
        "accounts": (1, "map:SubscribeRequestFilterAccounts", True),
        "slots": (2, "map:SubscribeRequestFilterSlots", True),
        "commitment": (6, "int32", False),
        "ping": (9, "SubscribeRequestPing", False),
    },
    "SubscribeRequestFilterAccounts": {
        "account": (2, "string", True),
        "owner": (3, "string", True),
        "filters": (4, "SubscribeRequestFilterAccountsFilter", True),
    },
    "SubscribeRequestFilterAccountsFilter": {"memcmp": (1, "SubscribeRequestFilterAccountsFilterMemcmp", False)},
    "SubscribeRequestFilterAccountsFilterMemcmp": {"offset": (1, "uint64", False), "base58": (3, "string", False)},
    "SubscribeRequestFilterSlots": {"filter_by_commitment": (1, "bool", False)},
    "SubscribeRequestPing": {"id": (1, "int32", False)},
    "SubscribeUpdate": {
        "account": (2, "SubscribeUpdateAccount", False),
        "slot": (3, "SubscribeUpdateSlot", False),
        "ping": (6, "SubscribeUpdatePing", False),
    },
    "SubscribeUpdateAccount": {"account": (1, "SubscribeUpdateAccountInfo", False), "slot": (2, "uint64", False)},
    "SubscribeUpdateAccountInfo": {
        "pubkey": (1, "bytes", False),
        "lamports": (2, "uint64", False),
        "owner": (3, "bytes", False),
        "data": (6, "bytes", False),
        "write_version": (7, "uint64", False),
    },
    "SubscribeUpdateSlot": {"slot": (1, "uint64", False)},
    "SubscribeUpdatePing": {},
}


def _made() -> dict[str, type[Any]]:
    file = descriptor_pb2.FileDescriptorProto(name="tidemark/geyser.proto", package="geyser", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, is_many) in fields.items():
            _add(message, field, number, kind, is_many=is_many)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"geyser.{name}")) for name in _MESSAGES}


def _add(message: Any, field: str, number: int, kind: str, *, is_many: bool) -> None:  # noqa: ANN401 - protobuf's
    label = _MANY if is_many else _ONE
    if kind in _TYPES:
        message.field.add(name=field, number=number, label=label, type=_TYPES[kind])
        return
    named, is_map = kind.removeprefix("map:"), kind.startswith("map:")
    if is_map:
        # A map is a list of entries on the wire.
        entry = message.nested_type.add(name=f"{field.title()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_ONE, type=_TYPES["string"])
        entry.field.add(name="value", number=2, label=_ONE, type=_TYPES["message"], type_name=f".geyser.{named}")
        named = f"{message.name}.{entry.name}"
    message.field.add(name=field, number=number, label=label, type=_TYPES["message"], type_name=f".geyser.{named}")


_CLASSES = _made()


def subscribe_request(programme: str, begins: list[str], commitment: str) -> bytes:
    """Ask for the accounts of a programme, and for slots.

    Args:
        programme: The programme, as base58.
        begins: How the accounts begin that are wanted, as base58; each is a filter of its own.
        commitment: ``processed``, ``confirmed`` or ``finalized``.
    """
    request = _CLASSES["SubscribeRequest"](commitment=_COMMITMENTS[commitment])
    for number, text in enumerate(begins):
        chosen = request.accounts[f"type {number}"]
        chosen.owner.append(programme)
        chosen.filters.add().memcmp.base58 = text
    request.slots["slots"].filter_by_commitment = True
    encoded: bytes = request.SerializeToString()
    return encoded


def pong_request() -> bytes:
    """Answer a ping: the stream is ended by whoever stands between where nothing is ever sent."""
    request = _CLASSES["SubscribeRequest"]()
    request.ping.id = 1
    encoded: bytes = request.SerializeToString()
    return encoded


def read_update(update: bytes) -> SeenAccount | int | None:
    """Read what a node sent.

    Returns:
        An account, the number of a slot, or None for a ping.

    Raises:
        BadAnswer: It is none of these that can be read.
    """
    message = _CLASSES["SubscribeUpdate"]()
    try:
        message.ParseFromString(update)
    except DecodeError as error:
        msg = f"expected an update of Yellowstone, found {update[:40]!r}"
        raise BadAnswer(msg) from error
    if message.HasField("ping"):
        return None
    if message.HasField("slot"):
        return _slot(message.slot.slot)
    if message.HasField("account"):
        return _account(message.account)
    return None


def _account(said: Any) -> SeenAccount:  # noqa: ANN401 - a message of protobuf
    account = said.account
    if len(account.pubkey) != _KEY_BYTES or len(account.owner) != _KEY_BYTES:
        msg = f"expected an account with an address and an owner of 32 bytes, found {account.pubkey!r:.80}"
        raise BadAnswer(msg)
    return SeenAccount(
        key_text(account.pubkey),
        key_text(account.owner),
        # One without lamports is no more.
        account.data if account.lamports else None,
        _slot(said.slot),
        _slot(account.write_version),
    )


def _slot(number: int) -> int:
    if number > _SLOT_MAX:
        msg = f"expected a slot or a write version below 2^63, found {number}"
        raise BadAnswer(msg)
    return number
