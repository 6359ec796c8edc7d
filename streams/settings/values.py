"""The types of single settings: addresses, names, amounts, URLs."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_network
from typing import Annotated

from eth_utils.address import to_checksum_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

IngestKey = Annotated[SecretStr, Field(min_length=1)]
"""What a deployment's operator sends to write over HTTP. An empty one would let in whoever sends nothing."""


def lower_address(text: str) -> str:
    """Return an address in lower case.

    Raises:
        ValueError: It is none, or its capitals are not those of EIP-55, so that a digit of it must be wrong.
    """
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        msg = f"expected an address of 0x and 40 hex digits, found {text!r}"
        raise ValueError(msg)
    digits = text.removeprefix("0x")
    if not (digits.islower() or digits.isupper() or digits.isdigit()) and to_checksum_address(text) != text:
        msg = (
            f"expected an address whose capitals are those of EIP-55, found {text!r}: a digit of it is wrong; "
            "copy it anew, or write it in lower case if you are sure of it"
        )
        raise ValueError(msg)
    return text.lower()


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        msg = f"expected an address or network such as 10.0.0.0/8, found {text!r}: {error}"
        raise ValueError(msg) from error


def _origin(text: str) -> str:
    origin = text.lower()
    if origin != "*" and not re.fullmatch(r"https?://[^/?#@*\s]+", origin):
        msg = f"expected * or an origin such as https://app.example, found {text!r}"
        raise ValueError(msg)
    return origin


def _host(text: str) -> str:
    host = text.lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", host):
        msg = f"expected the name of a host such as hedger.example, found {text!r}"
        raise ValueError(msg)
    return host


def _http_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s?#]+", text):
        msg = f"expected a URL such as http://engine:8000, found {text!r}"
        raise ValueError(msg)
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(lower_address)]
Host = Annotated[str, AfterValidator(_host)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Amount = Annotated[Decimal, Field(ge=0, max_digits=60, decimal_places=18)]
Percent = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)]
Leverage = Annotated[Decimal, Field(ge=1, le=1_000, decimal_places=2)]
Band = Annotated[Decimal, Field(gt=0, lt=1, decimal_places=18)]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, AfterValidator(_origin)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Port = Annotated[int, Field(ge=0, le=65_535)]  # 0 stands for any free port


class Section(BaseModel):
    """A section of the file, or a table in one. Unknown keys are errors, and it cannot be changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
