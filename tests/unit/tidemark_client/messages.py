"""Messages as a server sends them, about one key."""

from __future__ import annotations

import json
from typing import Any

KEY = "main:0x" + "ab" * 20
HELLO: dict[str, Any] = {
    "type": "hello",
    "epoch": 1,
    "heartbeat_ms": 5_000,
    "server_time_ns": "1000000000",
    "auth": "open",
    "limits": {"messages_per_s": 10, "messages_burst": 20},
}


def ack(request: int, *, sub: int = 7, key: str = KEY, resumed: bool = False) -> dict[str, Any]:
    subs = [{"sub": sub, "channel": "account", "key": key, "interval_ms": 100, "resumed": resumed}]
    return {"type": "ack", "op": "subscribe", "id": request, "subs": subs}


def snapshot(version: int, *, sub: int = 7, **data: object) -> dict[str, Any]:
    return {"type": "snapshot", "sub": sub, "epoch": 1, "seq": [1, version], "data": data}


def delta(prev: int, version: int, *, sub: int = 7, **data: object) -> dict[str, Any]:
    return {"type": "delta", "sub": sub, "prev": [1, prev], "seq": [1, version], "data": data}


def error(code: str, *, temporary: bool = False, **more: object) -> dict[str, Any]:
    return {"type": "error", "code": code, "message": f"a fault: {code}", "temporary": temporary, **more}


def frame(*messages: dict[str, Any]) -> str:
    return json.dumps(messages)
