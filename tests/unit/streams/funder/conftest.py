"""What a funder waits for between two looks takes no time in these tests."""

from __future__ import annotations

import pytest

from streams.funder import executor as executor_module
from streams.funder import sender as sender_module


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "_RETRY_MOST_S", 0.0)
    monkeypatch.setattr(executor_module, "_FINAL_AGAIN_S", 0.0)
    monkeypatch.setattr(sender_module, "_LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(sender_module, "_RESEND_S", 0.005)
