"""Whatever openapi.yaml lets a client ask, and what it does not, is answered as it says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models.served import totals_key
from tests.support.account_rows import told_tables
from tests.support.api import serving
from tests.support.contract import API, openapi
from tests.support.explaining import explaining
from tests.support.history import KeptHistory
from tests.support.rest import MARK, NOW_MS, account_key

if TYPE_CHECKING:
    from schemathesis import Case

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
# What random texts never are: something that there is.
_KNOWN = {
    "account": [account_key(number) for number in range(6)],
    "market": [MARK],
    "deployment": ["main"],
    "symbol": ["BTCUSDT"],
    "quote_id": ["131388", "-7"],
}
_URL_MAX_CHARACTERS = 8_000

_schema = schemathesis.openapi.from_path(API / "openapi.yaml")


@pytest.mark.parametrize("path", sorted(openapi()["paths"]))
async def test_every_request_is_answered_as_the_contract_says(path: str) -> None:
    history = KeptHistory(lambda: NOW_MS)
    for series in (account_key(0), totals_key("main").decode()):
        history.show(series, NOW_MS, 5, 100)
    async with serving(told_tables(), history=history, explanations=explaining()) as client:
        await asyncio.to_thread(_fuzz, path, str(client.make_url("/")).rstrip("/"))


def _fuzz(path: str, base_url: str) -> None:
    operation = _schema[path]["GET"]
    cases = [operation.as_strategy(mode) for mode in schemathesis.GenerationMode]

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=st.one_of(cases),
        known=st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in _KNOWN.items()}),
    )
    def check(case: Case[Any], known: dict[str, str]) -> None:
        for place in (case.path_parameters, case.query):
            place.update({name: value for name, value in known.items() if name in place})
        request = requests.Request(**case.as_transport_kwargs(base_url=base_url)).prepare()
        # What is longer is refused before it is known what it asks for.
        assume(len(str(request.url)) < _URL_MAX_CHARACTERS)
        case.validate_response(case.call(base_url=base_url, session=session), checks=_CHECKS)

    with requests.Session() as session:
        check()
