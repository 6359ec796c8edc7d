"""The way of accounts to Kafka: raw, under their owner's key or as references, each state once and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import Counter

from models.errors import BadRecord
from models.flash.chain_accounts import (
    FLASH_ACCOUNTS,
    FLASH_REFERENCES,
    OWNED,
    SAID_BYTES_MAX,
    AccountClosed,
    AccountSaid,
    AccountTooLarge,
    ClockSaid,
    Layer,
    account_bytes,
    account_text,
    decode_account_record,
    encode_account_record,
    expect_slot,
    owner_of,
    type_of,
)
from models.flash.flash_references import CLOCK, TABLE, decode_clock, reference_name
from models.flash.flash_table import write_table
from models.flash.solana_keys import key_text
from models.ids import account_key
from streams.ingest.flash.account_book import AccountBook, Known, News, digest_of
from streams.ingest.flash.slot_bound import SlotBound
from streams.kafka.deadletter import DeadLetters, encode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, topic_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.flash.chain_accounts import AccountRecord
    from models.flash.flash_table import FlashTable
    from streams.ingest.flash.account_book import Witness
    from streams.ingest.flash.solana_answers import SeenAccount
    from streams.ingest.outlet import Outlet
    from streams.process.clock import Clock
    from streams.settings import Settings

_SEEN = Counter(
    "tidemark_flash_accounts_seen_total", "States of accounts that nodes said, by what they were.",
    ("deployment", "layer", "news"),
)  # fmt: skip
_WRITTEN = Counter("tidemark_flash_records_total", "Records of accounts written.", ("deployment", "account"))


class AccountJournal:
    """Writes what is new of the accounts of one deployment.

    Args:
        settings: Name the topics.
        deployment: The deployment.
        table: The table that it goes by.
        outlet: The way to Kafka.
        clock: Tells when a state was received.
    """

    def __init__(self, settings: Settings, deployment: str, table: FlashTable, outlet: Outlet, clock: Clock) -> None:
        self._deployment = deployment
        self._table = table
        self._outlet = outlet
        self._clock = clock
        self._accounts_topic = topic_name(settings, FLASH_ACCOUNTS)
        self._references_topic = topic_name(settings, FLASH_REFERENCES)
        self._letters_topic = topic_name(settings, DEAD_LETTERS)
        self._letters = DeadLetters(clock)
        self._waiting: dict[str, bytes | None] = {}
        self._said_table: bytes | None = None
        self._clock_slot = -1
        self.books: Mapping[Layer, AccountBook] = {
            "base": AccountBook("base", table.programme),
            "rollup": AccountBook("rollup", table.programme),
        }
        self.bounds: Mapping[Layer, SlotBound] = {layer: SlotBound(clock, layer) for layer in self.books}

    def restore(self, name: str, value: bytes | None) -> None:
        """Take in a record of a topic as it stands.

        Args:
            name: What follows the deployment in its key: an owner, or the name of a reference.
            value: The record; None takes a reference away, of which nothing is known then.
        """
        if name == TABLE:
            self._said_table = value
        if value is None or name == TABLE:
            return
        try:
            if name == CLOCK:
                self._restore_clock(decode_clock(value))
                return
            record = decode_account_record(value)
            expect_slot(record)
            data = account_bytes(record) if isinstance(record, AccountSaid) else b""
        except BadRecord:
            # Whoever folds it says so; it will be written again when a node says it.
            return
        self.bounds[record.layer].restore(record.slot, record.received_ms)
        # Of one that was too large nobody knows the bytes any more, so that it is written again.
        digest = None if isinstance(record, AccountClosed) else digest_of(data)
        owner = name if record.account in OWNED else None
        self.books[record.layer].restore(record.pubkey, Known(record.account, record.order, digest, owner))

    @property
    def programme(self) -> str:
        """The venue's programme, as base58."""
        return self._table.programme

    async def take(self, layer: Layer, seen: SeenAccount, witness: Witness | None = None) -> News:
        """Take a state of an account; what is new of one that belongs to an owner is written at once.

        Args:
            layer: The chain that it was seen on.
            seen: The state.
            witness: Who answered so, None of what was heard.

        Returns:
            What it is.
        """
        book = self.books[layer]
        news = book.judge(seen, witness)
        _SEEN.labels(self._deployment, layer, news.value).inc()
        if news not in (News.NEWER, News.DISPUTED):
            return news
        before = book.known(seen.pubkey)
        # What belongs to another programme now is no account of the venue any more.
        data = seen.data if seen.programme == self._table.programme else None
        account = type_of(data) if data is not None else before.account if before is not None else None
        if account is None:
            return News.FOREIGN
        record = self._record(layer, seen, account, data)
        owner = (_owner_text(account, data) if account in OWNED else None) or (before.owner if before else None)
        # Before anything is waited for: what another task sees meanwhile is judged by it.
        book.written(seen.pubkey, Known(account, record.order, None if data is None else digest_of(data), owner))
        name = reference_name(account, seen.pubkey)
        if name is not None:
            self._waiting[name] = None if data is None else encode_account_record(record)
        elif account in OWNED:
            await self._say(record, owner, data)
        return news

    async def say_table(self) -> None:
        """Write the table, where another one stands on the topic."""
        said = write_table(self._table)
        if said != self._said_table:
            await self._refer(TABLE, said)
            self._said_table = said

    async def say_clock(self, layer: Layer, slot: int, unix_s: int) -> None:
        """Write the time of a chain, up to which fees have accrued; that of an older slot than was written is not.

        Args:
            layer: The chain.
            slot: As of which slot.
            unix_s: The time, in seconds of Unix time.
        """
        if slot <= self._clock_slot:
            return
        self._clock_slot = slot
        said = ClockSaid(layer=layer, slot=slot, unix_s=unix_s, received_ms=self._clock.now_ms())
        await self._refer(CLOCK, encode_account_record(said))

    async def say_references(self) -> None:
        """Write the newest state of each account that values depend on and that changed since this was last called."""
        waiting, self._waiting = self._waiting, {}
        for name, value in waiting.items():
            await self._refer(name, value)

    def _restore_clock(self, said: ClockSaid) -> None:
        expect_slot(said)
        self._clock_slot = said.slot
        self.bounds[said.layer].restore(said.slot, said.received_ms)

    async def _refer(self, name: str, value: bytes | None) -> None:
        key = f"{self._deployment}:{name}".encode()
        # An empty record takes a reference away for who follows, and None takes it off the topic in the end.
        await self._outlet.put(self._references_topic, key, value)
        _WRITTEN.labels(self._deployment, name.partition(".")[0]).inc()

    async def _say(self, record: AccountRecord, owner: str | None, data: bytes | None) -> None:
        if owner is not None:
            key = account_key(self._deployment, owner)
            await self._outlet.put(self._accounts_topic, key, encode_account_record(record))
            _WRITTEN.labels(self._deployment, record.account).inc()
            return
        found = data or b""
        msg = f"expected a {record.account} that names its owner, found {record.pubkey} of {len(found)} bytes"
        key = f"{self._deployment}:{record.pubkey}".encode()
        letter = self._letters.refuse(self._deployment, found, BadRecord(msg), key=key)
        if letter is not None:
            await self._outlet.put(self._letters_topic, self._deployment.encode(), encode_dead_letter(letter))

    def _record(self, layer: Layer, seen: SeenAccount, account: str, data: bytes | None) -> AccountRecord:
        said: dict[str, Any] = {
            "pubkey": seen.pubkey,
            "account": account,
            "programme": seen.programme,
            "layer": layer,
            "slot": seen.slot,
            "write_version": seen.write_version,
            "received_ms": self._clock.now_ms(),
        }
        if data is None:
            return AccountClosed(**said)
        if len(data) > SAID_BYTES_MAX:
            return AccountTooLarge(**said, size=len(data))
        return AccountSaid(**said, data=account_text(data))


def _owner_text(account: str, data: bytes | None) -> str | None:
    owner = None if data is None else owner_of(account, data)
    return None if owner is None else key_text(owner)
