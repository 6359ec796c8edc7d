"""The venue's own SDK and anchor's coder, run as they are, beside what this project makes of the same bytes."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from models.flash.borsh import layout
from models.flash.flash_accounts import (
    DISCRIMINATORS,
    Basket,
    Custody,
    CustomOracle,
    FeesMode,
    Market,
    OracleType,
    Pool,
    Position,
    Price,
    Side,
    UserDepositLedger,
    decode_account,
    encode_account,
)
from models.flash.flash_prices import OraclePrice, Uncomputable
from models.flash.flash_texts import Token, native_text, price_text
from models.flash.position_metrics import PositionTerms, exit_fee_usd_e6, liquidation_price
from models.flash.position_terms import Quote, QuotedCustody, market_terms, metrics_of, settled_price
from tests.support.flash_values import random_account
from tests.support.node_packages import node_with_packages

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
BASKET = HERE.parent / "data" / "flash" / "basket.b64"
CASES = 3_000
NOW_S = 1_700_000_000
# The SDK's own interface has positions as accounts of their own; a basket has the same bytes.
POSITION_DISCRIMINATOR = bytes.fromhex("aabc8fe47a40f7d0")


def _ask(asked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps(one) + "\n" for one in asked)
    program = [str(node_with_packages(HERE)), "flash_sdk.cjs"]
    ran = subprocess.run(program, cwd=HERE, input=lines, capture_output=True, text=True, timeout=120, check=False)
    assert 0 == ran.returncode, ran.stderr
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(asked) == len(answers), ran.stderr
    return answers


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Case(NamedTuple):
    position: Position
    side: Side
    target: QuotedCustody
    collateral: QuotedCustody

    def asked(self) -> dict[str, Any]:
        def price(one: OraclePrice) -> list[str]:
            return [str(part) for part in one]

        return {
            "ask": "metrics",
            "position": _text(POSITION_DISCRIMINATOR + layout(Position).write(self.position)),
            "target": _text(encode_account(self.target.custody)),
            "collateral": _text(encode_account(self.collateral.custody)),
            "spot": price(self.target.quote.spot),
            "average": price(self.target.quote.average),
            "collateralSpot": price(self.collateral.quote.spot),
            "collateralAverage": price(self.collateral.quote.average),
            "side": self.side.name.lower(),
            "now": str(NOW_S),
        }

    def figures(self) -> dict[str, Any]:
        found = metrics_of(self.position, self.side, self.target, self.collateral, NOW_S)
        custody = self.collateral.custody
        exit_fee_amount = settled_price(self.collateral).token_amount(
            found.exit_fee_usd_e6, custody.decimals, custody.token_amount_multiplier
        )
        return {
            "profit": str(found.profit_usd_e6),
            "loss": str(found.loss_usd_e6),
            "leverage": str(found.leverage_bps),
            "liquidation": [str(found.liquidation.price), str(found.liquidation.exponent)],
            "exitFee": str(found.exit_fee_usd_e6),
            "exitFeeAmount": str(exit_fee_amount),
            "borrowFee": str(found.borrow_fee_usd_e6),
        }


def _quote(rng: Random, around: int, exponent: int) -> Quote:
    """A price with its average, of which one in three diverges so far that the custody doubts it."""
    spot = max(1, around * rng.randint(1, 40_000) // 10_000) if rng.random() < 0.2 else around
    average = rng.choice((spot, max(1, spot * rng.randint(9_000, 11_000) // 10_000), max(1, spot // 10**5)))
    confidence = rng.choice((0, spot * rng.randint(0, 500) // 10_000))
    return Quote(OraclePrice(spot, exponent, confidence, NOW_S), OraclePrice(average, exponent, confidence, NOW_S))


def _custody(rng: Random, *, stable: bool) -> Custody:
    empty = decode_account(Custody, DISCRIMINATORS[Custody] + bytes(layout(Custody).least))
    least = rng.choice((0, rng.randint(0, 1_000)))
    return empty._replace(
        decimals=rng.randint(2, 11),
        is_stable=stable,
        is_virtual=rng.random() < 0.4,
        inverse_price=rng.random() < 0.3,
        token_amount_multiplier=rng.choice((0, 0, rng.randint(10**8, 10**10))),
        oracle=empty.oracle._replace(
            max_divergence_bps=rng.choice((0, 1, 50)), max_conf_bps=rng.choice((0, 50, 100, 1_000))
        ),
        pricing=empty.pricing._replace(
            trade_spread_min=least,
            # The greatest spread may be the least one, or, in a custody that is set up wrongly, lie below it.
            trade_spread_max=rng.choice((least, least + rng.randint(0, 3_000), rng.randint(0, 1_000))),
            max_position_size_usd=0 if rng.random() < 0.02 else rng.randint(10**9, 10**14),
            max_leverage=0 if rng.random() < 0.01 else rng.randint(10_000, 10_000_000),
            delay_seconds=rng.choice((0, rng.randint(0, 300))),
        ),
        fees=empty.fees._replace(close_position=rng.choice((0, rng.randint(0, 2_000_000)))),
        borrow_rate_state=empty.borrow_rate_state._replace(
            current_rate=rng.randint(0, 200_000),
            cumulative_lock_fee=rng.choice((rng.randint(0, 10**8), rng.randint(0, 2**100))),
            last_update=NOW_S + rng.randint(-100_000, 1_000),
        ),
    )


def _case(rng: Random) -> Case:
    exponent = rng.choice((-8, -8, -8, -5, -10))
    entry = rng.choice((rng.randint(1, 10**6), rng.randint(10**6, 10**14)))
    stable = rng.random() < 0.3
    target = QuotedCustody(
        _custody(rng, stable=False), _quote(rng, max(1, entry * rng.randint(5_000, 15_000) // 10_000), exponent)
    )
    collateral = QuotedCustody(
        _custody(rng, stable=stable), _quote(rng, 10**8 if stable else rng.randint(10**5, 10**13), -8)
    )
    if rng.random() < 0.3:
        collateral = target
    fees = collateral.custody.borrow_rate_state.cumulative_lock_fee
    empty: Position = layout(Position).of(*decode_account(Basket, _basket_of_an_empty_position()).positions[0].position)
    size_usd = rng.choice((0, rng.randint(1, 10), rng.randint(10**6, 10**13)))
    if rng.random() < 0.9:
        size_usd = rng.randint(10**6, 10**13)
    position = empty._replace(
        entry_price=Price(0 if rng.random() < 0.02 else entry, exponent - (rng.random() < 0.01)),
        reference_price=Price(entry * rng.randint(9_000, 11_000) // 10_000, exponent),
        update_time=NOW_S - rng.randint(-5, 400),
        size_amount=0 if rng.random() < 0.01 else rng.choice((1, rng.randint(1, 10**6), rng.randint(10**6, 10**15))),
        size_decimals=rng.randint(2, 11),
        size_usd=size_usd,
        locked_amount=rng.choice((0, rng.randint(1, 10**15))),
        collateral_usd=rng.choice((0, size_usd, size_usd // rng.randint(1, 500), rng.randint(0, 10**13))),
        unsettled_fees_usd=rng.choice((0, rng.randint(0, 10**6))),
        cumulative_lock_fee_snapshot=max(0, fees - rng.randint(-(10**5), 10**8)),
    )
    return Case(position, rng.choice((Side.LONG, Side.SHORT)), target, collateral)


def _basket_of_an_empty_position() -> bytes:
    head = DISCRIMINATORS[Basket] + bytes(72) + bytes(8)
    return head + (1).to_bytes(4, "little") + bytes(272) + bytes(4)


def _compare(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The figures of cases that have any, once they are seen to be the SDK's; the others it refuses as we do."""
    compared: list[dict[str, Any]] = []
    for case, answer in zip(cases, _ask([case.asked() for case in cases]), strict=True):
        if "error" in answer:
            with pytest.raises(Uncomputable):
                case.figures()
            continue
        assert answer["answer"] == case.figures(), case
        compared.append(answer["answer"])
    return compared


def test_the_figures_of_random_accounts_are_those_of_the_venues_sdk() -> None:
    rng = Random(19)
    cases = [_case(rng) for _ in range(CASES)]
    compared = _compare(cases)
    assert len(compared) >= 2_000
    assert len(compared) < CASES - 30, "none was refused"
    assert sum(figures["profit"] != "0" for figures in compared) > 200
    assert sum(figures["loss"] != "0" for figures in compared) > 200
    assert sum(figures["liquidation"] == ["0", "0"] for figures in compared) > 50
    assert sum(figures["leverage"] == str(2**53 - 1) for figures in compared) > 50


def _shown(value: object) -> object:
    """A value as the program shows what a coder reads."""
    match value:
        case Side() | OracleType() | FeesMode():
            return {value.name.lower(): {}}
        case bool() | str():
            return value
        case bytes():
            return value.hex()
        case int():
            return str(value)
        case tuple():
            names = getattr(value, "_fields", None)
            shown = [_shown(one) for one in value]
            return shown if names is None else dict(zip(map(_camel, names), shown, strict=True))
        case _:
            raise AssertionError(value)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _same(ours: object, theirs: Any) -> bool:  # noqa: ANN401 - JSON of any form
    """Whether they are the same; what we show as a text may there be a number, or bytes as a list."""
    match ours:
        case dict():
            return bool(ours.keys() == theirs.keys()) and all(_same(ours[name], theirs[name]) for name in ours)
        case list():
            return len(ours) == len(theirs) and all(map(_same, ours, theirs))
        case str():
            return ours == (bytes(theirs).hex() if isinstance(theirs, list) else str(theirs))
        case _:
            return bool(ours == theirs)


def _extreme_case(rng: Random) -> Case:
    """Accounts of which any field may be the least or the greatest there is, at prices whose exponents agree."""

    def custody() -> Custody:
        return random_account(Custody, rng)._replace(decimals=rng.randint(0, 12))

    def quote() -> Quote:
        spot, average, confidence = (rng.choice((1, 2**64 - 1, rng.randint(1, 10**12))) for _ in range(3))
        return Quote(OraclePrice(spot, -8, rng.choice((0, confidence))), OraclePrice(average, -8))

    position = random_account(Position, rng)
    position = position._replace(
        entry_price=position.entry_price._replace(exponent=-8),
        # From 13 decimals on the SDK has no number for the power of ten.
        size_decimals=rng.randint(0, 12),
    )
    sides = (Side.LONG, Side.SHORT)
    return Case(position, rng.choice(sides), QuotedCustody(custody(), quote()), QuotedCustody(custody(), quote()))


def test_the_figures_of_extreme_accounts_are_those_of_the_venues_sdk() -> None:
    rng = Random(5)
    compared = _compare([_extreme_case(rng) for _ in range(1_000)])
    assert 500 < len(compared) < 900


def test_texts_are_those_of_bignumber_rounding_down() -> None:
    rng = Random(7)
    amounts = [
        rng.choice((0, -1, 1, rng.randint(-(10**12), 10**12), rng.randint(-(2**64), 2**64))) for _ in range(2_000)
    ]
    forms = [(amount, rng.randint(0, 11), rng.randint(0, 8)) for amount in amounts]
    asked = [{"ask": "text", "amount": str(a), "decimals": d, "precision": p} for a, d, p in forms]
    assert [{"answer": native_text(*form)} for form in forms] == _ask(asked)


def test_where_a_limit_orders_position_would_be_liquidated_is_what_the_sdk_says() -> None:
    rng = Random(11)
    asked, ours = [], []
    for _ in range(1_000):
        side = rng.choice((Side.LONG, Side.SHORT))
        custody = _custody(rng, stable=False)._replace(inverse_price=False)
        custody = custody._replace(pricing=custody.pricing._replace(max_leverage=rng.randint(10_000, 10**7)))
        limit = OraclePrice(rng.randint(10**6, 10**13), -8)
        amount, put_in = rng.randint(10**3, 10**12), rng.randint(0, 10**11)
        size_usd = limit.usd_e6(amount, custody.decimals)
        terms = market_terms(custody)
        opened = PositionTerms(
            long=side is Side.LONG,
            entry=limit,
            reference_price=0,
            size_amount=amount,
            size_decimals=custody.decimals,
            size_usd_e6=size_usd,
            collateral_usd_e6=put_in,
            fee_snapshot_e9=0,
            unsettled_fees_usd_e6=0,
            update_time_s=0,
        )
        ours.append(price_text(liquidation_price(opened, terms, exit_fee_usd_e6(size_usd, terms)), Token("SOL", 4, 4)))
        asked.append(
            {
                "ask": "liquidation",
                "collateralUsd": str(put_in),
                "sizeAmount": str(amount),
                "sizeUsd": str(size_usd),
                "sizeDecimals": custody.decimals,
                "limit": [str(part) for part in limit],
                "side": side.name.lower(),
                "target": _text(encode_account(custody)),
                "precision": 4,
            }
        )
    assert [{"answer": text} for text in ours] == _ask(asked)
    assert ours.count("0.0000") > 10


@pytest.mark.parametrize("of", [Custody, Market, Pool, CustomOracle], ids=lambda of: of.__name__)
def test_the_sdks_own_interface_reads_the_same_out_of_our_accounts(of: type[Any]) -> None:
    rng = Random(of.__name__)
    written = [random_account(of, rng) for _ in range(30)]
    name = of.__name__[0].lower() + of.__name__[1:]
    answers = _ask([{"ask": "account", "of": name, "data": _text(encode_account(one))} for one in written])
    for account, answer in zip(written, answers, strict=True):
        theirs = answer["answer"]
        ours = _shown(account)
        assert isinstance(ours, dict)
        # Version 1 has free room where version 2 keeps these.
        later = {"lpSupply", "tradeReceivable", "tradePayable", "padding"} if of is not Market else set()
        known = ours.keys() - later
        assert len(known) >= len(ours) - 3
        assert _same({name: ours[name] for name in known}, {name: theirs[name] for name in theirs.keys() - later})


@pytest.mark.parametrize("of", [Basket, UserDepositLedger], ids=lambda of: of.__name__)
def test_anchors_coder_reads_what_we_write_and_we_read_what_it_writes(of: type[Any]) -> None:
    rng = Random(of.__name__)
    written = [random_account(of, rng) for _ in range(200)]
    if of is Basket:
        written.append(decode_account(of, base64.b64decode(BASKET.read_bytes())))
    # Anchor writes accounts of at most 1,000 bytes.
    written = [one for one in written if len(encode_account(one)) <= 1_000]
    assert len(written) > 20
    answers = _ask([{"ask": "basket", "of": of.__name__, "data": _text(encode_account(one))} for one in written])
    for account, answer in zip(written, answers, strict=True):
        assert "error" not in answer
        assert account == decode_account(of, base64.b64decode(answer["answer"]["written"]))
        assert encode_account(account) == base64.b64decode(answer["answer"]["written"])
