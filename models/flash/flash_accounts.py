"""The accounts of Flash Trade v2 on Solana: the table of their layouts, field by field, and how they are read.

Source: ``src/idl/perpetuals.json`` (version 15.2.0) of github.com/flash-trade/flash-sdk-v2 at commit
e137e8dc4884a902dc7a3f16c3a93077ccdad2b0. Names are those of that interface. Where nothing else is said, USD stand at
1e6, amounts in the smallest unit of their token, fees and rates at 1e9, ``_bps`` and leverages at 1e4, times in
seconds of Unix time.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, NamedTuple, TypeVar

from models.errors import BadRecord
from models.flash.borsh import I32, I64, U8, U16, U32, U64, U128, Integer, PublicKey, Raw, Reader, Times, layout

ACCOUNT_BYTES_MAX = 10 * 1024 * 1024
"""The most bytes that an account of Solana has."""

_DISCRIMINATOR_BYTES = 8

A = TypeVar("A", bound=NamedTuple)


class Price(NamedTuple):
    """USD of one token, ``price x 10^exponent``; both are 0 where there is none."""

    price: U64
    exponent: I32


class TokenAmount(NamedTuple):
    """So much of a token: a debit, a credit or a deposit."""

    mint: PublicKey
    amount: U64


class Position(NamedTuple):
    """A position. Its market says its side; with a size of 0 it is none."""

    owner: PublicKey
    market: PublicKey
    delegate: PublicKey
    open_time: I64
    update_time: I64
    entry_price: Price
    size_amount: U64
    size_usd: U64
    locked_amount: U64
    locked_usd: U64
    price_impact_usd: U64
    collateral_usd: U64
    unsettled_value_usd: U64
    unsettled_fees_usd: U64
    cumulative_lock_fee_snapshot: U128
    degen_size_usd: U64
    reference_price: Price
    is_active: bool
    buffer: Annotated[bytes, Raw(2)]
    price_impact_set: U8
    size_decimals: U8
    locked_decimals: U8
    collateral_decimals: U8
    bump: U8
    migrate_flag: bool
    padding: Annotated[bytes, Raw(7)]


class PositionSlot(NamedTuple):
    """A basket's place for the position of one market."""

    market: PublicKey
    position: Position


class LimitOrder(NamedTuple):
    """An order to open at a price. One of a size of 0 is a free place."""

    limit_price: Price
    reserve_amount: U64
    reserve_custody_uid: U8
    receive_custody_uid: U8
    size_amount: U64
    stop_loss_price: Price
    take_profit_price: Price


class TriggerOrder(NamedTuple):
    """An order to close so much at a price. One of a size of 0 is a free place."""

    trigger_price: Price
    trigger_size: U64
    receive_custody_uid: U8


class MarketOrders(NamedTuple):
    """All orders of a basket in one market."""

    limit_orders: tuple[LimitOrder, ...]
    take_profit_orders: tuple[TriggerOrder, ...]
    stop_loss_orders: tuple[TriggerOrder, ...]
    is_initialised: bool
    is_active: bool
    open_sl: U8
    open_tp: U8
    inactive_sl: U8
    inactive_tp: U8
    active_orders: U8
    reference_timestamp: I64
    execution_count: U64
    padding: Annotated[bytes, Raw(48)]


class OrderSlot(NamedTuple):
    """A basket's place for the orders of one market."""

    market: PublicKey
    order: MarketOrders


class Basket(NamedTuple):
    """What one owner trades. It stands on the venue's rollup."""

    owner: PublicKey
    delegate: PublicKey
    basket_bump: U8
    padding: Annotated[bytes, Raw(5)]
    positions_active: bool
    orders_active: bool
    debits: tuple[TokenAmount, ...]
    pending_credits: tuple[TokenAmount, ...]
    positions: tuple[PositionSlot, ...]
    orders: tuple[OrderSlot, ...]


class UserDepositLedger(NamedTuple):
    """What one owner has deposited. Available is a deposit less the basket's debits, plus its pending credits."""

    bump: U8
    padding: Annotated[bytes, Raw(7)]
    owner: PublicKey
    deposits: tuple[TokenAmount, ...]


class Side(IntEnum):
    """Which way the positions of a market go."""

    NONE = 0
    LONG = 1
    SHORT = 2


class MarketPermissions(NamedTuple):
    """What a market allows."""

    allow_open_position: bool
    allow_close_position: bool
    allow_collateral_withdrawal: bool
    allow_size_change: bool


class PositionStats(NamedTuple):
    """All positions of a market together."""

    open_positions: U64
    update_time: I64
    average_entry_price: Price
    size_amount: U64
    size_usd: U64
    locked_amount: U64
    locked_usd: U64
    collateral_amount: U64
    collateral_liability_usd: U64
    unsettled_fee_usd: U64
    cumulative_lock_fee_snapshot: U128
    size_decimals: U8
    locked_decimals: U8
    collateral_decimals: U8


class Market(NamedTuple):
    """A market: a target, a collateral and a side."""

    pool: PublicKey
    target_custody: PublicKey
    collateral_custody: PublicKey
    side: Side
    correlation: bool
    max_payoff_bps: U64
    permissions: MarketPermissions
    degen_exposure_usd: U64
    collective_position: PositionStats
    target_custody_uid: U8
    padding: Annotated[bytes, Raw(7)]
    collateral_custody_uid: U8
    padding2: Annotated[bytes, Raw(7)]
    bump: U8


class OracleType(IntEnum):
    """Where a custody takes its price from."""

    NONE = 0
    CUSTOM = 1
    PYTH = 2


class OracleParams(NamedTuple):
    """Where a custody takes its price from, and when it doubts it."""

    int_oracle_account: PublicKey
    ext_oracle_account: PublicKey
    oracle_type: OracleType
    max_divergence_bps: U64
    max_conf_bps: U64
    max_price_age_sec: U32
    max_backup_age_sec: U32


class PricingParams(NamedTuple):
    """At what spread and leverage a custody trades; spreads are parts of the price at 1e6."""

    trade_spread_min: U64
    trade_spread_max: U64
    swap_spread: U64
    min_init_leverage: U32
    min_init_degen_leverage: U32
    max_init_leverage: U32
    max_init_degen_leverage: U32
    max_leverage: U32
    max_degen_leverage: U32
    min_collateral_usd: U32
    min_degen_collateral_usd: U32
    delay_seconds: I64
    max_utilization: U32
    degen_position_factor: U16
    degen_exposure_factor: U16
    max_position_size_usd: U64
    max_exposure_usd: U64


class Permissions(NamedTuple):
    """What a pool or a custody allows."""

    allow_swap: bool
    allow_add_liquidity: bool
    allow_remove_liquidity: bool
    allow_open_position: bool
    allow_close_position: bool
    allow_collateral_withdrawal: bool
    allow_size_change: bool
    allow_liquidation: bool
    allow_lp_staking: bool
    allow_fee_distribution: bool
    allow_ungated_trading: bool
    allow_fee_discounts: bool
    allow_referral_rebates: bool


class RatioFees(NamedTuple):
    """A fee at the least, the target and the greatest part of a pool."""

    min_fee: U64
    target_fee: U64
    max_fee: U64


class FeesMode(IntEnum):
    """Whether fees depend on a token's part of the pool."""

    FIXED = 0
    LINEAR = 1


class Fees(NamedTuple):
    """The fees of a custody."""

    mode: FeesMode
    swap_in: RatioFees
    swap_out: RatioFees
    stable_swap_in: RatioFees
    stable_swap_out: RatioFees
    add_liquidity: RatioFees
    remove_liquidity: RatioFees
    open_position: U64
    close_position: U64
    volatility: U64


class BorrowRateParams(NamedTuple):
    """What the borrow rate is calculated from."""

    base_rate: U64
    slope1: U64
    slope2: U64
    optimal_utilization: U64


class Assets(NamedTuple):
    """The tokens of a custody."""

    collateral: U64
    owned: U64
    locked: U64


class FeesStats(NamedTuple):
    """The fees that a custody took."""

    accrued: U128
    distributed: U128
    paid: U128
    reward_per_lp_staked: U64
    protocol_fee: U64


class BorrowRateState(NamedTuple):
    """The fee of an hour, and all fees up to the last update."""

    current_rate: U64
    cumulative_lock_fee: U128
    last_update: I64


class Custody(NamedTuple):
    """A token in a pool. A virtual one is only a price; ``inverse_price`` says that its feed quotes the reverse."""

    pool: PublicKey
    mint: PublicKey
    token_account: PublicKey
    decimals: U8
    is_stable: bool
    depeg_adjustment: bool
    is_virtual: bool
    inverse_price: bool
    oracle: OracleParams
    pricing: PricingParams
    permissions: Permissions
    fees: Fees
    borrow_rate: BorrowRateParams
    token_amount_multiplier: U64
    assets: Assets
    fees_stats: FeesStats
    borrow_rate_state: BorrowRateState
    bump: U8
    token_account_bump: U8
    token22: bool
    uid: U8
    reserved_amount: U64
    min_reserve_usd: U64
    limit_price_buffer_bps: U64
    trade_receivable: U64
    trade_payable: U64
    padding: Annotated[bytes, Raw(16)]


class TokenRatios(NamedTuple):
    """The part of a pool that a token is to have."""

    target: U64
    min: U64
    max: U64


class StakeStats(NamedTuple):
    """How much of a pool's tokens is staked."""

    pending_activation: U64
    active_amount: U64
    pending_deactivation: U64
    deactivated_amount: U64


class CompoundingStats(NamedTuple):
    """How much of a pool's tokens compounds."""

    active_amount: U64
    total_supply: U64
    reward_snapshot: U128
    fee_share_bps: U64
    last_compound_time: I64


class Pool(NamedTuple):
    """A pool: its custodies and markets, and what it is worth."""

    name: str
    permissions: Permissions
    inception_time: I64
    lp_mint: PublicKey
    oracle_authority: PublicKey
    staked_lp_vault: PublicKey
    reward_custody: PublicKey
    custodies: tuple[PublicKey, ...]
    ratios: tuple[TokenRatios, ...]
    markets: tuple[PublicKey, ...]
    max_aum_usd: U64
    buffer: U64
    raw_aum_usd: U64
    equity_usd: U64
    total_staked: StakeStats
    staking_fee_share_bps: U64
    bump: U8
    lp_mint_bump: U8
    staked_lp_vault_bump: U8
    vp_volume_factor: U8
    unique_custody_count: U8
    padding: Annotated[bytes, Raw(3)]
    staking_fee_boost_bps: Annotated[tuple[int, ...], Times(6, Integer(8, signed=False))]
    compounding_mint: PublicKey
    compounding_lp_vault: PublicKey
    compounding_stats: CompoundingStats
    compounding_mint_bump: U8
    compounding_lp_vault_bump: U8
    min_lp_price_usd: U64
    max_lp_price_usd: U64
    lp_price: U64
    compounding_lp_price: U64
    last_updated_timestamp: I64
    fees_obligation_usd: U64
    rebate_obligation_usd: U64
    threshold_usd: U64
    lp_supply: U64


class CustomOracle(NamedTuple):
    """A price as the venue's own oracle says it; ``ema`` is its exponential moving average."""

    price: U64
    expo: I32
    conf: U64
    ema: U64
    publish_time: I64
    lazer_feed_id: U32
    lazer_price: U64
    reserved: Annotated[bytes, Raw(20)]


DISCRIMINATORS: dict[type[NamedTuple], bytes] = {
    Basket: bytes.fromhex("db4f6b87e7f3daf8"),
    UserDepositLedger: bytes.fromhex("3363adbe15330782"),
    Market: bytes.fromhex("dbbed53700e3c69a"),
    Custody: bytes.fromhex("01b830515d833f91"),
    Pool: bytes.fromhex("f19a6d0411b16dbc"),
    CustomOracle: bytes.fromhex("e3aaa4da7f1023df"),
}
"""The first 8 bytes of each account: those of the SHA-256 of ``account:`` and its name."""


def decode_account(of: type[A], data: bytes) -> A:
    """Read an account.

    Args:
        of: Which it is to be, one of ``DISCRIMINATORS``.
        data: Its bytes. Those behind what it has are free room, which programs allocate, and are passed over.

    Raises:
        BadRecord: It is another account, it is cut off, or one of its bytes is none of what may stand there.
    """
    if len(data) > ACCOUNT_BYTES_MAX:
        msg = f"expected an account of at most {ACCOUNT_BYTES_MAX} bytes, found {len(data)}"
        raise BadRecord(msg)
    found = data[:_DISCRIMINATOR_BYTES]
    if found != DISCRIMINATORS[of]:
        msg = f"expected a {of.__name__} account, which begins with {DISCRIMINATORS[of].hex()}, found {found.hex()}"
        raise BadRecord(msg)
    try:
        account: A = layout(of).read(Reader(data, at=_DISCRIMINATOR_BYTES))
    except BadRecord as error:
        msg = f"not a whole {of.__name__} account: {error}"
        raise BadRecord(msg) from error
    return account


def encode_account(account: NamedTuple) -> bytes:
    """Write an account as its program does, without free room.

    Args:
        account: One of ``DISCRIMINATORS``.

    Raises:
        OverflowError, ValueError: A field is beyond what its bytes can say.
    """
    of = type(account)
    return DISCRIMINATORS[of] + layout(of).write(account)
