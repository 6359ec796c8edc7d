"""Whether a deployment's endpoints, contracts and signer are as they should be, each endpoint asked by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
from eth_abi.exceptions import DecodingError

from models.findings import Finding, Verdict, fine
from streams.funder.diamond_calls import call_data, read_numbers
from streams.funder.hedgers import hedgers_of
from streams.node.answers import read_bytes, read_chain_id, read_code, read_number, read_quantity, read_time_s
from streams.node.connect import opened_endpoints
from streams.node.contract_views import ContractViews
from streams.node.rpc import RpcError
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.funder.hedgers import Hedger
    from streams.node.rpc import Call, Endpoint
    from streams.process.clock import Clock
    from streams.settings import Settings, SymmioSettings

_ANSWER_WITHIN_S = 10.0
# What a charge of 30 quotes takes at most, and how many of these a signer should be able to pay for.
_CHARGE_GAS = 3_000_000
_CHARGES = 100
_CLOCKS_DIFFER_S = 15


async def check_deployment(settings: Settings, name: str, deployment: SymmioSettings, clock: Clock) -> list[Finding]:
    """Check a deployment's endpoints, each by itself, its contracts, and who charges its funding.

    Args:
        settings: Have the bound on the age of a head.
        name: The deployment's name.
        deployment: Its settings.
        clock: Tells the instant.
    """
    if not deployment.rpc:
        return [Finding(f"rpc of {name}", Verdict.WARNING, "no endpoint is configured", f"set deployments.{name}.rpc")]
    found: list[Finding] = []
    async with (
        aiohttp.ClientSession() as session,
        opened_endpoints(session, deployment, lambda: None) as endpoints,
    ):
        answering = []
        for endpoint in endpoints:
            one = await _check_endpoint(name, deployment, endpoint, settings.api.freshness.head_s, clock)
            found.append(one)
            if one.verdict is not Verdict.WRONG:
                answering.append(endpoint)
        if answering:
            found += await _check_contracts(name, deployment, answering[0])
            if deployment.funding.party_b is not None:
                found += await _check_hedgers(name, deployment, session, answering[0])
    return found


async def _check_endpoint(
    name: str, deployment: SymmioSettings, endpoint: Endpoint, head_s: float, clock: Clock
) -> Finding:
    check = f"rpc {endpoint.label} of {name}"
    try:
        chain, block = await _asked(endpoint, [("eth_chainId", []), ("eth_getBlockByNumber", ["latest", False])])
        chain_id, time_s, number = read_chain_id(chain), read_time_s(block), read_number(block["number"])
    except (RpcError, TypeError, KeyError) as error:
        return Finding(check, Verdict.WRONG, f"no answer: {error}", f"correct deployments.{name}.rpc or its key")
    if chain_id != deployment.chain_id:
        found = f"it is of chain {chain_id} and not {deployment.chain_id}"
        return Finding(check, Verdict.WRONG, found, f"correct deployments.{name}.rpc")
    age_s = clock.now_ms() / 1_000 - time_s
    said = f"chain {chain_id}, block {number}, {age_s:.0f} s old by this machine's clock"
    if age_s > head_s:
        return Finding(check, Verdict.WARNING, said, "it lags behind, or the chain stands still, or a clock is wrong")
    if age_s < -_CLOCKS_DIFFER_S:
        return Finding(check, Verdict.WARNING, said, "let this machine's time service (NTP) work")
    return fine(check, said)


async def _check_contracts(name: str, deployment: SymmioSettings, endpoint: Endpoint) -> list[Finding]:
    found = []
    for address in (deployment.diamond, *deployment.multi_accounts):
        check = f"contract {address} of {name}"
        try:
            (code,) = await _asked(endpoint, [("eth_getCode", [address, "latest"])])
            has_code = read_code(code)
        except RpcError as error:
            found.append(Finding(check, Verdict.UNKNOWN, str(error), "ask again"))
            continue
        wrong = Finding(check, Verdict.WRONG, "there is no contract", f"correct the address in deployments.{name}")
        found.append(fine(check, "there is a contract") if has_code else wrong)
    call, read = ContractViews(deployment.diamond, "latest").last_quote_id()
    try:
        (answer,) = await _asked(endpoint, [call])
        last = read(answer)
    except (RpcError, DecodingError) as error:
        found.append(Finding(f"views of {name}", Verdict.WRONG, str(error), f"correct deployments.{name}.diamond"))
    else:
        found.append(fine(f"views of {name}", f"the Diamond answers; its last quote is {last}"))
    return found


async def _check_hedgers(
    name: str, deployment: SymmioSettings, session: aiohttp.ClientSession, endpoint: Endpoint
) -> list[Finding]:
    try:
        hedgers = await hedgers_of(name, deployment, session)
    except BadSettings as error:
        return [Finding(f"funder of {name}", Verdict.UNKNOWN, str(error), "run this where the funder's keys are")]
    return [
        finding for hedger in hedgers for finding in await _check_hedger(name, deployment.diamond, hedger, endpoint)
    ]


async def _check_hedger(name: str, diamond: str, hedger: Hedger, endpoint: Endpoint) -> list[Finding]:
    check, party_b, signer = f"funder of {name}", hedger.party_b, hedger.signer.address
    calls: list[Call] = [
        _view(diamond, "isPartyB", ("address",), (party_b,)),
        ("eth_getBalance", [signer, "latest"]),
        ("eth_gasPrice", []),
        ("eth_getCode", [party_b, "latest"]),
    ]
    try:
        registered, balance, price, code = await _asked(endpoint, calls)
        is_party_b = bool(read_numbers(read_bytes(registered), 1)[0])
        affordable = read_quantity(balance) // max(1, read_quantity(price) * _CHARGE_GAS)
        forwards = signer == party_b or read_code(code)
    except (RpcError, ValueError) as error:
        return [Finding(check, Verdict.UNKNOWN, str(error), "ask again")]
    found = []
    if not is_party_b:
        to_do = "have it registered by the Diamond's admin, or correct funding.party_b"
        found.append(Finding(check, Verdict.WRONG, f"{party_b} is no PartyB of the Diamond", to_do))
    if not forwards:
        to_do = "set funding.party_b to the signer's address or a contract that forwards its calls"
        found.append(Finding(check, Verdict.WRONG, f"{party_b} is neither {signer} nor a contract", to_do))
    said = f"signer {signer} can pay for {affordable} charges of {_CHARGE_GAS} gas at the price of now"
    if affordable < _CHARGES:
        verdict = Verdict.WRONG if affordable == 0 else Verdict.WARNING
        found.append(Finding(check, verdict, said, f"send it more of the chain's coin: {_CHARGES} are comfortable"))
    return found or [fine(check, f"{party_b} is a PartyB; {said}")]


async def _asked(endpoint: Endpoint, calls: Sequence[Call]) -> list[Any]:
    outcomes = await endpoint.ask(calls, _ANSWER_WITHIN_S)
    for outcome in outcomes:
        if isinstance(outcome, RpcError):
            raise outcome
    return outcomes


def _view(diamond: str, function: str, kinds: Sequence[str] = (), values: Sequence[object] = ()) -> Call:
    return "eth_call", [{"to": diamond, "data": "0x" + call_data(function, kinds, values).hex()}, "latest"]
