"""The endpoints of one chain of Flash, as a configuration lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr


class LayerUrls:
    """The endpoints of one chain, by how they are asked.

    Args:
        setting: Where they are configured, for messages.
        urls: Of http(s) and ws(s).
        streams: Those of Yellowstone gRPC.

    Attributes:
        asked: What is asked.
        heard: What is subscribed to over websockets.
        streamed: What is subscribed to over gRPC.

    Raises:
        BadSettings: None of them is http(s), or one is neither.
    """

    def __init__(self, setting: str, urls: Sequence[SecretStr], streams: Sequence[SecretStr] = ()) -> None:
        self.streamed = [url.get_secret_value() for url in streams]
        plain = [url.get_secret_value() for url in urls]
        self.asked = [url for url in plain if url.startswith(("http://", "https://"))]
        self.heard = [url for url in plain if url.startswith(("ws://", "wss://"))]
        if not self.asked or len(self.asked) + len(self.heard) < len(plain):
            msg = f"expected http(s) and ws(s) URLs in {setting}, at least one of http(s), found {len(plain)} URLs"
            raise BadSettings(msg)
