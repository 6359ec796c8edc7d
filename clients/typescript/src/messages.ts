// generate_types.py writes this after api/asyncapi.yaml.

/** Told apart by `type`. */
export type ServerMessage = Hello | Ack | Error | Snapshot | Delta | Heartbeat | Goodbye;

/** The first message. */
export type Hello = {
  readonly type: "hello";
  readonly protocol: "tidemark.v1.json";
  /** Tells this connection from others, for a person who looks for it. */
  readonly connection: string;
  /** The name of the rebuild that is served, on this connection for as long as it lasts. */
  readonly epoch: number;
  readonly server_time_ns: Nanoseconds;
  /** From one heartbeat to the next. */
  readonly heartbeat_ms: Milliseconds;
  readonly auth: "open" | "required" | "done";
  readonly limits: {
    readonly subscriptions: number;
    readonly message_bytes: number;
    readonly messages_per_s: number;
    readonly messages_burst: number;
  };
};

/** Nanoseconds since 1970 as decimal text. */
export type Nanoseconds = string;

export type Milliseconds = number;

/** A request was done. */
export type Ack = {
  readonly type: "ack";
  readonly id: Id;
  readonly op: "subscribe";
  /** Each key once, in the order in which `keys` first names it. */
  readonly subs: readonly (Subscription)[];
} | {
  readonly type: "ack";
  readonly id: Id;
  readonly op: "auth";
  /** When the token expires; absent where it does not. */
  readonly expires_ns?: Nanoseconds;
} | {
  readonly type: "ack";
  readonly id: Id;
  readonly op: "unsubscribe" | "resync" | "ping";
};

/** Any number of the client's; it comes back. */
export type Id = number;

export type Subscription = {
  readonly sub: Sub;
  readonly channel: Channel;
  /** In the spelling that is served, whatever that of the request was: EVM addresses in lower case. */
  readonly key: string;
  readonly interval_ms: Milliseconds;
  /** True: no snapshot follows; what the client holds stands, or a delta from it comes. */
  readonly resumed: boolean;
};

/** A subscription's number on this connection, where it is never used again. */
export type Sub = number;

export type Channel = "account" | "valuations" | "positions" | "marks" | "totals" | "alerts" | "position-states" | "funding";

/** A request was not done, nor any part of it. */
export type Error = {
  readonly type: "error";
  /** That of the request, if it had one and was read. */
  readonly id?: Id;
  readonly code: "bad_message" | "bad_channel" | "bad_key" | "bad_subscription" | "not_authenticated" | "forbidden" | "too_many_subscriptions" | "too_many_messages" | "too_many_connections" | "try_again";
  /** What was found and expected, for a person. */
  readonly message: string;
  /** Whether the same request may be done later. */
  readonly temporary: boolean;
  readonly retry_after_ms?: Milliseconds;
};

/** A state as a whole: drop what you had. */
export type Snapshot = {
  readonly type: "snapshot";
  readonly sub: Sub;
  readonly epoch: number;
  readonly seq: Seq;
  readonly data: State;
};

/** Tells a state from others; compare it for equality, nothing else. */
export type Seq = readonly (number)[];

/** What stands, by the subscription's channel. */
export type State = Account | Figures | AccountPositions | Mark | NoMark | Totals | Alerts | PositionStates | NoneOfAccount | Funding | NoFunding;

/** An account with its positions; these are absent where the deployment is unsupported. */
export type Account = Figures & {
  readonly positions?: Positions;
};

/** An account without its positions. */
export type Figures = {
  readonly account: AccountKey;
  readonly deployment: DeploymentName;
  readonly address: AccountId;
  readonly status: AccountStatus;
  /** The owner, where the venue names one. */
  readonly owner?: AccountId;
  /** The MultiAccount that made the account. */
  readonly multi_account?: Address;
  /** What its owner called it there. */
  readonly name?: string;
  /** Unrealised profit and loss of the prices alone, at marks, before fees; the same at every venue. */
  readonly upnl?: Decimal;
  /** What the venue itself counts, such as uPnL less the fees of closing; absent where that is `upnl`. */
  readonly upnl_net?: Decimal;
  /** The same, with no more from a hedger than it allocated to the account. */
  readonly upnl_capped?: Decimal;
  /** At marks: the sum of abs(quantity) times mark. */
  readonly notional?: Decimal;
  /** At opened prices. */
  readonly notional_opened?: Decimal;
  /** What the account is worth. At SYMMIO: allocated balance and `upnl`. Of a ledger: its margin wallets and `upnl_net`. */
  readonly equity?: Decimal;
  /** Equity less what the venue requires: at SYMMIO what is locked for CVA and liquidation fee, of a ledger its maintenance margin. Below zero the account can be liquidated. */
  readonly available_balance?: Decimal;
  /** What a new quote may lock. */
  readonly available_for_quote?: Decimal;
  /** Allocated balance. */
  readonly allocated?: Decimal;
  readonly locked?: Locked;
  readonly pending?: Locked;
  /** Whether the venue would let the account be liquidated at these marks. */
  readonly liquidatable?: boolean;
  /** What a liquidation at these marks would use up; only while `liquidatable`. */
  readonly liquidation?: {
    /** What is missing is less than the locked liquidation fee; or that fee and the locked cva; or more. */
    readonly class: "normal" | "late" | "overdue";
    /** What is left of the liquidation fee for liquidators. */
    readonly fee: Decimal;
    /** What parties B would miss. */
    readonly deficit: Decimal;
  };
  /** Whether its liquidation has begun on chain. */
  readonly liquidating?: boolean;
  /** By how many hundredths of a percent of the notional the uPnL may fall until it can be liquidated, while what is required stays the same; negative beyond that. */
  readonly distance_bps?: number;
  /** Positions whose figures are too old; `stale_because` says why. */
  readonly stale?: number;
  readonly stale_because?: StaleBecause;
  /** Positions without a mark. */
  readonly unpriced?: number;
  readonly open_positions?: number;
  /** The last block that touched the account; at SYMMIO. */
  readonly block?: BlockNumber;
  /** The number of the last record of a ledger that the account was folded from. */
  readonly seq?: string;
  readonly block_time?: Instant;
  readonly block_time_ns?: Nanoseconds;
  /** When the oldest mark in use was true, by its venue's clock; the block's time where no mark is used. */
  readonly as_of?: Instant;
  readonly as_of_ns?: Nanoseconds;
  readonly last_complete?: LastComplete;
};

/** `<deployment>:<account>`; an address is in lower case. */
export type AccountKey = string;

/** A deployment as the configuration names it. */
export type DeploymentName = string;

/** What its venue calls it; an address is in lower case. */
export type AccountId = string;

/** * `valued`: every figure is known. * `unpriced`: a position has no price, so figures that depend on prices are unknown; `last_complete` are the last known ones. * `suspect`: a record of the account could not be folded; it is frozen, its figures are unknown. * `unsupported`: the deployment's logs are not understood since some block; figures of all its accounts are unknown. * `unreadable`: the account's row cannot be read; its figures are unknown. * `nobody`: the only blocks that named the account were rolled back (websocket only; REST answers 404). * `absent`: there is no row of the account, which may be because it is not folded yet (websocket only; REST answers 404 or 503). */
export type AccountStatus = "valued" | "unpriced" | "suspect" | "unsupported" | "unreadable" | "nobody" | "absent";

/** An address in lower case. */
export type Address = string;

/** An exact decimal number. */
export type Decimal = string;

/** Amounts that are locked, by what for. */
export type Locked = {
  /** Credit valuation adjustment. */
  readonly cva: Decimal;
  /** Liquidation fee. */
  readonly lf: Decimal;
  /** The account's maintenance margin. */
  readonly party_a_mm: Decimal;
  /** The hedger's maintenance margin. */
  readonly party_b_mm: Decimal;
};

/** Why it is older than it looks; absent where it is not. Kinds of parts that are stale (see `/v1/status`), `prices` where a position's mark is too old, `row` where the marks that the row was valued at are, and `venue` where nobody folds the records of its deployment, because its venue is not installed. */
export type StaleBecause = readonly ("broker" | "chain" | "prices" | "row" | "venue" | "worker")[];

export type BlockNumber = number;

/** RFC 3339, UTC, with milliseconds. */
export type Instant = string;

/** What was known before a price was missing. At SYMMIO it has `allocated`, `locked` and `pending` too. */
export type LastComplete = {
  readonly upnl: Decimal;
  /** The venue's own uPnL, where it is another one, as of an account. */
  readonly upnl_net?: Decimal;
  readonly notional: Decimal;
  readonly equity?: Decimal;
  readonly available_balance: Decimal;
  readonly allocated?: Decimal;
  readonly locked?: Locked;
  readonly pending?: Locked;
  readonly as_of: Instant;
  readonly as_of_ns: Nanoseconds;
};

/** By id. */
export type Positions = { readonly [name: string]: Position };

/** An open position; at SYMMIO it is a quote of the chain. */
export type Position = {
  readonly quote_id: VenueId;
  readonly symbol_id: VenueId;
  readonly side: "long" | "short";
  /** The hedger, where the venue has one for each position. */
  readonly party_b?: Address;
  readonly quantity: Decimal;
  readonly opened_price: Decimal;
  /** The price it is valued at. */
  readonly mark?: Decimal;
  /** Whose price that is. */
  readonly market?: MarkKey;
  /** Where the price stands in its partition of the topic of prices. */
  readonly mark_offset?: number;
  readonly upnl?: Decimal;
  readonly notional?: Decimal;
  /** Whether the mark, or what it is multiplied by, is too old. */
  readonly stale: boolean;
  /** The price at which the account could be liquidated while all others stand, if there is one. */
  readonly liquidation_price?: Decimal;
  /** How far that is from the mark, in hundredths of a percent of it. */
  readonly liquidation_distance_bps?: number;
};

/** What its venue calls a position or a market, a number or a text. */
export type VenueId = number | string;

/** `<source>:<SYMBOL>`. */
export type MarkKey = string;

/** Where the deployment is unsupported, there are no `positions` but the account's `status`. */
export type AccountPositions = {
  readonly account: AccountKey;
  readonly positions?: Positions;
  readonly deployment?: DeploymentName;
  readonly address?: AccountId;
  readonly status?: AccountStatus;
};

/** The newest price of a symbol from one source. */
export type Mark = {
  readonly market: MarkKey;
  readonly source: string;
  readonly symbol: string;
  readonly mark: Decimal;
  readonly index?: Decimal;
  /** The venue's, a fraction per funding interval. */
  readonly funding_rate?: Decimal;
  readonly next_funding?: Instant;
  readonly next_funding_ns?: Nanoseconds;
  /** When it was true, by the venue's clock. */
  readonly event: Instant;
  readonly event_ns: Nanoseconds;
  /** When it came in, by our clock. */
  readonly received: Instant;
  readonly received_ns: Nanoseconds;
  /** Where it stands in its partition of the topic of prices. */
  readonly offset: number;
};

/** A mark that never came in, or, with the status, whose row cannot be read. */
export type NoMark = {
  readonly market: MarkKey;
  readonly status?: "unreadable";
};

/** Sums over a deployment's accounts; at the top the accounts' side. Money is absent where a position is unpriced or an account unknown, never a partial sum. Nothing but `deployment` where no position was ever counted, but `stale_because` where nobody folds the deployment (`venue`), and but the status where a row of the sums cannot be read. */
export type Totals = {
  readonly deployment: DeploymentName;
  readonly status?: "unreadable";
  readonly positions?: number;
  readonly unpriced?: number;
  /** How many accounts are suspect or unsupported without a position that is known; each may have any, so no money is told of any sum of the deployment. Absent where there are none. */
  readonly unknown_accounts?: number;
  readonly upnl?: Decimal;
  readonly notional?: Decimal;
  readonly as_of?: Instant;
  readonly as_of_ns?: Nanoseconds;
  readonly stale_because?: StaleBecause;
  /** By address. */
  readonly hedgers?: { readonly [name: string]: HedgerTotals };
  /** By the market's id. */
  readonly symbols?: { readonly [name: string]: SymbolTotals };
};

/** A hedger's side. Money is absent where a position is unpriced or an account of the deployment unknown, never a partial sum. */
export type HedgerTotals = {
  readonly positions: number;
  readonly unpriced: number;
  /** The hedger's; minus that of its counterparties. */
  readonly upnl?: Decimal;
  readonly notional?: Decimal;
  /** That of the oldest addend, in whole seconds. */
  readonly as_of?: Instant;
  readonly as_of_ns?: Nanoseconds;
};

/** What is open in a market. Money is absent where a position is unpriced or an account of the deployment unknown, never a partial sum. */
export type SymbolTotals = {
  readonly positions: number;
  readonly unpriced: number;
  readonly long_quantity: Decimal;
  readonly short_quantity: Decimal;
  readonly long_notional?: Decimal;
  readonly short_notional?: Decimal;
  readonly as_of?: Instant;
  readonly as_of_ns?: Nanoseconds;
};

/** Which alarms of an account are on, and its newest transitions. What cannot be seen stays as it was: an account is not called recovered while it is unpriced, and of one that is unknown nothing else is said. */
export type Alerts = {
  readonly stale_because?: StaleBecause;
  readonly account: AccountKey;
  readonly deployment: DeploymentName;
  readonly address: AccountId;
  /** Those that are on, by name. */
  readonly alarms: { readonly [name: string]: Alarm };
  /** The hedgers that can be liquidated toward the account, and since when; absent where there are none. */
  readonly hedgers?: { readonly [name: string]: Alarm };
  /** The eight newest of each alarm, and of each hedger's, newest first; of all hedgers together at most 128. */
  readonly transitions: readonly (Transition)[];
};

export type Alarm = {
  /** When it was seen to come on; as of when where the row does not say that. */
  readonly since: Instant;
  readonly since_ns: Nanoseconds;
};

/** An alarm came on or went off, once. Money is what the account was worth then; what was not known is absent. */
export type Transition = {
  /** Tells the transition from all others. */
  readonly id: string;
  readonly kind: TransitionKind;
  /** Whom `hedger_liquidatable` and `hedger_recovered` are of; absent otherwise. */
  readonly hedger?: Address;
  readonly status: AccountStatus;
  /** When the oldest mark in use was true; the block's time where none was. */
  readonly as_of: Instant;
  readonly as_of_ns: Nanoseconds;
  /** The last block that had touched the account. */
  readonly block: BlockNumber;
  /** Positions whose mark was too old. */
  readonly stale: number;
  /** Positions without a mark. */
  readonly unpriced: number;
  /** Whether its liquidation had begun on chain. */
  readonly liquidating: boolean;
  readonly upnl?: Decimal;
  readonly notional?: Decimal;
  readonly available_balance?: Decimal;
  /** How far the account was from liquidation, in hundredths of a percent of the notional; negative beyond that. */
  readonly distance_bps?: number;
};

/** The alarm that came on, or that it went off as `recovered`, `fresh`, `priced`, `known` and `hedger_recovered`, in the order of the alarms. */
export type TransitionKind = "liquidatable" | "recovered" | "stale" | "fresh" | "unpriced" | "priced" | "unknown" | "known" | "hedger_liquidatable" | "hedger_recovered";

/** An account's newest position states, at most 128. */
export type PositionStates = {
  readonly account: AccountKey;
  readonly deployment: DeploymentName;
  readonly address: Address;
  /** By id. */
  readonly states: { readonly [name: string]: PositionState };
};

/** A notification about a position: what the solver's engine said of it, or what the chain did. Under one id the latest version stands. */
export type PositionState = {
  readonly id: string;
  /** Who says so. */
  readonly source: "engine" | "chain";
  readonly version: number;
  readonly quote_id?: number;
  /** What the engine calls a quote before the chain gives it its `quote_id`. */
  readonly temp_quote_id?: number;
  readonly symbol_id?: number;
  readonly filled_amount_open?: Decimal;
  readonly filled_amount_close?: Decimal;
  readonly avg_price_open?: Decimal;
  readonly avg_price_close?: Decimal;
  /** What was done. */
  readonly last_seen_action: string;
  readonly action_status: "seen" | "success" | "failed";
  /** `report` is of something that goes on, such as an order filled in part. */
  readonly state_type: "alert" | "report" | "warning";
  readonly failure_type?: string;
  readonly failure_message?: string;
  /** One of those that the solver publishes. */
  readonly error_code?: number;
  /** 0: limit; 1: market. */
  readonly order_type?: 0 | 1;
  /** That of the chain's log. */
  readonly block?: BlockNumber;
  readonly created: Instant;
  readonly created_ns: Nanoseconds;
  readonly modified: Instant;
  readonly modified_ns: Nanoseconds;
};

/** An account of which there are no alerts or position states, or, with the status, whose row cannot be read. */
export type NoneOfAccount = {
  readonly account: AccountKey;
  readonly status?: "unreadable";
};

/** What longs and shorts pay or get in a market's next funding epoch, as fractions of a position's value: negative where the account pays, positive where the hedger does. */
export type Funding = {
  readonly funding: FundingKey;
  readonly deployment: DeploymentName;
  readonly symbol: string;
  readonly long_rate: Decimal;
  readonly short_rate: Decimal;
  /** How long an epoch is. */
  readonly epoch_s: number;
  /** When the next epoch begins. */
  readonly next: Instant;
  readonly next_ns: Nanoseconds;
};

/** `<deployment>:<SYMBOL>`. */
export type FundingKey = string;

/** A market without funding rates, or, with the status, of which a row cannot be read. */
export type NoFunding = {
  readonly funding: FundingKey;
  readonly status?: "unreadable";
};

/** What changed from `prev` to `seq`. */
export type Delta = {
  readonly type: "delta";
  readonly sub: Sub;
  readonly prev: Seq;
  readonly seq: Seq;
  readonly data: MergePatch;
};

/** A merge patch of RFC 7396 with absolute values; null takes a field away. */
export type MergePatch = { readonly [name: string]: unknown };

/** That the server lives, and how late its figures are. */
export type Heartbeat = {
  readonly type: "heartbeat";
  /** Everything here is a replay of this instant of the past; absent where nothing is replayed. */
  readonly replay_of?: Instant;
  readonly server_time_ns: Nanoseconds;
  readonly is_ready: boolean;
  /** How old figures may be for want of records or of whoever writes them; 0 where nothing is late. */
  readonly lag_ms: Milliseconds;
  /** Parts that make figures old, with their ages in ms; none where everything is fresh. */
  readonly stale: { readonly [name: string]: Milliseconds };
  readonly deployments: { readonly [name: string]: DeploymentStatus };
  readonly sources: { readonly [name: string]: SourceState };
};

export type DeploymentStatus = {
  /** `unknown`: no block of it has been read yet, or its venue is not installed. `stale`: what it depends on is (its ingest, a worker, the broker), or a worker does not fold it, see `parts`. */
  readonly status: "followed" | "stale" | "unsupported" | "unknown";
  /** The newest block known. */
  readonly head?: BlockNumber;
  readonly head_time?: Instant;
  readonly head_time_ns?: Nanoseconds;
  /** Nothing at or below this block is rolled back; -1 where nothing is final yet. */
  readonly final?: number;
  /** The newest block that all accounts have taken in. */
  readonly folded_head?: BlockNumber;
  readonly unsupported_since?: BlockNumber;
  readonly unsupported_reason?: string;
  /** Why nothing is known of it where its venue is not installed, and what to install. */
  readonly reason?: string;
};

/** `stale`: its newest mark is older than its marks are held to be fresh, or came later than they may. `silent`: nothing came for a minute. */
export type SourceState = "live" | "stale" | "silent";

/** The server goes away, or wants you on another replica. */
export type Goodbye = {
  readonly type: "goodbye";
  readonly reason: string;
  /** Connect again after so long. */
  readonly reconnect_in_ms: Milliseconds;
};

/** Told apart by `op`. */
export type ClientMessage = Auth | Subscribe | Unsubscribe | Resync | Ping;

export type Auth = {
  readonly op: "auth";
  readonly id: Id;
  readonly token: string;
};

export type Subscribe = {
  readonly op: "subscribe";
  readonly id: Id;
  readonly channel: Channel;
  /** As many as fit into the message and into `limits.subscriptions`; where one is refused, all are. */
  readonly keys: readonly (string)[];
  /** The shortest time between two messages of a subscription; 0: each change as it comes. */
  readonly interval_ms?: number;
  /** What the client holds, by key, in any spelling. */
  readonly resume?: { readonly [name: string]: {
    readonly epoch: number;
    readonly seq: Seq;
  } };
};

export type Unsubscribe = {
  readonly op: "unsubscribe";
  readonly id: Id;
  readonly subs: readonly (Sub)[];
};

export type Resync = {
  readonly op: "resync";
  readonly id: Id;
  readonly sub: Sub;
};

export type Ping = {
  readonly op: "ping";
  readonly id: Id;
};
