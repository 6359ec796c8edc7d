"""Auth frames of the clients that exist, and what becomes of others."""

from __future__ import annotations

from typing import Any

import pytest

from api.dialects.bitfinex.auth_request import NONCE_MAX, LoginRefused, read_auth_request
from tests.support.bitfinex import SECRET, signed


def test_every_clients_frame_is_read() -> None:
    nonce = 1795395138149000
    of_clients: list[dict[str, Any]] = [
        signed(nonce, filter=None),
        signed(nonce, authPayload=f"AUTH{nonce}{nonce}", apiSecret=SECRET),
        signed(1795395187942),
        {**signed(nonce, subId="s"), "authNonce": str(nonce)},
    ]
    for frame in of_clients:
        assert read_auth_request(frame).is_signed_with(SECRET)
        assert not read_auth_request(frame).is_signed_with("other")
    assert "s" == read_auth_request(of_clients[-1]).sub_id


@pytest.mark.parametrize("captured", ["AUTH17953951878421795395187842", "AUTH1795395187842"])
def test_a_captured_payload_is_not_read_as_any_other_nonce(captured: str) -> None:
    digits = captured.removeprefix("AUTH")
    accepted = []
    for length in range(1, len(digits) + 1):
        try:
            accepted.append(read_auth_request(signed(int(digits[:length]), authPayload=captured)).nonce)
        except LoginRefused:
            continue
    assert [1795395187842] == accepted


@pytest.mark.parametrize(
    "wrong",
    [
        {"apiKey": None},
        {"apiKey": "x" * 257},
        {"apiKey": 7},
        {"authNonce": None},
        {"authNonce": True},
        {"authNonce": -1},
        {"authNonce": 1.5},
        {"authNonce": NONCE_MAX + 1},
        {"authNonce": "12x"},
        {"authPayload": None},
        {"authPayload": "AUTH999"},
        {"authPayload": "1"},
        {"authPayload": "AUTH01"},
        {"authSig": None},
        {"authSig": "z" * 96},
        {"authSig": "ab"},
        {"filter": "trading"},
        {"filter": [1]},
        {"filter": ["x"] * 65},
    ],
)
def test_what_is_no_login_is_refused_with_nothing_of_what_was_sent(wrong: dict[str, Any]) -> None:
    frame = {**signed(1, apiSecret="very secret"), **wrong}
    with pytest.raises(LoginRefused) as refused:
        read_auth_request(frame)
    assert refused.value.code in (10_100, 10_111, 10_114)
    assert "secret" not in str(refused.value)
    assert frame["authSig"] is None or str(frame["authSig"]) not in str(refused.value)
