"""Secrets of the configuration are in no log line, whoever writes it."""

from __future__ import annotations

import logging

import pytest

from streams.settings import Settings
from tidemark.log_secrets import HidingFormatter, secrets_of

KEY = "0x" + "42" * 32
SETTINGS = Settings.model_validate(
    {
        "deployments": {
            "main": {
                "chain_id": 1,
                "diamond": "0x" + "d1" * 20,
                "rpc": ["https://node.example/v2/abcdefghij", "wss://user:pass%2Fword@node.example/?token=qrstuvwxyz"],
                "funding": {
                    "party_b": "0x" + "0b" * 20,
                    "key": KEY,
                    "muon": "https://muon.example/",
                    "hedgers": {
                        "second": {
                            "party_b": "0x" + "0c" * 20,
                            "remote_signer": "http://signer.example/holder-of-keys",
                            "remote_address": "0x" + "0d" * 20,
                        }
                    },
                },
            }
        }
    }
)


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("POST https://node.example/v2/abcdefghij 200", "POST ********** 200"),
        (
            "connection to node.example: GET /v2/abcdefghij failed",
            "connection to node.example: GET /v2/********** failed",
        ),
        ("retry ?token=qrstuvwxyz&x=1", "retry ?token=**********&x=1"),
        ("signed with " + KEY, "signed with **********"),
        ("asked http://signer.example/holder-of-keys", "asked **********"),
        ("login pass%2Fword", "login **********"),
        ("block 7 of v2 at node.example", "block 7 of v2 at node.example"),
    ],
)
def test_a_line_of_any_library_hides_them(said: str, hidden: str) -> None:
    record = logging.LogRecord("library", logging.INFO, "", 0, "%s", (said,), None)
    assert hidden == HidingFormatter("%(message)s", secrets_of(SETTINGS)).format(record)


def test_so_does_an_exception() -> None:
    with pytest.raises(ConnectionError) as caught:
        connect("https://node.example/v2/abcdefghij")
    raised = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("library", logging.ERROR, "", 0, "failed", (), raised)
    line = HidingFormatter("%(message)s", secrets_of(SETTINGS)).format(record)
    assert "abcdefghij" not in line
    assert "ConnectionError: cannot connect to **********" in line


def connect(url: str) -> None:
    msg = f"cannot connect to {url}"
    raise ConnectionError(msg)
