"""The bodies of rows as types, table by table: what readers of changelogs may rely on (docs/schemas/rows).

Those of a venue's own tables stand beside its model. Rows of ``valuations`` have columns of their venues beside these.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

E18 = Annotated[str, Meta(pattern="^-?[0-9]+$", description="The decimal text of a signed integer, scaled by 1e18.")]
Amount = Annotated[str, Meta(pattern="^[0-9]+$", description="The decimal text of an integer >= 0, scaled by 1e18.")]
UnixMs = Annotated[int, Meta(ge=0, description="Unix ms.")]
Address = Annotated[str, Meta(description="An account, owner or counterparty as its venue spells it.")]
Position = Annotated[tuple[int, int], Meta(description="A log offset: of a raw record, and within it; -1 is its end.")]
Id = Annotated[int | str, Meta(description="A number, or a text that is none.")]


class OracleBody(msgspec.Struct, forbid_unknown_fields=True):
    """What an oracle says of a mark beside it; ``models.prices.OracleTerms`` says what each column means."""

    exponent: int
    average: Amount | None
    confidence: Amount | None
    session: str | None


class MarkBody(msgspec.Struct, forbid_unknown_fields=True):
    """The newest mark of a source's symbol; ``models.prices.Mark`` says what each column means."""

    mark: Amount
    index: E18 | None
    funding_rate: E18 | None
    next_funding_ms: UnixMs | None
    event_ms: UnixMs
    received_ms: UnixMs
    offset: Annotated[int, Meta(ge=0, description="Of the tick in its partition of price-ticks.")]
    clock_ahead_ms: int | UnsetType = UNSET
    max_late_ms: int | UnsetType = UNSET
    oracle: OracleBody | UnsetType = UNSET


class RulesBody(msgspec.Struct, forbid_unknown_fields=True):
    """How a symbol is quoted."""

    status: str
    base_asset: str
    quote_asset: str
    price_precision: int
    quantity_precision: int
    tick_e18: Amount | None
    step_e18: Amount | None
    max_quantity_e18: Amount | None
    min_notional_e18: Amount | None
    received_ms: UnixMs


class TickerBody(msgspec.Struct, forbid_unknown_fields=True):
    """A symbol's last 24 hours."""

    price_change_percent_e18: E18
    quote_volume_e18: Amount
    received_ms: UnixMs


class FundingTermsBody(msgspec.Struct, forbid_unknown_fields=True):
    """A symbol's funding terms."""

    interval_s: int
    cap_e18: E18 | None
    floor_e18: E18 | None
    received_ms: UnixMs


class InstrumentBody(msgspec.Struct, forbid_unknown_fields=True):
    """The newest fact of each kind that a source said of a symbol; null where it said none."""

    rules: RulesBody | None
    ticker: TickerBody | None
    funding: FundingTermsBody | None


class GapBody(msgspec.Struct, forbid_unknown_fields=True):
    """A range of log offsets whose logs were not routed; ``until`` is null while it is open."""

    since: Position
    block: int
    reason: str
    until: Position | None


class DeploymentBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How far a deployment is routed; ``models.deployments.DeploymentState`` says what each column means."""

    position: Position
    head: int
    head_time_s: int
    final: int
    begun_at: int | None
    begun_block: int | UnsetType = UNSET
    gaps: list[GapBody]


class WatermarkBody(msgspec.Struct, forbid_unknown_fields=True):
    """How far a deployment is folded in one partition; ``models.watermarks`` says what each column means."""

    applied: Position
    head: int
    head_time_s: int
    final: int
    unsupported_since: int | None
    reason: str
    enumerated: bool


class MadeFrom(msgspec.Struct, forbid_unknown_fields=True):
    """What figures were made from, beside what their row names anyway (``models.provenance``)."""

    at_ms: UnixMs
    venue: Annotated[str, Meta(description="The venue's kind and the version of its figures.")]
    settings: Annotated[str, Meta(description="The name of settings on the topic figure-settings.")]
    references: dict[str, tuple[int, int]] | UnsetType = UNSET


class MadeFromInputs(MadeFrom, kw_only=True, forbid_unknown_fields=True):
    """The same with the account's row and each mark's offset, for where the valuation's columns are not at hand."""

    account_order: tuple[int, int]
    position: Position
    marks: dict[str, int]
    stale: Annotated[list[str], Meta(description="The keys of marks that were stale.")] | UnsetType = UNSET


class PositionBody(msgspec.Struct, forbid_unknown_fields=True):
    """One open position at its mark (``models.valuations``)."""

    quote: Id
    symbol: Id
    side: str
    quantity: Amount
    opened_price: E18
    mark: Amount | None
    mark_key: str | None
    mark_offset: int | None
    upnl: E18 | None
    notional: Amount | None
    stale: bool
    party_b: Address | UnsetType = UNSET


class ValuationBody(msgspec.Struct):
    """An account valued: the columns that every venue has (``models.valuations``); a venue adds its own."""

    account_order: Annotated[tuple[int, int], Meta(description="Term and version of the account's row.")]
    position: Position
    status: str
    stale: int
    unpriced: int
    upnl: E18 | None
    notional: Amount | None
    equity: E18 | None
    available_balance: E18 | None
    liquidatable: bool | None
    distance_bps: int | None
    as_of_ms: UnixMs | None
    positions: list[PositionBody]
    owner: Address | None
    last_complete: dict[str, Any] | None
    liquidatable_hedgers: list[Address] | UnsetType = UNSET
    made_from: MadeFrom | UnsetType = UNSET


class SumMadeFrom(msgspec.Struct, forbid_unknown_fields=True):
    """The instant of a sum: it is of the rows that stood then."""

    at_ms: UnixMs


class SubtotalBody(msgspec.Struct, forbid_unknown_fields=True):
    """A sum over one partition's accounts: of a hedger or of those without one, or of a market's sides."""

    positions: int
    unpriced: int
    as_of_ms: UnixMs | None
    unknown_accounts: int | UnsetType = UNSET
    upnl: E18 | UnsetType | None = UNSET
    notional: Amount | UnsetType | None = UNSET
    long_quantity: Amount | UnsetType = UNSET
    short_quantity: Amount | UnsetType = UNSET
    long_notional: Amount | UnsetType | None = UNSET
    short_notional: Amount | UnsetType | None = UNSET
    made_from: SumMadeFrom | UnsetType = UNSET


class TransitionBody(msgspec.Struct, forbid_unknown_fields=True):
    """An alarm that came on or went off, and the valuation that it was seen in; columns of no meaning are absent."""

    id: str
    kind: str
    as_of_ms: UnixMs | None
    status: str
    stale: int
    unpriced: int
    upnl: E18 | None
    notional: Amount | None
    available_balance: E18 | None
    distance_bps: int | None
    hedger: Address | UnsetType = UNSET
    block: int | UnsetType = UNSET
    liquidating: bool | UnsetType = UNSET
    made_from: MadeFromInputs | UnsetType = UNSET


class AlertsBody(msgspec.Struct, forbid_unknown_fields=True):
    """The alarms of an account that are on, how many transitions there ever were, and the newest of them first.

    ``hedgers_since_ms`` are those that can be liquidated toward the account, and since when; ``hedger_transitions`` are
    the newest of theirs, and ``hedger_transitions_gone`` is the number of the newest for which there was no place. Each
    is absent where there is none.
    """

    alarms: list[str]
    count: int
    transitions: list[TransitionBody]
    hedgers_since_ms: dict[Address, UnixMs] | UnsetType = UNSET
    hedger_transitions: list[TransitionBody] | UnsetType = UNSET
    hedger_transitions_gone: int | UnsetType = UNSET


class MissedRecords(msgspec.Struct, forbid_unknown_fields=True):
    """The records that an account missed while its row could not be read: the first and the last of them."""

    first: Position
    last: Position
    cause: str


class MissedBody(msgspec.Struct, forbid_unknown_fields=True):
    """A row of ``accounts`` that could not be read when records came; ``row`` is the body of before, its venue's."""

    missed: MissedRecords
    row: msgspec.Raw


MISSED_BEGINS = b'{"missed":{'
"""How the body of an account with missed records begins, and no venue's."""


class ReferenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """The newest record of a reference, and where it stands; ``text`` is null where it was taken away."""

    text: str | None
    partition: int
    offset: int


class StatementBody(msgspec.Struct, forbid_unknown_fields=True):
    """What an account shows beside its valuation, as its venue says it; events are [number, offset, index, event]."""

    position: Position
    statement: dict[str, Any]
    events: list[tuple[int, int, int, dict[str, Any]]]


BODIES: dict[str, type[msgspec.Struct]] = {
    "accounts": MissedBody,
    "marks": MarkBody,
    "instruments": InstrumentBody,
    "deployments": DeploymentBody,
    "watermarks": WatermarkBody,
    "valuations": ValuationBody,
    "subtotals": SubtotalBody,
    "alerts": AlertsBody,
    "references": ReferenceBody,
    "statements": StatementBody,
}
"""The type of each table's bodies that core writes; those that venues write are theirs."""
