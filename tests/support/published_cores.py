"""The cores of the published clients, in Python and in TypeScript, as tests drive both: in s, with actions as JSON."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from tests.support.typescript_client import build, node_cores
from tidemark_client import Changed, Core, Gap, Heard, Refused, Status
from tidemark_client.actions import Connect, Disconnect, Send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tidemark_client.actions import Action

Json = dict[str, Any]
LANGUAGES = ("python", "typescript")


class PublishedCore(Protocol):
    """A core; its waits are as long as they can be."""

    @property
    def is_settled(self) -> bool: ...
    @property
    def wake_s(self) -> float: ...
    def use_token(self, token: str) -> None: ...
    def subscribe(self, now_s: float, channel: str, keys: list[str], interval_ms: int) -> None: ...
    def unsubscribe(self, now_s: float, channel: str, keys: list[str]) -> None: ...
    def start(self, now_s: float) -> list[Json]: ...
    def stop(self) -> list[Json]: ...
    def retry(self, now_s: float) -> list[Json]: ...
    def receive(self, now_s: float, text: str) -> list[Json]: ...
    def lost(self, now_s: float, reason: str, code: int | None = None) -> list[Json]: ...
    def tick(self, now_s: float) -> list[Json]: ...
    def held(self, channel: str, key: str) -> tuple[int, list[int], Json] | None: ...


@contextmanager
def published_cores(language: str, directory: Path) -> Iterator[Callable[[], PublishedCore]]:
    """Makes cores of one language; ``directory`` is for what has to be built."""
    if language == "python":
        yield PythonCore
        return
    with node_cores(build(directory)) as cores:
        yield cores.make


class PythonCore:
    """A core whose actions look like those of the TypeScript one."""

    def __init__(self) -> None:
        self._token: str | None = None
        self._core = Core(token=lambda: self._token, spread=lambda: 1.0)

    @property
    def is_settled(self) -> bool:
        return self._core.is_settled

    @property
    def wake_s(self) -> float:
        return self._core.wake_s

    def use_token(self, token: str) -> None:
        self._token = token

    def subscribe(self, now_s: float, channel: str, keys: list[str], interval_ms: int) -> None:
        self._core.subscribe(now_s, channel, keys, interval_ms)

    def unsubscribe(self, now_s: float, channel: str, keys: list[str]) -> None:
        self._core.unsubscribe(now_s, channel, keys)

    def start(self, now_s: float) -> list[Json]:
        return _plain(self._core.start(now_s))

    def stop(self) -> list[Json]:
        return _plain(self._core.stop())

    def retry(self, now_s: float) -> list[Json]:
        return _plain(self._core.retry(now_s))

    def receive(self, now_s: float, text: str) -> list[Json]:
        return _plain(self._core.receive(now_s, text))

    def lost(self, now_s: float, reason: str, code: int | None = None) -> list[Json]:
        return _plain(self._core.lost(now_s, reason, code=code))

    def tick(self, now_s: float) -> list[Json]:
        return _plain(self._core.tick(now_s))

    def held(self, channel: str, key: str) -> tuple[int, list[int], Json] | None:
        return self._core.held(channel, key)


def _plain(actions: list[Action]) -> list[Json]:
    return [_plain_one(action) for action in actions]


def _plain_one(action: Action) -> Json:
    match action:
        case Connect():
            return {"do": "connect"}
        case Send(text):
            return {"do": "send", "text": text}
        case Disconnect():
            return {"do": "disconnect"}
        case Heard(message):
            return {"do": "heard", "message": message}
        case Changed(channel, key, held, patch):
            return {"do": "changed", "channel": channel, "key": key, "held": held._asdict(), "patch": patch}
        case Gap(channel, key):
            return {"do": "gap", "channel": channel, "key": key}
        case Refused(channel, keys, error):
            return {"do": "refused", "channel": channel, "keys": keys, "error": error}
        case Status(name, reason, code, retry_in_s):
            return {"do": "status", "name": name, "reason": reason, "code": code, "retryInMs": retry_in_s * 1000}
        case _:
            assert_never(action)
