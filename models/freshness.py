"""How old what is shown may be, and what is said of what is older. Pure: every instant is handed in, in Unix ms.

A **part** is something that has to go on for figures to stay fresh: the broker, the owner of a partition, the ingest of
a chain or of prices, the funder. It has one age or several, each with its bound, and is stale while any is beyond it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from models.errors import BadRow
from models.heartbeats import ChainBeat, FunderBeat, HistoryBeat, PricesBeat, WorkerBeat

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from models.heartbeats import Beat

Body = dict[str, Any]

SETTLE_MS = 5_000
"""What was stale is called fresh again when it has not been stale for so long: six transitions in 11 s were seen."""

# A worker's bound on the age of rows is what it needs for a round where more wait than it would like. One row in a
# round takes half as long again (models/engine/pace.py), and the bound itself moves.
_ROWS_MARGIN = 2
_ROWS_LEAST_MS = 10_000
HISTORY_MS = 60_000
"""So long ago, in ms, all that was shown may last have been read into history: nobody watches its charts for less."""


class State(StrEnum):
    """Whether a part goes on; ``unknown``: nothing was ever heard of it."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


class Bounds(NamedTuple):
    """How old things may be, in ms.

    Attributes:
        broker_ms: The broker's newest answer.
        process_ms: A process's newest heartbeat.
        outside_ms: The newest word of a node or a venue.
        head_ms: The newest block, by its own time.
        row_ms: The oldest mark that an account's row was valued at.
    """

    broker_ms: int
    process_ms: int
    outside_ms: int
    head_ms: int
    row_ms: int


class Age(NamedTuple):
    """An age of a part: in words what it counts from, how old that is, and how old it may be, in ms.

    ``is_known`` is False where nothing has come yet that it would count from: ``age_ms`` is beyond the bound then.
    """

    since: str
    age_ms: int
    bound_ms: int
    is_known: bool = True

    @property
    def is_over(self) -> bool:
        """Whether it is older than it may be."""
        return self.age_ms > self.bound_ms


class Part(NamedTuple):
    """What is known of a part now; ``age_ms`` is the age that is furthest beyond its bound, else that of its word."""

    name: str
    state: State
    since: str
    age_ms: int | None
    bound_ms: int
    is_known: bool = True

    @property
    def kind(self) -> str:
        """The part's kind, which is what a row names that is stale because of it."""
        return self.name.partition(":")[0]

    @property
    def reason(self) -> str:
        """A sentence for a person."""
        if self.age_ms is None:
            return f"{self.name} was never heard of"
        if not self.is_known:
            return f"{self.name}: {self.since} is not known yet"
        if self.age_ms > self.bound_ms:
            return f"{self.name}: {self.since} is {self.age_ms} ms old, expected at most {self.bound_ms} ms"
        return f"{self.name}: {self.since} is recent again, and is watched for {SETTLE_MS} ms"


def is_settling(stale_ms: int, now_ms: int) -> bool:
    """Whether what was last seen stale at an instant is not to be called fresh yet, though it looks so."""
    # A clock that was set back must not hold it for longer than that.
    return abs(now_ms - stale_ms) < SETTLE_MS


class Steady:
    """Says that something is stale from the moment it is, and fresh again when it has not been stale for ``SETTLE_MS``.

    At first it takes what it sees.
    """

    __slots__ = ("_stale_ms",)

    def __init__(self) -> None:
        self._stale_ms: int | None = None

    def is_stale(self, *, seen_stale: bool, now_ms: int) -> bool:
        """Take in what is seen at an instant, and return what is to be said of it."""
        if seen_stale:
            self._stale_ms = now_ms
        elif self._stale_ms is not None and not is_settling(self._stale_ms, now_ms):
            self._stale_ms = None
        return self._stale_ms is not None


def ages_of(beat: Beat, heard_ms: int, now_ms: int, bounds: Bounds) -> tuple[Age, ...]:
    """The ages of what a heartbeat is of.

    Args:
        beat: The newest heartbeat.
        heard_ms: When it was heard.
        now_ms: The instant.
        bounds: How old what may be.
    """
    # Neither a writer whose clock is ahead nor a record that came late makes a word newer than it is.
    word = Age("its last word", max(0, now_ms - min(beat.at_ms, heard_ms)), bounds.process_ms)
    match beat:
        case WorkerBeat():
            rows_ms = max(_ROWS_LEAST_MS, _ROWS_MARGIN * beat.behind_max_ms)
            return word, Age("the row that waits longest", beat.behind_ms, rows_ms)
        case ChainBeat():
            return (
                word,
                _age_since("the last time in step with its node", beat, beat.in_step_ms, word, bounds.outside_ms),
                Age("the newest block", max(0, now_ms - beat.head_time_s * 1_000), bounds.head_ms)
                if beat.head_time_s
                else _unknown("the newest block", word, bounds.head_ms),
            )
        case PricesBeat():
            return word, _age_since("the newest price", beat, beat.heard_ms, word, bounds.outside_ms)
        case HistoryBeat():
            since = "the last time it had read all that was shown"
            return word, _age_since(since, beat, beat.in_step_ms, word, HISTORY_MS)
        case FunderBeat():
            return (word,)
        case _:
            assert_never(beat)


def chain_known_ms(beat: ChainBeat, heard_ms: int) -> int:
    """As of when a deployment's chain is known: when the topic last stood at the node's head, or that block's time."""
    word_ms = min(beat.at_ms, heard_ms)
    in_step_ms = 0 if beat.in_step_ms > beat.at_ms else beat.in_step_ms
    return min(word_ms, max(word_ms - (beat.at_ms - in_step_ms), beat.head_time_s * 1_000))


def _age_since(
    since: str, beat: ChainBeat | PricesBeat | HistoryBeat, instant_ms: int, word: Age, bound_ms: int
) -> Age:
    """The age of something at an instant of its writer's own clock, which may be wrong; 0 where it never was.

    What it says to have come after its heartbeat, as happens when its clock was set back, is as good as never.
    """
    if not 0 < instant_ms <= beat.at_ms:
        return _unknown(since, word, bound_ms)
    return Age(since, word.age_ms + beat.at_ms - instant_ms, bound_ms)


def _unknown(since: str, word: Age, bound_ms: int) -> Age:
    return Age(since, max(word.age_ms, bound_ms + 1), bound_ms, is_known=False)


def part_of(name: str, ages: Sequence[Age], steady: Steady, now_ms: int) -> Part:
    """What is to be said of a part at an instant.

    Args:
        name: The part.
        ages: Its ages; none where nothing was ever heard of it.
        steady: What was said of it before.
        now_ms: The instant.
    """
    if not ages:
        return Part(name, State.UNKNOWN, "", None, 0)
    is_stale = steady.is_stale(seen_stale=any(age.is_over for age in ages), now_ms=now_ms)
    worst = max(ages, key=lambda age: age.age_ms - age.bound_ms) if any(age.is_over for age in ages) else ages[0]
    return Part(name, State.STALE if is_stale else State.FRESH, *worst)


class Aging(NamedTuple):
    """Why what an account's row says is old, and whose marks are too old.

    Attributes:
        because: The causes, in order of the alphabet: kinds of parts, ``prices``, ``row`` or ``venue``; none where the
            row is as fresh as it says.
        symbols: Symbol ids whose marks are too old now.
    """

    because: tuple[str, ...] = ()
    symbols: tuple[int | str, ...] = ()


AS_IT_SAYS = Aging()
"""The row is as fresh as it says."""
PRICES = "prices"
ROW = "row"
VENUE = "venue"
"""The cause where nobody folds a deployment's records: its venue is not installed."""


def aging_of(
    causes: Collection[str], body: Mapping[str, Any], stale_symbols: AbstractSet[int | str], *, now_ms: int, row_ms: int
) -> Aging:
    """Find why an account's row is older than it says.

    Args:
        causes: Kinds of the parts that are stale, among those that the account depends on, and ``venue``.
        body: Body of its ``valuations`` row.
        stale_symbols: Symbol ids of its deployment whose marks are too old now.
        now_ms: The instant.
        row_ms: How old the oldest mark may be that the row was valued at.

    Raises:
        BadRow: The body lacks what it must have.
    """
    because = set(causes)
    try:
        positions, conversions = body["positions"], body.get("conversions", ())
        markets = {*(position["symbol"] for position in positions), *conversions} if stale_symbols else set()
        symbols = markets & stale_symbols
        if (positions or conversions) and now_ms - body["as_of_ms"] > row_ms:
            because.add(ROW)
    except (KeyError, TypeError) as error:
        raise _bad(body, error) from error
    if symbols:
        because.add(PRICES)
    # A package may have ids of both kinds, of which Python knows no order.
    in_order = sorted(symbols, key=lambda symbol: (isinstance(symbol, str), symbol))
    return Aging(tuple(sorted(because)), tuple(in_order)) if because else AS_IT_SAYS


def aged(body: Body, aging: Aging) -> Body:
    """Say over a ``valuations`` row's body what is old in it: ``stale_because``, and each position concerned is stale.

    The body is returned as it is where nothing is.

    Raises:
        BadRow: The body lacks what it must have.
    """
    try:
        if aging == AS_IT_SAYS and not body["stale"]:
            return body
        # Which positions a conversion concerns the row does not say.
        is_all = bool(set(aging.because) - {PRICES}) or not set(aging.symbols).isdisjoint(body.get("conversions", ()))
        positions = [
            {**position, "stale": True}
            if position["mark"] is not None and (is_all or position["symbol"] in aging.symbols)
            else position
            for position in body["positions"]
        ]
        before = sum(1 for position in body["positions"] if position["stale"])
        stale = body["stale"] - before + sum(1 for position in positions if position["stale"])
    except (KeyError, TypeError) as error:
        raise _bad(body, error) from error
    because = sorted({*aging.because, PRICES} if stale and not aging.because else aging.because)
    if not because:
        return body
    return {**body, "positions": positions, "stale": stale, "stale_because": because}


def with_causes(view: Body, causes: Collection[str]) -> Body:
    """Say over a view why it may be old: ``stale_because``. The view is returned as it is where nothing is.

    Args:
        view: Of a row that holds no figures at marks, such as that of alerts.
        causes: Kinds of stale parts, and ``venue``.
    """
    return {**view, "stale_because": sorted(causes)} if causes else view


def dated(body: Body, known_ms: int | None) -> Body:
    """Let nothing in a ``valuations`` row's body be dated later than ``known_ms``; None where all dates may stand.

    Raises:
        BadRow: The body lacks what it must have.
    """
    if known_ms is None:
        return body
    try:
        last = body["last_complete"]
        if last is not None:
            last = {**last, "as_of_ms": min(last["as_of_ms"], known_ms)}
        return {**body, "as_of_ms": min(body["as_of_ms"], known_ms), "last_complete": last}
    except (KeyError, TypeError) as error:
        raise _bad(body, error) from error


def _bad(body: Mapping[str, Any], error: Exception) -> BadRow:
    return BadRow(f"expected the body of a valuations row, found {dict(body)!r:.200} ({error!r})")
