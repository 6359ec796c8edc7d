"""Records of a solver's engine, and position states made of a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from models.provenance import MADE_FROM
from models.symmio.engine_states import EngineState, decode_engine_state
from models.symmio.position_states import CHAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = "0x" + "0a" * 20
KEY = f"main:{ACCOUNT}".encode()
TIME_S = 1_745_970_777
MADE = {"at_ms": TIME_S * 1000, "partition": 0, "offset": 7}
"""What a state of the engine names, and the instant."""


def engine_record(**changes: object) -> dict[str, Any]:
    """An engine's record; ``changes`` replace fields."""
    return {
        "id": "7d0c10a4-1d7e-44b9-8712-77c863bfab55",
        "create_time": TIME_S,
        "modify_time": TIME_S,
        "quote_id": 131_388,
        "counterparty_address": ACCOUNT,
        "last_seen_action": "SendQuote",
        "action_status": "seen",
        "state_type": "alert",
        **changes,
    }


def engine_state(**changes: object) -> EngineState:
    """The same, decoded."""
    return decode_engine_state(orjson.dumps(engine_record(**changes)))


def chain_state(at: tuple[int, int, int] = (40, 0, 3), **changes: object) -> dict[str, Any]:
    """A state as ``states_of`` makes it of a log."""
    return {
        "source": CHAIN,
        "id": "main:0xt{}:{}".format(*at[1:]),
        "version": 0,
        "at": list(at),
        "block": 118,
        "create_time": TIME_S,
        "modify_time": TIME_S,
        "quote_id": 131_388,
        "symbol_id": 1,
        "last_seen_action": "SendQuote",
        "action_status": "seen",
        "order_type": 0,
        "state_type": "alert",
        **changes,
    }


def standing(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The states of a row, but for what depends on when they were seen.

    Whether a state waited for the engine, whether it is pushed, which number it has, and which record told it last:
    these are observations.
    """
    apart = {"seq", "push", "due_ms", MADE_FROM}
    return [{name: part for name, part in one.items() if name not in apart} for one in body["states"]]
