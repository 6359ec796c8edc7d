"""What a venue brings: how its records become accounts, and what an account of it is worth.

The engine folds and values the accounts of every venue by these functions alone, and knows none of the venues. All of
them are pure: same arguments, same answer, whatever the process, the clock or the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from msgspec import Struct

    from models.account_events import RolledBack
    from models.book_figures import Exposure, Shown
    from models.chain_records import LogOffset
    from models.engine.step import RowId, Step, Write
    from models.engine.stored_rows import StoredRows
    from models.prices import UsedMark
    from models.references import UsedReference
    from models.valuations import Body
    from models.watermarks import DeploymentWatermark

_FOREVER_MS = -1


class Positioned(Protocol):
    """A record that is folded: one of ``models.account_events.Progress``, or one of a venue's own."""

    @property
    def position(self) -> LogOffset:
        """The log offset of the raw record that it was made of."""


class Account(Protocol):
    """An account as of the last record folded into it; all else about it is its venue's."""

    @property
    def applied(self) -> LogOffset:
        """The log offset of the last record folded."""

    @property
    def version(self) -> int:
        """How many records changed it."""

    @property
    def suspicion(self) -> str | None:
        """Why the record folded last made the account suspect, None where it did not."""

    @property
    def unsettled(self) -> bool:
        """Whether a rollback can still change it, or finality still finish a part of it."""

    def unsettled_above(self, final: int) -> bool:
        """Whether it is still ``unsettled`` once every block up to ``final`` is final."""


class Held(Protocol):
    """The part of an account that a valuation needs."""

    @property
    def applied(self) -> LogOffset:
        """The log offset of the last record folded into the account."""

    @property
    def unsettled(self) -> bool:
        """As of the account."""


A = TypeVar("A", bound=Account)
H = TypeVar("H", bound=Held)
A_contra = TypeVar("A_contra", bound=Account, contravariant=True)
R_contra = TypeVar("R_contra", bound=Positioned, contravariant=True)
Sent_contra = TypeVar("Sent_contra", contravariant=True)


class Settled(NamedTuple):
    """What finality leaves of an account.

    ``account`` is the account itself where nothing of it was finished. ``history`` are the keys and bodies of rows of
    ``quote-history`` that have to be durable before the account's row is.
    """

    account: Any
    history: Sequence[tuple[bytes, Body | Struct]] = ()


class Inputs(Protocol):
    """What values depend on beside the account."""

    def mark(self, market: int | str, /) -> UsedMark | None:
        """The mark in use of a market of the account's deployment, None where there is none."""

    def reference(self, name: str, /) -> UsedReference | None:
        """A reference of the account's deployment, None where nothing was said of it."""


class Valued(NamedTuple):
    """An account valued: the body of its row, as ``models.valuations`` says, and its figures as the book keeps them.

    ``shown`` is None where figures are unknown.
    """

    body: Body
    shown: Shown | None


class Valuer(Protocol):
    """Values one account again and again, and may keep what it worked out for it; what it kept changes no figure."""

    def value(self, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the account.

        Args:
            inputs: The marks in use, and the references.
            unsupported: Whether its deployment is unsupported, so that its figures are unknown.
        """


class TopicSpec(NamedTuple):
    """A topic of a venue: its name, a record's key in words, and for how long records stay, in ms (-1: for ever)."""

    name: str
    key: str
    kept_ms: int = _FOREVER_MS


class Routes(Protocol[R_contra, Sent_contra]):
    """Finds out which accounts a raw record concerns, in the order of the raw topic; it keeps no state between slices.

    Each of its steps is to be written before the next record is routed.
    """

    def decode(self, value: bytes) -> object:
        """Decode a raw record.

        Raises:
            BadRecord: It cannot be read, and ``skip`` is to be called.
        """

    def apply(self, name: str, record: R_contra, offset: int) -> Step:
        """Route a record of a deployment.

        Args:
            name: The deployment.
            record: The record.
            offset: Where in its partition it stands.
        """

    def skip(self, name: str, offset: int, reason: str) -> Step:
        """Pass over a record that cannot be read.

        Args:
            name: The deployment.
            offset: Where the record stands.
            reason: Why it cannot be read.
        """

    def take_deployments(self) -> Step:
        """The rows of the deployments of which anything was routed since this was last called."""

    def encode(self, record: Sent_contra) -> bytes:
        """Encode one of the outputs of a step."""

    def unsent(self, record: Sent_contra, cause: str) -> object:
        """What an account is told in place of an output that is too large to be sent to it."""


Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Makes the new body of a row of ``position-states`` out of the one before."""


class ToldAt(NamedTuple):
    """Where a record of the topic ``told`` stands, and its own time, Unix ms."""

    partition: int
    offset: int
    sent_ms: int


class Notices(Protocol[A_contra, R_contra]):
    """Keeps what an account's holders are told of its positions: rows of ``position-states``, some due only later."""

    @property
    def next_due_ms(self) -> int | None:
        """When the first notice that waits may be due, Unix ms; None where none waits."""

    def restore(self, key: bytes, row: bytes) -> None:
        """Take in a row that was recovered."""

    def of_record(self, key: bytes, record: R_contra, account: A_contra, now_ms: int) -> Change | None:
        """What a record that was folded into an account changes in the account's row, None for nothing.

        Args:
            key: The account's key.
            record: What was folded.
            account: The account after it.
            now_ms: The instant, Unix ms.
        """

    def read(self, key: bytes, value: bytes, told_at: ToldAt, now_ms: int) -> Change:
        """What a record of the topic ``told`` changes in an account's row.

        Args:
            key: The record's key.
            value: The record.
            told_at: Where it stands, and its own time.
            now_ms: The instant, Unix ms.

        Raises:
            BadRecord: It cannot be read, or is not of the account that its key names.
        """

    def of_rollback(self, record: RolledBack) -> Change:
        """What a rollback changes in the row of an account that it concerns."""

    def fold(self, key: bytes, changes: Iterable[Change]) -> Write | RowId:
        """Fold changes into an account's row: the new row, or which row it is that stays as it is."""

    def release(self, now_ms: int) -> Step:
        """Let the notices stand that have waited until ``now_ms``, Unix ms."""


class Venue(Protocol[A, H, R_contra]):
    """A kind of venue.

    Raw records that are keyed by account are folded directly. Others are first routed to the accounts they concern.
    """

    @property
    def kind(self) -> str:
        """What configurations call it."""

    @property
    def figures_version(self) -> int:
        """Rises whenever the same account is worth something else at the same inputs; rows name it."""

    @property
    def is_linear(self) -> bool:
        """Whether each position gains quantity x (mark - entry), and nothing else of an account depends on a mark.

        At which mark an account can be liquidated is worked out by core then, where a position does not say it.
        """

    @property
    def raw(self) -> TopicSpec:
        """The topic of its records."""

    @property
    def routed(self) -> TopicSpec | None:
        """The topic that raw records are routed to, one for each epoch; None where they are folded directly."""

    @property
    def told(self) -> TopicSpec | None:
        """The topic of what others than the venue tell of positions, None where there is none."""

    @property
    def references(self) -> TopicSpec | None:
        """The topic of what values depend on beside marks, keyed ``<deployment>:<name>``; None where there is nothing.

        Its records are UTF-8 texts, and a name has no space and at most 64 characters. The fold never sees them: their
        order against an account's records is not defined.
        """

    def account_id(self, text: str) -> str | None:
        """The one spelling of an account's id, from any that users write; None where it can be none of this venue."""

    def reference(self, name: str, value: bytes) -> Any:  # noqa: ANN401 - it is the venue's own
        """Decode a record of the topic ``references``; it is asked for only where there is one.

        Args:
            name: The reference's name.
            value: The record.

        Returns:
            What ``Inputs.reference`` gives as ``value``.

        Raises:
            BadRecord: It cannot be read, and what was said of the reference before stays.
        """

    def routes(self, deployments: Mapping[str, Any], rows: StoredRows) -> Routes[Any, Any]:
        """What routes the raw records of one slice; it is asked for only where there is a topic ``routed``.

        Args:
            deployments: What the venue is told of each of its deployments, by name.
            rows: The tables of the slice's partition.
        """

    def notices(self, deployments: Mapping[str, Any], rows: StoredRows) -> Notices[A, R_contra] | None:
        """What tells the holders of one partition's accounts of their positions; None where nothing does.

        Args:
            deployments: What the venue is told of each of its deployments, by name.
            rows: The tables of the partition.
        """

    def decode(self, value: bytes, position: LogOffset) -> Positioned:
        """Decode a record that is to be folded: of the topic ``routed``, or of ``raw`` where that is folded directly.

        Args:
            value: The record.
            position: Where it stands in its topic; a record that was routed carries that of its raw record instead.

        Returns:
            One of ``models.account_events.Progress``, or a record of the venue's own.

        Raises:
            BadRecord: It cannot be read.
        """

    def read(self, row: bytes) -> A:
        """Read an account out of a row of ``accounts``, its ``ORDER_BYTES`` included.

        Raises:
            BadRow: It is no row of this venue's.
        """

    def write(self, account: A) -> bytes:
        """Encode the body of an account's row of ``accounts``: a JSON object, whose first byte is ``{``."""

    def fold(self, before: A | None, record: R_contra, known: DeploymentWatermark) -> A:
        """Fold a record into an account.

        Args:
            before: The account so far, None for a new one.
            record: The next record, or one that was folded before.
            known: How far the account's deployment is folded.

        Returns:
            The account after it; ``before`` itself where the record was folded before or changes nothing.

        Raises:
            BadRecord: The record cannot be folded, and changes nothing.
        """

    def doubt(self, before: A | None, position: LogOffset, cause: str) -> A:
        """Freeze an account whose state can no longer be relied on.

        Args:
            before: The account, None where it has no row yet.
            position: The log offset of what made it suspect.
            cause: Why, in words.
        """

    def undo(self, before: A, record: RolledBack) -> A:
        """Take back what blocks did that have left the chain; ``before`` itself where they did nothing to it."""

    def settle(self, key: bytes, before: A, final: int, position: LogOffset) -> Settled:
        """Take out of an account what is finished for good.

        Args:
            key: Its key.
            before: The account.
            final: Nothing at or below this block will be rolled back.
            position: The log offset of the record that says so.
        """

    def statement(self, account: A) -> Mapping[str, Any] | None:
        """What an account shows beside its valuation, such as wallets and orders; None where there is nothing."""

    def events(self, before: A | None, record: R_contra, after: A) -> Sequence[Mapping[str, Any]]:
        """What happened to an account by a record, in order; readers of its statement are told each of them.

        It is asked for only where the account has a statement.

        Args:
            before: The account before, None where it was new.
            record: What was folded.
            after: The account after it.
        """

    def held(self, account: A) -> H:
        """The part of an account that its valuation needs; ``read_held`` reads the same out of its row."""

    def read_held(self, row: bytes) -> H:
        """Read what a valuation needs out of a row of ``accounts``, its ``ORDER_BYTES`` included.

        Raises:
            BadRow: It is no row of this venue's.
        """

    def exposure(self, deployment: str, held: H, inputs: Inputs) -> Exposure:
        """An account's exposure, by markets of its deployment.

        Args:
            deployment: The deployment.
            held: What it holds.
            inputs: The inputs at which it is made; they do not matter to one that is linear.
        """

    def view(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What users are shown of an account beside what all accounts have in common.

        Args:
            body: Body of its ``valuations`` row.

        Returns:
            Fields without null; what is under ``last_complete`` is added to that.

        Raises:
            KeyError, TypeError, ValueError: The body lacks what it must have.
        """

    def valuer(self, held: H, term: int) -> Valuer:
        """What values an account as long as its row stands; ``ValuedWhole`` of a venue that keeps nothing for it.

        Args:
            held: What the account holds.
            term: The term of its row; with the version it names what was valued.
        """

    def value(self, held: H, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value an account, as one that was never valued before.

        Args:
            held: What it holds.
            term: The term of its row; with the version it names what was valued.
            inputs: The marks in use, and the references.
            unsupported: Whether its deployment is unsupported, so that its figures are unknown.
        """


class ValuedWhole:
    """The valuer of a venue that works out everything each time.

    Args:
        venue: The venue.
        held: What the account holds.
        term: The term of its row.
    """

    def __init__(self, venue: Venue[Any, H, Any], held: H, term: int) -> None:
        self._venue = venue
        self._held = held
        self._term = term

    def value(self, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the account.

        Args:
            inputs: The marks in use, and the references.
            unsupported: Whether its deployment is unsupported.
        """
        return self._venue.value(self._held, self._term, inputs, unsupported=unsupported)
