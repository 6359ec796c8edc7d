"""The published Python client's core, as tests drive it: actions as objects of JSON."""

from __future__ import annotations

from typing import Any

from tidemark_client import Core, Gap
from tidemark_client.actions import Connect, Disconnect, Send


class PythonCore:
    """A core whose actions look like those of the TypeScript one."""

    def __init__(self) -> None:
        self._core = Core(spread=lambda: 0.0)

    @property
    def is_settled(self) -> bool:
        return self._core.is_settled

    def subscribe(self, now_s: float, channel: str, keys: list[str], interval_ms: int) -> None:
        self._core.subscribe(now_s, channel, keys, interval_ms)

    def start(self, now_s: float) -> list[dict[str, Any]]:
        return _plain(self._core.start(now_s))

    def retry(self, now_s: float) -> list[dict[str, Any]]:
        return _plain(self._core.retry(now_s))

    def receive(self, now_s: float, text: str) -> list[dict[str, Any]]:
        return _plain(self._core.receive(now_s, text))

    def lost(self, now_s: float) -> list[dict[str, Any]]:
        return _plain(self._core.lost(now_s, "killed"))

    def tick(self, now_s: float) -> list[dict[str, Any]]:
        return _plain(self._core.tick(now_s))

    def held(self, channel: str, key: str) -> tuple[int, list[int], dict[str, Any]] | None:
        return self._core.held(channel, key)


def _plain(actions: list[Any]) -> list[dict[str, Any]]:
    return [_plain_one(action) for action in actions]


def _plain_one(action: object) -> dict[str, Any]:
    match action:
        case Connect():
            return {"do": "connect"}
        case Send(text):
            return {"do": "send", "text": text}
        case Disconnect():
            return {"do": "disconnect"}
        case Gap():
            return {"do": "gap"}
        case _:
            return {"do": "tell"}
