"""What ``tidemark up`` does on a full disk: it says so, waits, and goes on."""

from __future__ import annotations

import errno
import io
import os
import signal

import pytest
from rich.console import Console

from api.dialects.bitfinex.api_keys import BadKeys
from tidemark import up as module
from tidemark.broker import BrokerFailed, DiskFull
from tidemark.up import _ended_by_signals, _say, _started, _with_room

FULL = "expected room for the broker's data in /data, found a full disk"
BOOTSTRAP = "127.0.0.1:9092"


class FakeBroker:
    """A broker whose starts meet the given errors, one a start."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def start(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return BOOTSTRAP


class FullDisk(io.StringIO):
    """An output on a disk that is full."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        del text
        raise OSError(self.number, os.strerror(self.number))


def test_a_broker_is_started_when_there_is_room_and_the_wait_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROOM_AGAIN_S", 0.0)
    out = io.StringIO()
    broker = FakeBroker(*(DiskFull(f"{FULL}: the broker ended\n{number}") for number in range(3)))
    assert BOOTSTRAP == str(_started(broker, Console(file=out, width=200)))  # type: ignore[arg-type]
    assert 1 == out.getvalue().count(FULL)
    assert "The broker is started when there is room." in out.getvalue()


def test_a_broker_that_cannot_be_started_for_another_reason_is_refused() -> None:
    broker = FakeBroker(BrokerFailed("install Java"))
    with pytest.raises(BrokerFailed, match="install Java"):
        _started(broker, Console(file=io.StringIO()))  # type: ignore[arg-type]


def test_an_output_on_a_full_disk_ends_nothing_and_another_error_of_it_does() -> None:
    _say(Console(file=FullDisk(errno.ENOSPC)), "", "anything")
    with pytest.raises(OSError, match="Input/output error"):
        _say(Console(file=FullDisk(errno.EIO)), "", "anything")


class Writer:
    """Writes once what fails a few times, as the keys' file and the configuration do."""

    def __init__(self, *errors: OSError) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            error = self.errors.pop(0)
            if not self.errors:
                raise error
            msg = f"expected to write keys, found: {error.strerror}"
            raise BadKeys(msg) from error
        return "written"


async def test_what_a_start_writes_is_written_when_there_is_room_whoever_says_that_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ROOM_AGAIN_S", 0.0)
    out = io.StringIO()
    full = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) for _ in range(3)]
    assert "written" == await _with_room(Console(file=out, width=200), "API keys", Writer(*full))
    assert 1 == out.getvalue().count("waiting for room to write API keys: No space left on device")
    denied = [OSError(errno.EACCES, os.strerror(errno.EACCES)) for _ in range(2)]
    with pytest.raises(BadKeys, match="Permission denied"):
        await _with_room(Console(file=out), "API keys", Writer(*denied))


def test_a_signal_ends_a_long_start_as_it_ends_what_runs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    is_interrupted = True
    with _ended_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        is_interrupted = False
    assert is_interrupted
    assert before == signal.getsignal(signal.SIGTERM)
