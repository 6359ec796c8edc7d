"""Signatures by the Standard Webhooks specification, version 1: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.webhook_messages import WebhookMessage


def signed_headers(key: bytes, message: WebhookMessage, now_s: int) -> dict[str, str]:
    """Make the headers by which a receiver knows who sent a message, and that it is not of long ago.

    Args:
        key: What the receiver knows too.
        message: What is sent; its id is the same at every attempt.
        now_s: When this attempt is made, Unix s. Receivers refuse what is more than five minutes from their own clock.
    """
    said = b".".join((message.id.encode(), str(now_s).encode(), message.body))
    signature = base64.b64encode(hmac.digest(key, said, "sha256")).decode()
    return {"webhook-id": message.id, "webhook-timestamp": str(now_s), "webhook-signature": f"v1,{signature}"}
