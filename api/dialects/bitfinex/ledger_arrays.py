"""Frames of what a ledger's account has and of what happens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from api.dialects.bitfinex.account_arrays import (
    DERIVATIVE,
    MARGIN,
    NOT_CALCULATED,
    Calculated,
    PositionFacts,
    WalletFacts,
    instant,
    position_array,
    wallet_array,
)
from api.dialects.bitfinex.heard_frames import Frame
from models.ledger.ledger_objects import Credit, Funding, LedgerPosition, Loan, Notice, Offer, Order, Wallet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.ledger.ledger_state import Holdings


def ledger_position(position: LedgerPosition, calculated: Calculated = NOT_CALCULATED) -> list[Any]:
    """Make a position's array."""
    amount = float(position.amount)
    return position_array(
        PositionFacts(
            position.symbol,
            amount,
            float(position.base_price),
            position.id,
            DERIVATIVE if position.type == "derivative" else MARGIN,
            is_closed=not amount,
            funding=float(position.margin_funding),
            funding_type=position.margin_funding_type,
            created_ms=position.created_ms,
            updated_ms=position.updated_ms,
            collateral=None if position.collateral is None else float(position.collateral),
            meta=position.meta,
        ),
        calculated,
    )


def ledger_wallet(wallet: Wallet, available: float | None = None) -> list[Any]:
    """Make a wallet's array."""
    interest = float(wallet.unsettled_interest)
    facts = WalletFacts(wallet.type, wallet.currency, float(wallet.balance), interest, wallet.description, wallet.meta)
    return wallet_array(facts, available)


def ledger_snapshots(holdings: Holdings) -> list[Frame]:
    """Make the snapshots of an account."""
    return [
        Frame("ps", [ledger_position(one) for one in holdings.positions]),
        Frame("ws", [ledger_wallet(one) for one in holdings.wallets]),
        Frame("os", [_order(one) for one in holdings.orders]),
        Frame("fos", [_offer(one) for one in holdings.offers]),
        Frame("fcs", [_credit(one) for one in holdings.credits]),
        Frame("fls", [_funding(one) for one in holdings.loans]),
    ]


def frame_of(happening: Mapping[str, Any]) -> Frame | None:
    """Make the frame of something that happened (``models.ledger.ledger_changes``); None where there is none.

    Raises:
        msgspec.ValidationError: What it holds is not what its kind says.
    """
    what, _, how = str(happening["kind"]).partition("_")
    letter = {"opened": "n", "changed": "u", "closed": "c"}.get(how, "")
    match what:
        case "position":
            return Frame(f"p{letter}", ledger_position(msgspec.convert(happening["position"], LedgerPosition)))
        case "wallet":
            return Frame("wu", ledger_wallet(msgspec.convert(happening["wallet"], Wallet)))
        case "order":
            return Frame(f"o{letter}", _order(msgspec.convert(happening["order"], Order)))
        case "offer":
            return Frame(f"fo{letter}", _offer(msgspec.convert(happening["offer"], Offer)))
        case "credit":
            return Frame(f"fc{letter}", _credit(msgspec.convert(happening["credit"], Credit)))
        case "loan":
            return Frame(f"fl{letter}", _funding(msgspec.convert(happening["loan"], Loan)))
        case "notified":
            return Frame("n", _notification(msgspec.convert(happening["notice"], Notice), happening["time_ms"]))
        case _:
            # That an account was opened or is in doubt has no frame; figures of one in doubt are null.
            return None


def _order(one: Order) -> list[Any]:
    made: list[Any] = [one.id, one.gid, one.cid, one.symbol, instant(one.created_ms), instant(one.updated_ms)]
    made += [float(one.amount), float(one.amount_orig), one.type, one.type_prev, instant(one.expires_ms), None]
    made += [one.flags, one.status, None, None, float(one.price), float(one.price_avg), float(one.price_trailing)]
    made += [float(one.price_aux_limit), None, None, None, int(one.notify), int(one.hidden), one.placed_id]
    return [*made, None, None, one.routing, None, None, one.meta]


def _offer(one: Offer) -> list[Any]:
    made: list[Any] = [one.id, one.symbol, instant(one.created_ms), instant(one.updated_ms), float(one.amount)]
    made += [float(one.amount_orig), one.type, None, None, one.flags, one.status, None, None, None, float(one.rate)]
    return [*made, one.period_days, int(one.notify), int(one.hidden), None, int(one.renew), None]


def _credit(one: Credit) -> list[Any]:
    return [*_funding(one), one.position_pair]


def _funding(one: Funding) -> list[Any]:
    made: list[Any] = [one.id, one.symbol, one.side, instant(one.created_ms), instant(one.updated_ms)]
    made += [float(one.amount), one.flags, one.status, one.rate_type, None, None, float(one.rate), one.period_days]
    made += [instant(one.opened_ms), instant(one.last_payout_ms), int(one.notify), int(one.hidden), None]
    return [*made, int(one.renew), None, int(one.no_close)]


def _notification(one: Notice, time_ms: int) -> list[Any]:
    return [instant(time_ms), one.type, one.message_id, None, one.info, one.code, one.status, one.text]
