from __future__ import annotations

import pytest
from pydantic import SecretStr

from streams.ingest.flash.layer_urls import LayerUrls
from streams.settings import BadSettings


@pytest.mark.parametrize("urls", [(), ("ws://x",), ("http://x", "ftp://y")])
def test_each_chain_needs_an_endpoint_that_can_be_asked(urls: tuple[str, ...]) -> None:
    with pytest.raises(BadSettings, match=r"expected http\(s\) and ws\(s\) URLs in here, at least one"):
        LayerUrls("here", [*map(SecretStr, urls)])
