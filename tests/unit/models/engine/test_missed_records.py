"""What an account missed while its row could not be read is remembered, whoever reads the row next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark_paper import Paper

from models.account_events import AccountCheckpoint, RolledBack, Supported, Transaction
from models.bookings import GAP, Booked, decode_booking_record
from models.codec import decode_order, decode_row, join_row
from models.engine.accounts import Accounts
from models.engine.booker import Booker
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.missed_records import read_account
from models.engine.step import RowId
from models.engine.tables import ACCOUNTS, SUBTOTALS, VALUATIONS, MemoryTables
from models.errors import BadRecord, BadRow
from models.guarded_venue import GuardedVenue
from models.ids import account_key
from models.money import E18
from models.plain_venue import Own
from models.symmio.account import advance
from models.symmio.venue import SYMMIO, Symmio
from tests.support.symmio import ALICE, allocate, checkpoint_of, fee_out, log, send_quote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidemark_paper import State

    from models.account_events import AccountRecord
    from models.chain_records import RawLog
    from models.engine.step import Step
    from models.plain_venue import PlainAccount

KEY, ALICE_KEY, MAIN = b"game:ann", account_key("main", ALICE), b"main"
NOW_MS = 1_700_000_000_000


class LaterPaper(Paper):
    """The package's next version, whose rows its former version cannot read."""

    schema = 2


class World:
    """An account of a package, whose versions workers have had one after another."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.offset = 0
        self.install(LaterPaper)

    def install(self, version: Callable[[], Paper]) -> None:
        """Have a worker with another version of the package take over."""
        venue: Any = GuardedVenue(version(), lambda _kind, _hook, error: pytest.fail(repr(error)))
        self.engine = Engine({"game": EngineDeployment(venue, None)}, self.tables)
        self.engine.value(NOW_MS)

    def say(self, *records: dict[str, Any], at: int | None = None) -> None:
        for record in records:
            self.offset += at is None
            own = Own((self.offset if at is None else at, -1), json.dumps(record).encode())
            self.engine.account_record(KEY, own, NOW_MS)
        self.engine.fold("paper")
        self.engine.value(NOW_MS)

    def row(self) -> bytes:
        return self.tables.read(ACCOUNTS, KEY) or b""

    def figures(self) -> tuple[str, str | None]:
        body = decode_row(self.tables.read(VALUATIONS, KEY) or b"").body
        return body["status"], body["equity"]


def cash(amount: str) -> dict[str, Any]:
    return {"kind": "cash", "time_ms": NOW_MS, "amount": amount}


def snapshot(amount: str) -> dict[str, Any]:
    return {"kind": "snapshot", "time_ms": NOW_MS, "cash": amount, "positions": {}}


UNKNOWN = "suspect", None


def test_an_account_that_missed_a_record_is_suspect_as_soon_as_its_row_can_be_read_until_it_is_said_whole() -> None:
    world = World()
    world.say(cash("1000"))
    world.install(Paper)
    world.say(cash("1010"))
    assert UNKNOWN == world.figures()
    world.install(LaterPaper)
    assert UNKNOWN == world.figures()
    world.say(cash("1110"))
    assert UNKNOWN == world.figures()
    later: Any = LaterPaper()
    account = read_account(later, world.row())
    cause = "records were not folded from offset 2 on, as the account's row could not be read: "
    assert cause + "expected schema 1 of paper, found 2 of paper" == account.suspect[0]
    world.say(snapshot("1110"))

    assert ("valued", str(1110 * E18)) == world.figures()
    world.install(LaterPaper)
    assert ("valued", str(1110 * E18)) == world.figures()


def test_totals_are_unknown_for_as_long_as_an_account_that_missed_a_record_is() -> None:
    world = World()
    world.say(cash("1000"))
    for version in (Paper, LaterPaper):
        world.install(version)
        world.say(cash("1010"))
        body = decode_row(world.tables.read(SUBTOTALS, b"unhedged:game::0") or b"").body
        assert (1, None) == (body["unknown_accounts"], body["upnl"])


def test_its_row_says_the_first_and_the_last_record_missed_and_to_the_byte_what_it_said_before() -> None:
    world = World()
    world.say(cash("1000"))
    before = world.row()
    for _ in range(2):
        world.install(Paper)
        world.say(cash("1010"), cash("1020"))
    world.say(cash("1030"))

    body = decode_row(world.row()).body
    assert ([2, -1], [6, -1]) == (body["missed"]["first"], body["missed"]["last"])
    assert world.row().endswith(b',"row":' + before[16:] + b"}")
    assert (1, 1 + 5) == (decode_order(before)[1], decode_order(world.row())[1])


def test_what_was_folded_before_and_is_delivered_again_was_not_missed() -> None:
    world = World()
    world.say(cash("1000"), cash("1010"))
    world.install(Paper)
    world.say(cash("1000"), at=1)
    world.say(cash("1010"), at=2)
    assert UNKNOWN == world.figures()
    world.install(LaterPaper)
    assert ("valued", str(1010 * E18)) == world.figures()
    version = decode_order(world.row())[1]
    world.say(cash("1020"))

    assert ("valued", str(1020 * E18)) == world.figures()
    assert version < decode_order(world.row())[1]


def test_what_was_missed_after_such_a_record_was_missed() -> None:
    world = World()
    world.say(cash("1000"))
    world.install(Paper)
    world.say(cash("1000"), at=1)
    world.say(cash("1010"))
    world.install(LaterPaper)

    assert UNKNOWN == world.figures()


def test_a_version_that_cannot_read_it_may_come_back_any_number_of_times() -> None:
    world = World()
    world.say(cash("1000"))
    for version in (Paper, LaterPaper, Paper, LaterPaper):
        world.install(version)
        world.say(cash("1010"))
        assert UNKNOWN == world.figures()
    world.say(snapshot("5"))
    world.install(Paper)
    world.say(cash("6"))
    world.install(LaterPaper)

    assert UNKNOWN == world.figures()


_STEPS = st.lists(st.sampled_from(["cash", "cash", "snapshot", "old", "new", "again"]), max_size=25)


@given(_STEPS)
def test_whatever_versions_come_and_go_an_account_is_right_or_unknown(steps: Sequence[str]) -> None:
    world, said = World(), [cash("1")]
    world.say(*said)
    for step in steps:
        if step in {"old", "new"}:
            world.install(Paper if step == "old" else LaterPaper)
        elif step == "again":
            world.say(said[-1], at=len(said))
        else:
            said.append((cash if step == "cash" else snapshot)(str(len(said) + 1)))
            world.say(said[-1])
        assert world.figures() in {UNKNOWN, ("valued", str(len(said) * E18))}
    world.install(LaterPaper)
    assert world.figures() in {UNKNOWN, ("valued", str(len(said) * E18))}
    world.say(snapshot("7"))
    assert ("valued", str(7 * E18)) == world.figures()


def test_a_body_that_begins_as_that_of_missed_records_is_no_venue_s() -> None:
    class Missing(Paper):
        def write(self, account: PlainAccount[State]) -> bytes:
            return b'{"missed":{},' + super().write(account)[1:]

    faults: list[str] = []
    venue: Any = GuardedVenue(Missing(), lambda _kind, hook, error: faults.append(f"{hook}: {error}"))
    with pytest.raises(BadRecord, match="no column missed first"):
        venue.fold(None, Own((1, -1), json.dumps(cash("1")).encode()), None)
    assert faults


def test_missed_records_that_cannot_be_read_leave_their_account_unreadable() -> None:
    world = World()
    world.say(cash("1000"))
    broken = join_row(0, 2, b'{"missed":{"first":5},"row":{}}')
    world.tables._rows[ACCOUNTS][KEY] = broken
    world.install(LaterPaper)
    world.say(cash("1010"))

    assert UNKNOWN == world.figures()
    assert broken == world.row()


class Chain:
    """A SYMMIO account, whose row a version reads or does not."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.take_over(reads=True)
        self.apply(ALICE_KEY, transaction(1, allocate(100 * E18)), transaction(2, fee_out(0), send_quote(1)))
        self.step: Step

    def take_over(self, *, reads: bool) -> None:
        venue = SYMMIO if reads else _Former()
        booker = Booker(venue)
        keys = lambda: self.tables.keys(ACCOUNTS)  # noqa: E731
        self.accounts: Accounts[Any, Any, Any] = Accounts(3, self.tables, keys, venue, None, booker=booker)
        for key, row in self.tables.items(ACCOUNTS):
            if reads:
                self.accounts.restore(key, row)
            else:
                with pytest.raises(BadRow):
                    self.accounts.restore(key, row)

    def apply(self, key: bytes, *records: AccountRecord) -> None:
        for record in records:
            try:
                self.accounts.apply(key, record, NOW_MS)
            except BadRecord:
                continue
        self.step = self.accounts.take()
        self.tables.take(self.step)
        for stage in self.step.stages:
            for write in stage.writes:
                if write.table == ACCOUNTS:
                    self.accounts.written(write.key)

    def suspicion(self) -> str | None:
        row = self.accounts.row(ALICE_KEY)
        assert row is not None
        return None if row.suspect is None else row.suspect[0]


class _Former(Symmio):
    def read(self, row: bytes) -> NoReturn:
        msg = f"a column of a later version in {row[:9]!r}"
        raise BadRow(msg)

    def read_held(self, row: bytes) -> NoReturn:
        self.read(row)


def transaction(offset: int, *logs: RawLog) -> Transaction:
    return Transaction((offset, 0), offset, NOW_MS // 1000, f"0x{offset:02x}00", logs)


def locked(offset: int) -> Transaction:
    return transaction(offset, log("LockQuote", "0x" + "b" * 40, 1))


@pytest.mark.parametrize(
    ("key", "missed"),
    [
        (ALICE_KEY, locked(3)),
        (MAIN, RolledBack((3, -1), 1, supported=False)),
        (MAIN, Supported((3, -1), 2, enumerated=True)),
    ],
)
def test_a_symmio_account_that_missed_anything_is_suspect_until_its_checkpoint(
    key: bytes, missed: AccountRecord
) -> None:
    chain = Chain()
    assert chain.suspicion() is None
    chain.take_over(reads=False)
    chain.apply(key, missed)
    chain.take_over(reads=True)
    assert "a column of a later version" in (chain.suspicion() or "")
    chain.apply(ALICE_KEY, locked(4))
    assert chain.suspicion() is not None
    whole = checkpoint_of(ALICE, advance(None, transaction(5, allocate(7 * E18))), 5)
    chain.apply(ALICE_KEY, AccountCheckpoint((6, -1), whole))

    assert chain.suspicion() is None


def test_a_record_that_is_missed_is_booked_as_a_gap_and_once() -> None:
    chain = Chain()
    chain.take_over(reads=False)
    chain.apply(ALICE_KEY, locked(3))
    (gap,) = [decode_booking_record(kept.value) for stage in chain.step.stages for kept in stage.bookings]
    assert isinstance(gap, Booked)
    assert ((3, 0), [GAP]) == (gap.position, [one.name for one in gap.bookings])
    chain.take_over(reads=False)
    chain.apply(ALICE_KEY, locked(3))

    (stage,) = chain.step.stages
    assert ([], [RowId(ACCOUNTS, ALICE_KEY)], []) == (stage.writes, stage.rests_on, list(stage.bookings))


def test_a_rollback_that_was_folded_before_and_is_delivered_again_is_not_missed() -> None:
    chain = Chain()
    rollback = RolledBack((3, -1), 2, supported=False)
    chain.apply(MAIN, rollback)
    watermarks = chain.accounts.watermark("main")
    chain.take_over(reads=False)
    chain.accounts._watermarks["main"] = watermarks
    chain.apply(MAIN, rollback)
    chain.take_over(reads=True)

    assert chain.suspicion() is None
